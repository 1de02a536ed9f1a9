package lines

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// Names of OpenTelemetry's semantic conventions.
const (
	exceptionType       = "exception.type"
	exceptionMessage    = "exception.message"
	exceptionStacktrace = "exception.stacktrace"
	codeStacktrace      = "code.stacktrace"
)

const exceptionSlots = 1<<slotException | 1<<slotError | 1<<slotStack

// exception fills in what is known of an exception, and the stack of the call that logged.
func (e *Encoder) exception() {
	if e.line.have&exceptionSlots == 0 {
		return
	}
	h, found := e.line.take(slotException)
	if found && !e.exceptionIn(h) {
		found = false
		e.keep(h)
	}
	if h, ok := e.line.take(slotError); ok {
		switch {
		case !found && h.value.kind == text:
			e.record.addLong(exceptionMessage, e.text(h.value))
			found = true
		case !found && h.value.kind == object && e.errorObject(h):
			found = true
		default:
			e.keep(h)
		}
	}
	if h, ok := e.line.take(slotStack); ok {
		e.stackIn(h, found)
	}
}

// stackIn reads the stack of the call that logged. In winston's lines it is that of an Error.
func (e *Encoder) stackIn(h *held, exceptionFound bool) {
	if h.value.kind != text {
		e.keep(h)
		return
	}
	stack := e.text(h.value)
	if !exceptionFound && bytes.Contains(stack, []byte("\n    at ")) {
		e.record.addTraceback(stack)
		return
	}
	e.record.addLong(codeStacktrace, stack)
}

// exceptionIn reads the forms that the key exception has.
func (e *Encoder) exceptionIn(h *held) bool {
	switch h.value.kind {
	case text:
		return e.record.addTraceback(e.text(h.value))
	case array:
		return e.tracebackList(h.value)
	case object:
		return e.errorObject(h)
	}
	return false
}

// addTraceback adds what a traceback in text form says. It returns false if that is nothing:
// Python formats no exception like one.
func (r *record) addTraceback(traceback []byte) bool {
	name, message := splitTraceback(traceback)
	if string(name) == "NoneType" {
		return false
	}
	if len(name) > 0 {
		addString(r, exceptionType, name)
	} else if bytes.IndexByte(traceback, '\n') < 0 {
		message = traceback
	}
	if len(message) > 0 {
		r.addLong(exceptionMessage, message)
	}
	if bytes.IndexByte(traceback, '\n') >= 0 {
		r.addLong(exceptionStacktrace, traceback)
	}
	return true
}

const (
	tracebackHeader = "Traceback (most recent call last):"
	groupPrefix     = "  + Exception Group "
	groupMargin     = "  | "
)

// splitTraceback finds type and message of the exception that was raised last. In Python's
// tracebacks they are behind the frames, which are indented, of the last block; in those of Java
// and JavaScript, on the first line. A message may have several lines in the former.
func splitTraceback(traceback []byte) (name, message []byte) {
	rest, group, python := lastBlock(traceback)
	for len(rest) > 0 {
		line, below, _ := bytes.Cut(rest, []byte("\n"))
		if group {
			line = bytes.TrimPrefix(line, []byte(groupMargin))
		}
		if !python || len(line) > 0 && line[0] != ' ' {
			if python && !group {
				line = bytes.TrimRight(rest, "\n")
			}
			return splitTypeLine(line, !python)
		}
		rest = below
	}
	return nil, nil
}

// lastBlock returns what is behind the last header of a Python traceback that is not one of a
// sub-exception's; group tells whether it is an exception group's.
func lastBlock(traceback []byte) (rest []byte, group, python bool) {
	rest = traceback
	for at := 0; ; {
		i := bytes.Index(traceback[at:], []byte(tracebackHeader))
		if i < 0 {
			return rest, group, python
		}
		header := at + i
		at = header + len(tracebackHeader)
		if prefix, ok := beforeHeader(traceback[:header]); ok {
			rest, group, python = traceback[at:], prefix > 0, true
		}
	}
}

// beforeHeader is the length of what stands before the header on its line, if that is what Python
// puts there: nothing, or that an exception group follows.
func beforeHeader(text []byte) (length int, ok bool) {
	text, group := bytes.CutSuffix(text, []byte(groupPrefix))
	if group {
		length = len(groupPrefix)
	}
	return length, len(text) == 0 || text[len(text)-1] == '\n'
}

// splitTypeLine splits "Type: message" or, unless it must have a colon, "Type".
func splitTypeLine(line []byte, colon bool) (name, message []byte) {
	name, message, found := bytes.Cut(line, []byte(":"))
	if !found && (colon || bytes.IndexByte(line, '\n') >= 0) || len(name) == 0 {
		return nil, nil
	}
	name = withoutCode(name)
	for i, c := range name {
		letter := c|0x20-'a' < 26 || c == '_' || c >= utf8.RuneSelf
		if !letter && (i == 0 || c != '.' && c != '$' && c-'0' > 9) {
			return nil, nil
		}
	}
	return name, bytes.TrimPrefix(message, []byte(" "))
}

// withoutCode is a name without the code that Node writes behind it: TypeError [ERR_INVALID_URL].
func withoutCode(name []byte) []byte {
	if name[len(name)-1] == ']' {
		if i := bytes.Index(name, []byte(" [")); i > 0 {
			return name[:i]
		}
	}
	return name
}

// errorObject reads an error as pino, bunyan and ECS write it: an object with a message. What
// else it has stays an attribute.
func (e *Encoder) errorObject(h *held) bool {
	s := scanner{text: e.scan.text, at: h.value.start}
	var name, message, stack token
	for key, more := s.member(true); more; key, more = s.member(false) {
		value := s.any()
		var place *token
		switch key := e.text(key); {
		case value.kind == null, !isErrorMember(key):
			continue
		case string(key) == "message":
			place = &message
		case isErrorStack(key):
			place = &stack
		default:
			place = &name
		}
		if value.kind != text || place.kind != invalid {
			return false
		}
		*place = value
	}
	if message.kind != text {
		return false
	}
	if name.kind == text {
		addString(&e.record, exceptionType, e.text(name))
	}
	e.record.addLong(exceptionMessage, e.text(message))
	if stack.kind == text {
		e.record.addLong(exceptionStacktrace, e.text(stack))
	}
	e.keepRest(h, isErrorMember)
	return true
}

func isErrorStack(key []byte) bool {
	return string(key) == "stack" || string(key) == "stack_trace" || string(key) == "stacktrace"
}

func isErrorMember(key []byte) bool {
	return string(key) == "type" || string(key) == "name" || string(key) == "message" || isErrorStack(key)
}

// maxStacktrace is what is kept of a stack trace or a message in bytes: half of it from the
// start and half from the end.
const maxStacktrace = 64 << 10

// addLong adds an attribute of which the middle is left out if it is too long.
func (r *record) addLong(key string, value []byte) {
	if len(value) <= maxStacktrace {
		addString(r, key, value)
		return
	}
	head, tail := maxStacktrace/2, len(value)-maxStacktrace/2
	for !utf8.RuneStart(value[head]) {
		head--
	}
	for !utf8.RuneStart(value[tail]) {
		tail++
	}
	begun := r.begin([]byte(key))
	dst, start := begin(r.attributes, valueString)
	dst = append(append(dst, value[:head]...), "\n[... "...)
	dst = append(strconv.AppendInt(dst, int64(tail-head), 10), " bytes left out ...]\n"...)
	r.attributes = end(append(dst, value[tail:]...), start)
	r.end(begun)
}
