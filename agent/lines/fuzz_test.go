package lines_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spillway-io/spillway/agent/lines"
)

// What FuzzAdd switches on, by bit.
const (
	fuzzNone = 1 << iota
	fuzzDecimal
	fuzzFields
	fuzzRules
)

// FuzzAdd holds that every line, or text of many lines, becomes exactly one record, which everyone
// can decode, in which keys do not repeat, that it becomes the same one each time, and that a line
// is taken for JSON if and only if encoding/json does.
func FuzzAdd(f *testing.F) {
	for _, name := range corpus(f) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if filepath.Ext(name) == ".txt" {
			f.Add(b, uint8(16), uint8(255), "stderr", uint8(fuzzRules))
			continue
		}
		for line := range bytes.Lines(b) {
			f.Add(bytes.TrimSuffix(line, []byte("\n")), uint8(16), uint8(255), "stdout", uint8(0))
		}
	}
	for _, line := range []string{`{"dd.trace_id": "1234567890123456789", "dd.span_id": 42, "dd": {"trace_id": 1}, "text": "x", "sev": "E x", "failure": "E: x\n  at y"}`,
		"ERROR:    failed\nTraceback (most recent call last):\nE: x", "[warn] x", "x\njava.io.IOException: y\n\tat z\nCaused by: q", "\xff\nError: \xff\n    at x", "panic: \xff\n\ngoroutine 1"} {
		f.Add([]byte(line), uint8(3), uint8(3), "", uint8(fuzzDecimal|fuzzFields|fuzzRules))
	}
	rules := []lines.SeverityRule{{Match: regexp.MustCompile(`\[(?P<level>[^]]*)\]`), Level: "info"}, {Match: regexp.MustCompile(`^(?P<level>\S+)?: `)}, {Match: regexp.MustCompile(`(?i)error`), Level: "error"}}
	fields := lines.Fields{Body: []lines.Key{"text", "record", "level"}, Timestamp: []lines.Key{"event"}, Severity: []lines.Key{"sev", "msg"}, Logger: []lines.Key{"a"}, TraceID: []lines.Key{"timestamp"}, Exception: []lines.Key{"failure"}}
	f.Fuzz(func(t *testing.T, line []byte, depth, keys uint8, stream string, how uint8) {
		o := lines.Options{MaxDepth: int(depth), MaxKeys: int(keys), DecimalIDs: how&fuzzDecimal != 0}
		if how&fuzzNone != 0 {
			o.Parse = "none"
		}
		if how&fuzzFields != 0 {
			o.Fields = fields
		}
		if how&fuzzRules != 0 {
			o.Rules = rules
		}
		e := lines.NewEncoder(o)
		var bodies [3][]byte
		before := bytes.Clone(line)
		for i := range bodies {
			e.Begin(resource)
			e.Add(line, time.Time{}, observed, stream, depth%2 == 0, keys%2 == 0)
			e.Add(line, observed, observed, stream, depth%2 == 0, keys%2 == 0)
			if n := e.Invalid(); n != 0 && (n != 2 || utf8.Valid(line)) {
				t.Fatalf("%d of two lines have bytes that are not UTF-8: %q", n, line)
			}
			body, items := e.Finish()
			if items != 2 {
				t.Fatalf("two lines became %d records", items)
			}
			bodies[i] = bytes.Clone(body)
		}
		if !bytes.Equal(line, before) {
			t.Fatal("the line was written to")
		}
		if !bytes.Equal(bodies[0], bodies[1]) || !bytes.Equal(bodies[0], bodies[2]) {
			t.Fatalf("%q does not become the same each time", line)
		}
		request := decode(t, bodies[0], 2)
		record := request.ResourceLogs[0].ScopeLogs[0].LogRecords[0]
		got := attributes(t, record)
		if o.Parse == "none" || !strings.HasPrefix(strings.TrimLeft(string(line), " \t\r\n"), "{") {
			return
		}
		if bytes.Contains(line, []byte("NaN")) || bytes.Contains(line, []byte("Infinity")) || bytes.Count(line, []byte("["))+bytes.Count(line, []byte("{")) > 1000 {
			return
		}
		refused := got["log.parse_error"].GetStringValue()
		if json.Valid(line) != (!strings.Contains(refused, " at byte ")) {
			t.Fatalf("%q: log.parse_error %q", line, refused)
		}
	})
}
