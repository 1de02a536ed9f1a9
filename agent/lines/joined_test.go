package lines_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spillway-io/spillway/agent/lines"
)

const (
	pythonTrace = "Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in f\n    1 / 0\n"
	javaFrames  = "\n\tat shop.Orders.pay(Orders.java:7)\n\tat java.base/java.lang.Thread.run(Thread.java:833)"
	nodeFrames  = "\n    at pay (/app/orders.js:3:9)\n    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)"
	goroutines  = "\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:7 +0x1d\nexit status 2"
)

func TestJoinedStackTracesAreExceptions(t *testing.T) {
	for _, c := range []struct{ before, trace, name, message string }{
		{"", pythonTrace + "ZeroDivisionError: division by zero", "ZeroDivisionError", "division by zero"},
		{"ERROR:root:failed\n", pythonTrace + "shop.errors.Declined: one\ntwo: three", "shop.errors.Declined", "one\ntwo: three"},
		{"", pythonTrace + "KeyboardInterrupt", "KeyboardInterrupt", ""},
		{"x\n", pythonTrace + "KeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\n" + pythonTrace + "ValueError: b", "ValueError", "b"},
		{"failed\n", "  + Exception Group Traceback (most recent call last):\n  |   File \"/app/a.py\", line 3, in f\n  |     raise group\n" +
			"  | ExceptionGroup: two of them (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | " +
			strings.ReplaceAll(pythonTrace, "\n", "\n    | ") + "ZeroDivisionError: x\n    +------------------------------------", "ExceptionGroup", "two of them (2 sub-exceptions)"},
		{"2026-01-01 ERROR x\n", "java.lang.IllegalStateException: boom" + javaFrames + "\nCaused by: java.io.IOException: gone\n\t... 1 more", "java.lang.IllegalStateException", "boom"},
		{"2026-01-01 ERROR x\n", "java.lang.NullPointerException" + javaFrames, "java.lang.NullPointerException", ""},
		{"Exception in thread \"main\" ", "java.lang.StackOverflowError" + javaFrames, "java.lang.StackOverflowError", ""},
		{"Exception in thread \"pool 1\" ", "shop.Boom: it: was" + javaFrames, "shop.Boom", "it: was"},
		{"", "shop.Outer$Inner: one\ntwo\n  three" + javaFrames, "shop.Outer$Inner", "one\ntwo\n  three"},
		{"12:00 [main] ERROR shop.Orders - failed\r\n", "java.io.IOException: gone\r" + strings.ReplaceAll(javaFrames, "\n", "\r\n"), "java.io.IOException", "gone"},
		{"ERROR: failed\n", "java.io.IOException\r\nmore: of it" + javaFrames, "java.io.IOException", "more: of it"},
		{"", "TypeError: x is not a function" + nodeFrames, "TypeError", "x is not a function"},
		{"failed: ", "Error: boom" + nodeFrames, "Error", "boom"},
		{"/app/index.js:3\n    throw new Error('boom')\n    ^\n\n", "Error: boom" + nodeFrames + "\n\nNode.js v20.20.2", "Error", "boom"},
		{"Uncaught ", "TypeError [ERR_INVALID_ARG_TYPE]: The \"path\" argument" + nodeFrames + " {\n  code: 'ERR_INVALID_ARG_TYPE'\n}", "TypeError", "The \"path\" argument"},
		{"Unhandled exception. ", "System.InvalidOperationException: boom\n   at Shop.Orders.Pay() in /app/Orders.cs:line 7", "System.InvalidOperationException", "boom"},
		{"", "panic: boom" + goroutines, "panic", "boom"},
		{"2026/01/01 12:00:00 starting\n", "panic: one\n\ttwo" + goroutines, "panic", "one\n\ttwo"},
		{"", "panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47]" + goroutines,
			"panic", "runtime error: invalid memory address or nil pointer dereference"},
		{"", "panic: first [recovered]\n\tpanic: second" + goroutines, "panic", "first [recovered]"},
		{"", "fatal error: all goroutines are asleep - deadlock!" + goroutines, "fatal error", "all goroutines are asleep - deadlock!"},
		{"2026/01/01 12:00:00 http: ", "panic serving 127.0.0.1:1234: boom: x\ngoroutine 34 [running]:\nmain.f()", "panic", "boom: x"},
	} {
		text := c.before + c.trace
		_, record := one(t, lines.Options{}, text)
		got := attributes(t, record)
		if record.Body.GetStringValue() != text || got["exception.type"].GetStringValue() != c.name ||
			got["exception.message"].GetStringValue() != c.message || record.SeverityNumber != 0 {
			t.Errorf("%s\nbecame\n%s", text, describe("", record))
		}
		stack := got["exception.stacktrace"].GetStringValue()
		if wholeLines := strings.HasSuffix(c.before, "http: "); stack != c.trace && !(wholeLines && stack == text) {
			t.Errorf("%s\nhas the stack trace\n%s", text, stack)
		}
	}
}

func TestTextOfManyLinesWithoutAStackTraceIsOnlyABody(t *testing.T) {
	for _, text := range []string{
		"one\ntwo", "\n", "\n\n\n", "look\n\tat the stars", "at once\n", "panic: never mind\n", "goroutine 1 [running]:\npanic: x", "\ngoroutine 7\n",
		"ERROR: failed\n\tat home", "see Traceback (most recent call last):\n  File", "Exception in thread \"\n\tat x", " \n at x", "INFO:     two\nlines",
	} {
		if _, record := one(t, lines.Options{}, text); record.Body.GetStringValue() != text || len(record.Attributes) > 0 {
			t.Errorf("%q became\n%s", text, describe("", record))
		}
	}
}

func TestJoinedTracesLoseTheirColours(t *testing.T) {
	_, record := one(t, lines.Options{}, "\x1b[31mERROR\x1b[0m:    failed\n\x1b[1m"+pythonTrace+"ValueError\x1b[0m: \xff")
	got := attributes(t, record)
	if got["exception.type"].GetStringValue() != "ValueError" || got["exception.message"].GetStringValue() != "\uFFFD" || record.SeverityNumber != 17 {
		t.Errorf("got\n%s", describe("", record))
	}
}

// What somebody may write must not take longer than a multiple of its length.
func TestHugeTextsAreReadInOnePass(t *testing.T) {
	for _, part := range []string{"Error ", "Traceback (most recent call last):", "\tat x\n", "panic: \n", "a\n", "Error: x\n", "http: panic serving ", "\ngoroutine ", " [", "\n\n"} {
		text := []byte(strings.Repeat(part, 1<<20/len(part)) + "\n\tat x\ngoroutine 1\n" + strings.Repeat(part, 1<<20/len(part)))
		e := lines.NewEncoder(lines.Options{})
		e.Begin(resource)
		start := time.Now()
		e.Add(text, observed, observed, "", false, false)
		if took := time.Since(start); took > time.Minute { // it takes milliseconds; more than one pass would take hours
			t.Errorf("2 MiB of %q took %s", part, took)
		}
		decode1(t, e)
	}
}
