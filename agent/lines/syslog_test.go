package lines_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/agent/lines"
)

func TestAPriorityCountsWhereTheLineSaysNothing(t *testing.T) {
	for _, c := range []struct{ line, priority, want string }{
		{"x", "0", "  severity  23 \"emerg\"\n  body      \"x\"\n"},
		{"x", "1", "  severity  22 \"alert\"\n  body      \"x\"\n"},
		{"x", "2", "  severity  21 \"crit\"\n  body      \"x\"\n"},
		{"x", "3", "  severity  17 \"err\"\n  body      \"x\"\n"},
		{"x", "4", "  severity  13 \"warning\"\n  body      \"x\"\n"},
		{"x", "5", "  severity  10 \"notice\"\n  body      \"x\"\n"},
		{"x", "6", "  severity  9 \"info\"\n  body      \"x\"\n"},
		{"x", "7", "  severity  5 \"debug\"\n  body      \"x\"\n"},
		{"x", "8", "  body      \"x\"\n"},
		{"x", "", "  body      \"x\"\n"},
		{`{"event":"x","level":"error"}`, "6", "  severity  17 \"error\"\n  body      \"x\"\n"},
		{`{"event":"x","level":"odd"}`, "6", "  severity  0 \"odd\"\n  body      \"x\"\n"},
	} {
		e := lines.NewEncoder(lines.Options{})
		e.Begin(resource)
		e.AddSent([]byte(c.line), time.Time{}, observed, []lines.Remark{{Value: c.priority, About: lines.AboutPriority}}, "")
		got := describe("", decode1(t, e).ResourceLogs[0].ScopeLogs[0].LogRecords[0])
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s with priority %q (-want +got):\n%s", c.line, c.priority, diff)
		}
	}
}

func TestNumbersOfTheSenderAreIntegers(t *testing.T) {
	e := lines.NewEncoder(lines.Options{})
	e.Begin(resource)
	number := func(v string) []lines.Remark {
		return []lines.Remark{{Key: "process.pid", Value: v, About: lines.AboutNumber}}
	}
	e.AddSent([]byte("x"), time.Time{}, observed, number("12"), "")
	e.AddSent([]byte("x"), time.Time{}, observed, number("1x"), "")
	e.AddSent([]byte(`{"event":"x","process":12}`), time.Time{}, observed, number("12"), "")
	e.AddSent([]byte(`{"event":"x","process":12}`), time.Time{}, observed, number("13"), "")
	want := []string{
		"  body      \"x\"\n  process.pid = 12\n",
		"  body      \"x\"\n  process.pid = \"1x\"\n",
		"  body      \"x\"\n  process.pid = 12\n",
		"  body      \"x\"\n  process.pid = 12\n  metadata.process.pid = \"13\"\n",
	}
	for i, r := range decode1(t, e).ResourceLogs[0].ScopeLogs[0].LogRecords {
		if diff := cmp.Diff(want[i], describe("", r)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}
