package lines

import "bytes"

// Names of OpenTelemetry's semantic conventions.
const (
	codeFilePath     = "code.file.path"
	codeLineNumber   = "code.line.number"
	codeFunctionName = "code.function.name"
	threadID         = "thread.id"
	threadName       = "thread.name"
	processPID       = "process.pid"
)

const (
	callsiteSlots = 1<<slotPathname | 1<<slotFilename | 1<<slotLine | 1<<slotFunction | 1<<slotThread |
		1<<slotThreadName | 1<<slotProcess | 1<<slotCaller | 1<<slotFile | 1<<slotSource
	placeSlots = 1<<slotLine | 1<<slotFunction
)

// callsite fills in where a line was logged. A filename or file counts only beside a line number
// or function: else it is more likely one that the line is about.
func (e *Encoder) callsite() {
	l := &e.line
	if l.have&callsiteSlots == 0 {
		return
	}
	located := l.have&placeSlots != 0
	path, found := l.take(slotPathname)
	if found {
		e.rename(path, codeFilePath, text)
	}
	if h, ok := l.take(slotFilename); ok {
		switch {
		case found && bytes.HasSuffix(e.raw(path.value), e.raw(h.value)): // says nothing new
		case located && !found:
			e.rename(h, codeFilePath, text)
		default:
			e.keep(h)
		}
	}
	if h, ok := l.take(slotFile); ok && !(located && !found && e.caller(h.value)) {
		e.keep(h)
	}
	if h, ok := l.take(slotLine); ok {
		e.rename(h, codeLineNumber, integer)
	}
	if h, ok := l.take(slotFunction); ok {
		e.rename(h, codeFunctionName, text)
	}
	if h, ok := l.take(slotThread); ok {
		if h.value.kind == text && !l.has(slotThreadName) {
			e.rename(h, threadName, text)
		} else {
			e.rename(h, threadID, integer)
		}
	}
	if h, ok := l.take(slotThreadName); ok {
		e.rename(h, threadName, text)
	}
	if h, ok := l.take(slotProcess); ok {
		e.rename(h, processPID, integer)
	}
	if h, ok := l.take(slotCaller); ok && !e.caller(h.value) {
		e.keep(h)
	}
	if h, ok := l.take(slotSource); ok && !e.source(h) {
		e.keep(h)
	}
}

// raw is a token as it is written.
func (e *Encoder) raw(t token) []byte { return e.scan.text[t.start:t.end] }

// rename makes an attribute of a value of that kind under another key; under its own if it is of
// another kind.
func (e *Encoder) rename(h *held, key string, k kind) {
	if h.value.kind != k {
		e.keep(h)
		return
	}
	begun := e.record.begin([]byte(key))
	e.record.attributes = e.appendHeld(e.record.attributes, h.value)
	e.record.end(begun)
}

// caller reads file:line.
func (e *Encoder) caller(t token) bool {
	if t.kind != text {
		return false
	}
	place := e.text(t)
	i := bytes.LastIndexByte(place, ':')
	if i <= 0 || i+1 == len(place) || len(place)-i > 10 {
		return false
	}
	n, ok := number(place[i+1:])
	if !ok {
		return false
	}
	addString(&e.record, codeFilePath, place[:i])
	e.record.addInt(codeLineNumber, int64(n))
	return true
}

// source reads the object of slog.Source.
func (e *Encoder) source(h *held) bool {
	if h.value.kind != object {
		return false
	}
	var file, line, function token
	s := e.scannerAt(h.value)
	for key, more := s.member(true); more; key, more = s.member(false) {
		value := s.any()
		switch string(e.text(key)) {
		case "file":
			file = value
		case "line":
			line = value
		case "function":
			function = value
		default:
			return false
		}
	}
	if file.kind != text || line.kind != integer || function.kind != text && function.kind != invalid {
		return false
	}
	e.rename(&held{value: file}, codeFilePath, text)
	e.rename(&held{value: line}, codeLineNumber, integer)
	if function.kind == text {
		e.rename(&held{value: function}, codeFunctionName, text)
	}
	return true
}
