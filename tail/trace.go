package tail

import "bytes"

// A trace is how far a stack trace of a program has come: what its next lines may look like.
type trace struct {
	kind  traceKind
	after bool // Python: its last line has come; only a blank line and another exception can follow
	blank bool // Python: the line before was blank
	brace bool // Node: the properties of the error follow, until a brace
}

type traceKind uint8

const (
	tracePython traceKind = iota + 1
	traceGroup            // of exceptions in Python, every line of which is indented
	traceFrames           // "at" lines: Java and what runs beside it, Node, .NET
	traceGo
)

// beginsContinuation has the bytes that the second line of a trace can begin with.
var beginsContinuation = [256]bool{' ': true, '\t': true, '\n': true, '\r': true, 'g': true, '[': true}

var (
	pythonHeader = []byte("Traceback (most recent call last):")
	pythonGroup  = []byte("+ Exception Group Traceback (most recent call last):")
	pythonCause  = []byte("The above exception was the direct cause of the following exception:")
	pythonDuring = []byte("During handling of the above exception, another exception occurred:")
)

// exceptionWords are in the line before the frames, in every language that has them.
var exceptionWords = [][]byte{[]byte("Exception"), []byte("Error"), []byte("Throwable")}

// beginsTrace says whether a line can be the first one of a stack trace, and of which.
func beginsTrace(text []byte) (trace, bool) {
	switch {
	case bytes.HasSuffix(text, pythonGroup) && len(trimmed(text)) == len(pythonGroup):
		return trace{kind: traceGroup}, true
	case bytes.HasSuffix(text, pythonHeader):
		return trace{kind: tracePython}, true
	case bytes.HasPrefix(text, []byte("panic: ")), bytes.HasPrefix(text, []byte("fatal error: ")), goroutine(text),
		bytes.Contains(text, []byte("panic serving ")), bytes.HasPrefix(text, []byte("SIG")) && bytes.Contains(text, []byte(": ")):
		return trace{kind: traceGo}, true
	}
	for _, w := range exceptionWords {
		if bytes.Contains(text, w) {
			return trace{kind: traceFrames}, true
		}
	}
	return trace{}, false
}

// continues says whether text is the next line of the trace.
func (t *trace) continues(text []byte) bool {
	switch t.kind {
	case tracePython, traceGroup:
		return t.python(text)
	case traceFrames:
		return t.frames(text)
	}
	return goTrace(text)
}

func (t *trace) python(text []byte) bool {
	if len(text) == 0 {
		// Inside a trace it is a line of somebody's source or message; behind it another trace may follow.
		t.blank = true
		return true
	}
	indented := text[0] == ' ' || text[0] == '\t'
	switch {
	case bytes.Equal(text, pythonCause), bytes.Equal(text, pythonDuring):
		t.after, t.blank = true, true
		return true
	case bytes.Equal(text, pythonHeader):
		if !t.blank {
			return false
		}
		t.kind, t.after, t.blank = tracePython, false, false
		return true
	case bytes.HasSuffix(text, pythonGroup) && indented:
		if t.after && !t.blank {
			return false
		}
		t.kind, t.after, t.blank = traceGroup, false, false
		return true
	case t.after:
		return false
	case indented:
		t.blank = false
		return true
	case t.kind == traceGroup:
		return false
	}
	t.after, t.blank = true, false
	return namesException(text)
}

// namesException says whether text is the last line of a Python traceback: a type, and perhaps a
// colon and a message.
func namesException(text []byte) bool {
	for i, c := range text {
		switch {
		case c == ':':
			return i > 0
		case c == '_', c|0x20 >= 'a' && c|0x20 <= 'z', c >= 0x80, i > 0 && (c == '.' || c >= '0' && c <= '9'):
		default:
			return false
		}
	}
	return true
}

// frames takes the lines that follow an exception in Java, Node, .NET and their like.
func (t *trace) frames(text []byte) bool {
	rest := trimmed(text)
	if t.brace {
		t.brace = string(rest) != "}" || len(rest) != len(text)
		return len(rest) < len(text) || string(rest) == "}" || len(text) == 0
	}
	if len(rest) == len(text) {
		return bytes.HasPrefix(rest, []byte("Caused by: "))
	}
	for _, p := range frameMarks {
		if bytes.HasPrefix(rest, p) {
			t.brace = bytes.HasSuffix(rest, []byte(" {"))
			return true
		}
	}
	return false
}

// frameMarks are what the lines of such a trace begin with, behind their indentation.
var frameMarks = [][]byte{[]byte("at "), []byte("... "), []byte("Caused by: "), []byte("Suppressed: "), []byte("[cause]: "), []byte("[errors]: "),
	[]byte("--- End of "), []byte("---> ")}

// goTrace takes the lines of a Go program's last words.
func goTrace(text []byte) bool {
	switch {
	case len(text) == 0, text[0] == '\t', goroutine(text):
		return true
	}
	for _, p := range goMarks {
		if bytes.HasPrefix(text, p) {
			return true
		}
	}
	return goCall(text) || goRegister(text)
}

var goMarks = [][]byte{[]byte("[signal "), []byte("created by "), []byte("exit status "), []byte("panic: "), []byte("...additional frames elided..."),
	[]byte("runtime stack:"), []byte("fatal error: "), []byte("PC=")}

// goroutine is "goroutine 1 [running]:".
func goroutine(text []byte) bool {
	return bytes.HasPrefix(text, []byte("goroutine ")) && bytes.HasSuffix(text, []byte("]:"))
}

// goCall is a function and its arguments, as in "net/http.(*conn).serve(0xc0000b2000, {0x7a3be8, 0xc00009a0f0})".
func goCall(text []byte) bool {
	if text[len(text)-1] != ')' {
		return false
	}
	open := bytes.LastIndexByte(text, '(')
	if open <= 0 || bytes.IndexByte(text[:open], '.') <= 0 {
		return false
	}
	depth := 0
	for _, c := range text[:open] {
		switch c {
		case '[', '(':
			depth++
		case ']', ')':
			depth--
		case ' ', '\t', '"':
			if depth == 0 {
				return false
			}
		}
	}
	return true
}

// goRegister is a register in a dump, as in "rax    0x0".
func goRegister(text []byte) bool {
	name, value, ok := bytes.Cut(text, space)
	value = trimmed(value)
	return ok && len(name) <= 6 && bytes.HasPrefix(value, []byte("0x")) && bytes.IndexByte(value, ' ') < 0
}
