package lines

import "bytes"

// plainText fills the record from text that is no JSON: mostly one line, but a stack trace whose
// lines were joined has many.
func (e *Encoder) plainText(line []byte) {
	dst, begun := beginBody(e.record.fields)
	body := e.record.endBody(e.appendPlain(dst, line), begun)
	ruled := len(e.rules) > 0 && e.ruled(body)
	if level := uvicornLevel(body); level != "" {
		e.uvicorn(body, level, ruled)
	}
	if bytes.IndexByte(body, '\n') >= 0 {
		e.joinedTrace(body)
	}
}

const escapeByte = 0x1b

// appendPlain appends a line that is no JSON, without ANSI's escape sequences: colours and the
// like.
func (e *Encoder) appendPlain(dst, line []byte) []byte {
	for {
		i := bytes.IndexByte(line, escapeByte)
		if i < 0 {
			return e.appendValid(dst, line)
		}
		dst = e.appendValid(dst, line[:i])
		line = line[i+sequence(line[i:]):]
	}
}

// sequence is the length of the escape sequence at the start of b. One that is cut off takes the
// escape byte alone.
func sequence(b []byte) int {
	if len(b) < 2 {
		return 1
	}
	switch b[1] {
	case '[': // control sequence: parameters, intermediates, a final byte
		for i := 2; i < len(b); i++ {
			if b[i] >= 0x40 && b[i] <= 0x7e {
				return i + 1
			}
			if b[i] < 0x20 || b[i] > 0x7e {
				return 1
			}
		}
		return 1
	case ']': // operating system command, until BEL or ST
		for i := 2; i < len(b); i++ {
			switch {
			case b[i] == '\a':
				return i + 1
			case b[i] == escapeByte && i+1 < len(b) && b[i+1] == '\\':
				return i + 2
			case b[i] == escapeByte:
				return 1
			}
		}
		return 1
	case '(', ')': // character set
		return min(3, len(b))
	}
	if b[1] >= 0x30 && b[1] <= 0x7e {
		return 2
	}
	return 1
}
