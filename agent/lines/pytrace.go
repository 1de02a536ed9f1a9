package lines

import "bytes"

// A pythonTrace is one exception of the list that structlog's dict_tracebacks makes.
type pythonTrace struct {
	name, value, frames, syntaxError, notes, exceptions token
	cause                                               bool // of the exception before it in the list
}

// tracebackList adds what the list says: its first exception was raised last, the others are
// its causes. The stack trace is put together as Python prints it, but for exception groups,
// whose parts are indented, and without local variables. It returns false if the list is
// something else.
func (e *Encoder) tracebackList(list token) bool {
	first, ok := e.firstTrace(list)
	if !ok {
		return false
	}
	addString(&e.record, exceptionType, e.text(first.name))
	if first.value.kind == text {
		e.record.addLong(exceptionMessage, e.text(first.value))
	}
	e.stack = e.appendTraces(e.stack[:0], list, 0)
	e.record.addLong(exceptionStacktrace, bytes.TrimSuffix(e.stack, []byte("\n")))
	return true
}

func (e *Encoder) firstTrace(list token) (t pythonTrace, ok bool) {
	s := e.scannerAt(list)
	if !s.element(true, ']') || s.peek() != '{' {
		return t, false
	}
	t = e.readTrace(s.any())
	return t, t.name.kind == text
}

func (e *Encoder) scannerAt(t token) scanner { return scanner{text: e.scan.text, at: t.start} }

func (e *Encoder) readTrace(in token) (t pythonTrace) {
	s := e.scannerAt(in)
	for key, more := s.member(true); more; key, more = s.member(false) {
		value := s.any()
		switch string(e.text(key)) {
		case "exc_type":
			t.name = value
		case "exc_value":
			t.value = value
		case "frames":
			t.frames = value
		case "syntax_error":
			t.syntaxError = value
		case "exc_notes":
			t.notes = value
		case "exceptions":
			t.exceptions = value
		case "is_cause":
			t.cause = value.kind == boolean && e.scan.text[value.start] == 't'
		}
	}
	return t
}

// appendTraces appends the traces of a list, the oldest first.
func (e *Encoder) appendTraces(dst []byte, list token, indent int) []byte {
	from := len(e.marks)
	s := e.scannerAt(list)
	for more := s.element(true, ']'); more; more = s.element(false, ']') {
		if t := s.any(); t.kind == object {
			e.marks = append(e.marks, t)
		}
	}
	traces := e.marks[from:]
	for i := len(traces) - 1; i >= 0; i-- {
		t := e.readTrace(traces[i])
		dst = e.appendTrace(dst, &t, indent)
		switch {
		case i == 0:
		case t.cause:
			dst = append(dst, "\nThe above exception was the direct cause of the following exception:\n\n"...)
		default:
			dst = append(dst, "\nDuring handling of the above exception, another exception occurred:\n\n"...)
		}
	}
	e.marks = e.marks[:from]
	return dst
}

func (e *Encoder) appendTrace(dst []byte, t *pythonTrace, indent int) []byte {
	if t.frames.kind == array {
		s := e.scannerAt(t.frames)
		more := s.element(true, ']')
		if more {
			dst = append(margin(dst, indent), tracebackHeader+"\n"...)
		}
		for ; more; more = s.element(false, ']') {
			dst = e.appendFrame(dst, s.any(), indent)
		}
	}
	dst = e.appendFrame(dst, t.syntaxError, indent)
	dst = e.appendText(margin(dst, indent), e.scan.text, t.name)
	if t.value.kind == text && t.value.end > t.value.start {
		dst = e.appendText(append(dst, ": "...), e.scan.text, t.value)
	}
	dst = append(dst, '\n')
	if t.notes.kind == array {
		s := e.scannerAt(t.notes)
		for more := s.element(true, ']'); more; more = s.element(false, ']') {
			if note := s.any(); note.kind == text {
				dst = append(e.appendText(margin(dst, indent), e.scan.text, note), '\n')
			}
		}
	}
	if t.exceptions.kind == array && indent < e.maxDepth {
		s := e.scannerAt(t.exceptions)
		for more := s.element(true, ']'); more; more = s.element(false, ']') {
			if stacks := e.stacksOf(s.any()); stacks.kind == array {
				dst = e.appendTraces(append(dst, '\n'), stacks, indent+1)
			}
		}
	}
	return dst
}

// stacksOf returns the list of traces of a sub-exception: itself, or its member stacks.
func (e *Encoder) stacksOf(t token) token {
	if t.kind != object {
		return t
	}
	s := e.scannerAt(t)
	for key, more := s.member(true); more; key, more = s.member(false) {
		if value := s.any(); string(e.text(key)) == "stacks" {
			return value
		}
	}
	return token{}
}

// appendFrame appends a frame, or the place of a syntax error, which has no name.
func (e *Encoder) appendFrame(dst []byte, frame token, indent int) []byte {
	if frame.kind != object {
		return dst
	}
	var file, number, name, source token
	s := e.scannerAt(frame)
	for key, more := s.member(true); more; key, more = s.member(false) {
		value := s.any()
		switch string(e.text(key)) {
		case "filename":
			file = value
		case "lineno":
			number = value
		case "name":
			name = value
		case "line":
			source = value
		}
	}
	line := e.scan.text
	if file.kind == text && file.end == file.start { // stands for frames that structlog left out
		dst = e.appendText(append(margin(dst, indent+1), '['), line, name)
		return append(dst, "]\n"...)
	}
	dst = append(margin(dst, indent+1), "File "...)
	dst = append(e.appendText(append(dst, '"'), line, file), "\", line "...)
	if number.kind == integer {
		dst = append(dst, line[number.start:number.end]...)
	}
	if name.kind == text {
		dst = e.appendText(append(dst, ", in "...), line, name)
	}
	dst = append(dst, '\n')
	if source.kind == text && source.end > source.start {
		start := len(margin(dst, indent+2))
		dst = e.appendText(margin(dst, indent+2), line, source)
		for len(dst) > start && dst[len(dst)-1] == '\n' {
			dst = dst[:len(dst)-1]
		}
		dst = append(dst, '\n')
	}
	return dst
}

func margin(dst []byte, indent int) []byte {
	for range indent {
		dst = append(dst, "  "...)
	}
	return dst
}
