package lines

import (
	"bytes"
	"unicode/utf8"
)

// A found exception is in a text: its stack trace goes from where the exception is named to the
// end of the text.
type found struct{ name, message, stacktrace []byte }

// joinedTrace fills in the exception whose stack trace is in the text, which has several lines
// and is UTF-8. Lines of a log may stand before it.
func (e *Encoder) joinedTrace(text []byte) {
	r := &e.record
	if i := pythonTraceback(text); i >= 0 {
		r.addTraceback(text[i:])
		return
	}
	f, ok := goPanic(text)
	if !ok {
		f, ok = framesBelow(text)
	}
	if !ok {
		return
	}
	addString(r, exceptionType, f.name)
	if len(f.message) > 0 {
		r.addLong(exceptionMessage, f.message)
	}
	r.addLong(exceptionStacktrace, f.stacktrace)
}

// pythonTraceback is where the line with the first header of a Python traceback begins, -1 if
// there is none. One with something else before it is of somebody who writes about tracebacks.
func pythonTraceback(text []byte) int {
	for at := 0; ; at += len(tracebackHeader) {
		i := bytes.Index(text[at:], []byte(tracebackHeader))
		if i < 0 {
			return -1
		}
		at += i
		if prefix, ok := beforeHeader(text[:at]); ok {
			return at - prefix
		}
	}
}

// What Go prints when a program ends by itself, and net/http when a handler panics.
const (
	panicPrefix     = "panic: "
	fatalPrefix     = "fatal error: "
	servingPrefix   = "http: panic serving "
	goroutinePrefix = "\ngoroutine "
)

// goPanic finds a panic above the stacks of goroutines. Its message ends at a blank line, at the
// signal that was its cause, or at a panic that came on top of it.
func goPanic(text []byte) (f found, ok bool) {
	stacks := bytes.Index(text, []byte(goroutinePrefix))
	for at := 0; at >= 0 && at < stacks; {
		line := text[at:stacks]
		switch {
		case bytes.HasPrefix(line, []byte(panicPrefix)):
			f.name, f.message = line[:len("panic")], line[len(panicPrefix):]
		case bytes.HasPrefix(line, []byte(fatalPrefix)):
			f.name, f.message = line[:len("fatal error")], line[len(fatalPrefix):]
		default:
			first, _, _ := bytes.Cut(line, []byte("\n"))
			if i := bytes.Index(first, []byte(servingPrefix)); i >= 0 {
				i += len("http: ")
				_, message, _ := bytes.Cut(line[i+len("panic serving "):], []byte(": "))
				f.name, f.message = line[i:i+len("panic")], message
			}
		}
		if len(f.name) > 0 {
			for _, end := range []string{"\n\n", "\n[signal ", "\n\tpanic: "} {
				f.message, _, _ = bytes.Cut(f.message, []byte(end))
			}
			f.message, f.stacktrace = bytes.TrimRight(f.message, "\r\n"), text[at:]
			return f, true
		}
		at = nextLine(text, at)
	}
	return f, false
}

// nextLine is where the line behind the one at at begins, -1 if there is none.
func nextLine(text []byte, at int) int {
	i := bytes.IndexByte(text[at:], '\n')
	if i < 0 {
		return -1
	}
	return at + i + 1
}

// framesBelow finds the exception whose frames are the first ones, as Java, JavaScript and .NET
// write them: "at" and a place, indented, below the line that names it. The nearest line above
// that can be one is taken; what is between are more lines of its message.
func framesBelow(text []byte) (f found, ok bool) {
	frames := firstFrame(text)
	for end := frames - 1; end > 0; {
		start := bytes.LastIndexByte(text[:end], '\n') + 1
		if at := exceptionAt(text[start:end]); at >= 0 {
			start += at
			line := bytes.TrimSuffix(text[start:end], []byte("\r"))
			name, message := splitTypeLine(line, false)
			if more := text[end : frames-1]; len(more) > 0 {
				message = text[start+len(line)-len(message) : frames-1]
			}
			return found{name, bytes.Trim(message, "\r\n"), text[start:]}, true
		}
		end = start - 1
	}
	return f, false
}

// firstFrame is where the first line of a stack begins that has a line above it, -1 if there is
// none.
func firstFrame(text []byte) int {
	for at := nextLine(text, 0); at >= 0; at = nextLine(text, at) {
		frame := bytes.TrimLeft(text[at:], " \t")
		if len(frame) < len(text)-at && bytes.HasPrefix(frame, []byte("at ")) {
			return at
		}
	}
	return -1
}

// exceptionAt is where in a line the type of an exception is named, -1 if it is not: at the
// start, or behind the words of a log or a runtime, where only what is called an error or an
// exception is one.
func exceptionAt(line []byte) int {
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return -1
	}
	if name, _ := splitTypeLine(line, false); isType(name) {
		return 0
	}
	words := line[:min(len(line), maxWords)]
	for at := bytes.IndexByte(words, ' ') + 1; at > 0 && at < len(words); {
		word, _, more := bytes.Cut(words[at:], []byte(" "))
		if calledError(bytes.TrimSuffix(word, []byte(":"))) || behindThread(line[:at]) || thrown(line[:at], word) {
			if name, _ := splitTypeLine(line[at:], false); isType(name) {
				return at
			}
		}
		if !more {
			break
		}
		at += len(word) + 1
	}
	return -1
}

// maxWords is how far into a line a type is looked for, in bytes.
const maxWords = 1024

// isType tells whether a name can be that of a type: its last part begins with a capital letter,
// or with one that is not ASCII, and it is no level. Nobody writes Error for a level below which there are frames.
func isType(name []byte) bool {
	last := name[bytes.LastIndexAny(name, ".$")+1:]
	return len(last) > 0 && (last[0]-'A' < 26 || last[0] >= utf8.RuneSelf) &&
		(severityOf(name) == 0 || string(name) == "Error" || string(name) == "Exception")
}

// calledError tells whether a type says by its name that it is an exception's.
func calledError(name []byte) bool {
	return bytes.HasSuffix(name, []byte("Error")) || bytes.HasSuffix(name, []byte("Exception")) || bytes.HasSuffix(name, []byte("Throwable"))
}

// thrown tells whether a word is between colons, as a type is when an error is printed behind a
// title.
func thrown(words, word []byte) bool {
	return bytes.HasSuffix(words, []byte(": ")) && bytes.HasSuffix(word, []byte(":"))
}

// behindThread tells whether words are those of a Java runtime before an exception that nobody
// caught.
func behindThread(words []byte) bool {
	return bytes.HasPrefix(words, []byte("Exception in thread \"")) && bytes.HasSuffix(words, []byte("\" "))
}
