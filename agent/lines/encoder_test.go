package lines_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/agent/lines"
)

func TestRecordsAreGroupedByLoggerInTheirOrder(t *testing.T) {
	e := lines.NewEncoder(lines.Options{})
	for range 3 { // nothing is left of an earlier body
		e.Begin(resource)
		for i, logger := range []string{"a", "", "a", "b", "b", "", "a"} {
			e.Add(fmt.Appendf(nil, `{"event": %d, "logger": %q}`, i, logger), time.Time{}, observed, "", false, false)
		}
		var got []string
		for _, sl := range decode1(t, e).ResourceLogs[0].ScopeLogs {
			got = append(got, sl.GetScope().GetName()+":")
			for _, r := range sl.LogRecords {
				got = append(got, show(r.Body))
			}
		}
		if diff := cmp.Diff(strings.Fields("a: 0 2 6 : 1 5 b: 3 4"), got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	}
}

func TestTooManyLoggersStayAttributes(t *testing.T) {
	e := lines.NewEncoder(lines.Options{})
	for round := range 3 {
		e.Begin(resource)
		const loggers = 3000
		for i := range loggers {
			e.Add(fmt.Appendf(nil, `{"event": "x", "logger": "l%d-%d"}`, round, i), time.Time{}, observed, "", false, false)
		}
		scopes, named := 0, 0
		for _, sl := range decode1(t, e).ResourceLogs[0].ScopeLogs {
			if sl.GetScope().GetName() != "" {
				scopes++
			}
			for _, r := range sl.LogRecords {
				if len(r.Attributes) == 1 && r.Attributes[0].Key == "logger" {
					named++
				}
			}
		}
		if scopes+named != loggers || scopes > 1024 || scopes < 1000 {
			t.Fatalf("%d scopes and %d attributes of %d loggers", scopes, named, loggers)
		}
	}
}

func TestAnEmptyBodyHasNoBytes(t *testing.T) {
	e := lines.NewEncoder(lines.Options{})
	e.Begin(resource)
	e.Add([]byte("x"), observed, observed, "", false, false)
	e.Begin(resource)
	if body, items := e.Finish(); len(body) != 0 || items != 0 {
		t.Errorf("%d items in %x", items, body)
	}
}

func TestWhatTheRuntimeKnowsIsOnTheRecord(t *testing.T) {
	e := lines.NewEncoder(lines.Options{})
	e.Begin(resource)
	seen := observed.Add(-time.Minute)
	e.Add([]byte("one"), seen, observed, "stderr", true, true)
	e.Add([]byte(`{"msg": "two", "log.iostream": "mine"}`), time.Time{}, observed, "stdout", false, false)
	e.Add([]byte("three"), time.Time{}, time.Time{}, "", false, false)
	records := decode1(t, e).ResourceLogs[0].ScopeLogs[0].LogRecords
	want := []string{
		"  body      \"one\"\n  log.iostream = \"stderr\"\n  log.truncated = true\n  log.partial = true\n",
		"  body      \"two\"\n  log.iostream = \"stdout\"\n  dropped   1\n",
		"  body      \"three\"\n",
	}
	times := []uint64{uint64(seen.UnixNano()), uint64(observed.UnixNano()), 0}
	for i, r := range records {
		if diff := cmp.Diff(want[i], describe("", r)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if r.ObservedTimeUnixNano != times[i] || r.TimeUnixNano != 0 {
			t.Errorf("times %d and %d, want %d observed and none told", r.ObservedTimeUnixNano, r.TimeUnixNano, times[i])
		}
	}
}

func TestParseNoneTakesLinesAsTheyAre(t *testing.T) {
	for _, line := range []string{`{"event": "x"}`, "\x1b[1mbold\x1b[0m\r", "", "caf\xe9"} {
		_, record := one(t, lines.Options{Parse: "none"}, line)
		if got, want := record.Body.GetStringValue(), strings.ToValidUTF8(line, "\uFFFD"); got != want || len(record.Attributes) > 0 {
			t.Errorf("%q became %v", line, record)
		}
	}
}

func TestEscapeSequencesOfTerminalsAreLeftOut(t *testing.T) {
	for line, want := range map[string]string{
		"\x1b[31;1mred\x1b[0m":                           "red",
		"\x1b]8;;http://x\x1b\\link\x1b]8;;\x07 \x1b(Bx": "link x",
		"\x1b7saved\x1b8 cut \x1b[31":                    "saved cut [31",
		"\x1b":                                           "",
		"a\x1b\x01b":                                     "a\x01b",
		"\x1b]0;never ends":                              "]0;never ends",
		"windows\r":                                      "windows",
		"\x1b[1m\xff":                                    "\uFFFD",
		"progress \x1b[2K\x1b[1G100%":                    "progress 100%",
	} {
		if _, record := one(t, lines.Options{}, line); record.Body.GetStringValue() != want {
			t.Errorf("%q became %q, want %q", line, record.Body.GetStringValue(), want)
		}
	}
}

func TestTooManyKeysAreCountedAndDropped(t *testing.T) {
	line := `{"a": 1, "b": {"x": 1, "y": 2, "z": 3, "x": 4}, "c": 3, "event": "e", "d": {"not": ["read", {}]}}`
	_, record := one(t, lines.Options{MaxKeys: 2}, line)
	want := "  body      \"e\"\n  a = 1\n  b = {x: 1, y: 2}\n  dropped   4\n"
	if diff := cmp.Diff(want, describe("", record)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatIsTooDeepIsKeptAsJSON(t *testing.T) {
	_, record := one(t, lines.Options{MaxDepth: 2}, `{"a": [{"b": [1, {"c": "`+"\xff"+`"}]}, {}], "event": "e"}`)
	want := "  body      \"e\"\n  a = [{b: \"[1, {\\\"c\\\": \\\"\uFFFD\\\"}]\"}, {}]\n"
	if diff := cmp.Diff(want, describe("", record)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	deep := strings.Repeat(`{"a":[`, 400) + strings.Repeat(`]}`, 400)
	if _, record = one(t, lines.Options{MaxDepth: 1000}, deep); record.DroppedAttributesCount > 0 || len(record.Attributes) != 1 {
		t.Error("400 levels are not an attribute")
	}
	deep = strings.Repeat(`{"a":`, 1<<20)
	if _, record = one(t, lines.Options{}, deep); !strings.HasPrefix(attributes(t, record)["log.parse_error"].GetStringValue(), "nested too deep") {
		t.Error("a million levels were read")
	}
}

func TestLongStacktracesKeepTheirEnds(t *testing.T) {
	trace := "Traceback (most recent call last):\\n" + strings.Repeat(`  File \"é.py\"\n`, 20000) + "ValueError: the end"
	_, record := one(t, lines.Options{}, `{"event": "e", "exception": "`+trace+`"}`)
	got := attributes(t, record)["exception.stacktrace"].GetStringValue()
	if len(got) > 65<<10 || !utf8.ValidString(got) || !strings.HasPrefix(got, "Traceback") ||
		!strings.HasSuffix(got, "ValueError: the end") || !strings.Contains(got, " bytes left out ...]") {
		t.Errorf("%d bytes: %.60q … %q", len(got), got, got[max(0, len(got)-60):])
	}
}

func TestALineOfAMegabyteIsOneRecord(t *testing.T) {
	text := strings.Repeat("é0123456789", 100000)
	_, record := one(t, lines.Options{}, `{"event": "`+text+`", "logger": "`+text+`", "copy": ["`+text+`"]}`)
	got := attributes(t, record)
	if record.Body.GetStringValue() != text || got["logger"].GetStringValue() != text || got["copy"].GetArrayValue().Values[0].GetStringValue() != text {
		t.Error("the text is not what was written")
	}
}

func TestBodiesOfEarlierLinesDoNotShineThrough(t *testing.T) {
	all := []string{`{"event":"first","a":1,"trace_id":"0af7651916cd43dd8448eb211c80319c","level":"info","ts":1714979289,"x":[1]}`, `{"b":2}`, "plain", `{"event":`, `{}`}
	e := lines.NewEncoder(lines.Options{})
	for range 2 {
		for _, line := range slices.Concat(all, all) {
			scope, want := one(t, lines.Options{}, line)
			e.Begin(resource)
			e.Add([]byte(line), time.Time{}, observed, "", false, false)
			got := decode1(t, e).ResourceLogs[0].ScopeLogs[0].LogRecords[0]
			if diff := cmp.Diff(describe(scope, want), describe("", got)); diff != "" {
				t.Fatalf("%s (-alone +after others):\n%s", line, diff)
			}
		}
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	e := lines.NewEncoder(lines.Options{DecimalIDs: true, Fields: lines.Fields{Body: []lines.Key{"text"}}}) // regexps have pools of their own
	var text [][]byte
	for _, line := range []string{
		`{"event": "request finished", "user": "u-1", "took": 12.847, "ok": true, "n": [1, {"x": "é"}], "logger": "a", "level": "info", "timestamp": "2024-05-06T07:08:09.123456Z"}`,
		`{"event": "failed", "exception": "Traceback (most recent call last):\n  File \"x\"\nValueError: x", "logger": "b", "level": "error", "trace_id": "0af7651916cd43dd8448eb211c80319c"}`,
		`{"event": "failed", "exception": [{"exc_type": "ValueError", "exc_value": "x", "frames": [{"filename": "a.py", "lineno": 1, "name": "f"}]}]}`,
		"\x1b[32mINFO\x1b[0m plain",
		"INFO:     127.0.0.1:1234 - \"GET /x?y=1 HTTP/1.1\" 200 OK",
		"failed\n" + pythonTrace + "ValueError: x",
		"java.io.IOException: gone" + javaFrames,
		"panic: boom" + goroutines,
		`{"text": "x", "dd.trace_id": "1234567890123456789", "dd.span_id": 42}`,
		`{"event": "broken`,
		"caf\xe9",
	} {
		text = append(text, []byte(line))
	}
	body := func() {
		e.Begin(resource)
		for _, line := range text {
			e.Add(line, observed, observed, "stdout", false, false)
		}
		e.Finish()
	}
	if n := testing.AllocsPerRun(100, body); n != 0 {
		t.Errorf("%v allocations in a body of %d lines", n, len(text))
	}
}

func TestLinesAreNotKept(t *testing.T) {
	e := lines.NewEncoder(lines.Options{})
	e.Begin(resource)
	line := []byte(`{"event": "first", "logger": "a", "user": "u-1"}`)
	e.Add(line, observed, observed, "", false, false)
	copy(line, bytes.Repeat([]byte("!"), len(line)))
	r := decode1(t, e).ResourceLogs[0].ScopeLogs[0]
	if got := describe(r.Scope.Name, r.LogRecords[0]); got != "  scope     a\n  body      \"first\"\n  user = \"u-1\"\n" {
		t.Errorf("got\n%s", got)
	}
}
