package lines

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// escape returns the length of the escape sequence at the start of b, 0 if it is none.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b); ok {
			return 6
		}
	}
	return 0
}

// hex4 is the code unit of a \uXXXX at the start of b.
func hex4(b []byte) (unit rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		d := hexDigits[c]
		if d > 15 {
			return 0, false
		}
		unit = unit<<4 | rune(d)
	}
	return unit, true
}

// hexDigits are the values of the hexadecimal digits; other bytes have more than 15.
var hexDigits = func() (values [256]byte) {
	for c := range values {
		values[c] = 0xff
	}
	for i, c := range []byte("0123456789abcdef") {
		values[c] = byte(i)
	}
	for i, c := range []byte("ABCDEF") {
		values[c] = byte(10 + i)
	}
	return values
}()

// appendText appends what a text token stands for, as UTF-8.
func (e *Encoder) appendText(dst, line []byte, t token) []byte {
	raw := line[t.start:t.end]
	switch t.form {
	case plain:
		return append(dst, raw...)
	case escaped:
		return appendEscaped(dst, raw)
	case wide:
		return e.appendValid(dst, raw)
	}
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return e.appendValid(dst, raw)
		}
		dst, raw = appendEscape(e.appendValid(dst, raw[:i]), raw[i:])
	}
}

// appendEscaped appends what ASCII with escape sequences stands for.
func appendEscaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		if raw = raw[i:]; raw[1] != 'u' {
			dst = append(dst, unescaped(raw[1]))
			raw = raw[2:]
			continue
		}
		dst, raw = appendEscape(dst, raw)
	}
}

// appendEscape appends what the escape sequence at the start of raw stands for, and returns what
// is behind it.
func appendEscape(dst, raw []byte) (out, rest []byte) {
	if raw[1] != 'u' {
		return append(dst, unescaped(raw[1])), raw[2:]
	}
	r, _ := hex4(raw)
	raw = raw[6:]
	if utf16.IsSurrogate(r) {
		low, ok := hex4(raw)
		if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
			raw = raw[6:]
		} else {
			r = utf8.RuneError
		}
	}
	return utf8.AppendRune(dst, r), raw
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // a quote, a slash or a backslash
}

// appendValid appends b, with U+FFFD for every byte that is not UTF-8.
func (e *Encoder) appendValid(dst, b []byte) []byte {
	if utf8.Valid(b) {
		return append(dst, b...)
	}
	e.repairs = true
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		dst = utf8.AppendRune(dst, r)
		b = b[n:]
	}
	return dst
}
