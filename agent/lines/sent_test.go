package lines_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/agent/lines"
)

// sent encodes a line that somebody sent at that time, with remarks.
func sent(t testing.TB, line string, at time.Time, remarks ...lines.Remark) string {
	t.Helper()
	e := lines.NewEncoder(lines.Options{})
	e.Begin(resource)
	e.AddSent([]byte(line), at, observed, remarks, "")
	scoped := decode1(t, e).ResourceLogs[0].ScopeLogs[0]
	record := scoped.LogRecords[0]
	attributes(t, record)
	if record.ObservedTimeUnixNano != uint64(observed.UnixNano()) {
		t.Errorf("observed %d", record.ObservedTimeUnixNano)
	}
	return "\n" + describe(scoped.GetScope().GetName(), record)
}

func TestASentLineKeepsTheTimeThatItsSenderGaveIt(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)
	for _, c := range []struct{ line, want string }{
		{`plain`, `
  time      2024-05-06T07:08:09.123456789Z
  body      "plain"
`},
		{`{"event": "x", "timestamp": "2024-05-06T07:08:09.123456789Z"}`, `
  time      2024-05-06T07:08:09.123456789Z
  body      "x"
`},
		{`{"event": "x", "timestamp": "2024-05-06T07:08:09.123Z"}`, `
  time      2024-05-06T07:08:09.123456789Z
  body      "x"
  timestamp = "2024-05-06T07:08:09.123Z"
`},
		{`{"event": "x", "ts": 1714979289.5}`, `
  time      2024-05-06T07:08:09.123456789Z
  body      "x"
  ts = double(1.7149792895e+09)
`},
		{`{"event": "x", "time": "soon"}`, `
  time      2024-05-06T07:08:09.123456789Z
  body      "x"
  time = "soon"
`},
		{`{"event": "x", "cut`, `
  time      2024-05-06T07:08:09.123456789Z
  body      "{\"event\": \"x\", \"cut"
  log.parse_error = "ends too early at byte 19"
`},
	} {
		if diff := cmp.Diff(c.want, sent(t, c.line, at)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.line, diff)
		}
	}
	want := `
  time      2024-05-06T07:08:09.5Z
  body      "x"
`
	if diff := cmp.Diff(want, sent(t, `{"event": "x", "timestamp": "2024-05-06T07:08:09.5Z"}`, time.Time{})); diff != "" {
		t.Errorf("without a time of its own (-want +got):\n%s", diff)
	}
}

func TestRemarksFillWhatALineLeavesEmpty(t *testing.T) {
	const (
		trace, other = "0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736"
		span, span2  = "b7ad6b7169203331", "00f067aa0ba902b7"
	)
	level := func(v string) lines.Remark { return lines.Remark{Key: "level", Value: v, About: lines.AboutLevel} }
	traceID := func(v string) lines.Remark {
		return lines.Remark{Key: "trace_id", Value: v, About: lines.AboutTraceID}
	}
	spanID := func(v string) lines.Remark {
		return lines.Remark{Key: "span_id", Value: v, About: lines.AboutSpanID}
	}
	attr := func(k, v string) lines.Remark { return lines.Remark{Key: k, Value: v} }
	for name, c := range map[string]struct {
		line    string
		remarks []lines.Remark
		want    string
	}{
		"all of a plain line": {"plain", []lines.Remark{spanID(span), traceID(trace), level("WARN"), attr("user", "7"), attr("b\xff", "v\xff")}, `
  severity  13 "WARN"
  trace     0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 00
  body      "plain"
  user = "7"
  b` + "\uFFFD" + ` = "v` + "\uFFFD" + `"
`},
		"nothing new": {`{"event": "x", "level": "warning", "trace_id": "` + trace + `", "span_id": "` + span + `", "user": "7", "n": 7, "f": 0.5, "ok": true}`,
			[]lines.Remark{level("WARN"), traceID(trace), spanID(span), attr("user", "7"), attr("n", "7"), attr("f", "0.5"), attr("ok", "true"), traceID("0"), spanID("")}, `
  severity  13 "warning"
  trace     0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 00
  body      "x"
  user = "7"
  n = 7
  f = double(0.5)
  ok = true
`},
		"contradictions": {`{"event": "x", "level": "info", "trace_id": "` + trace + `", "span_id": "` + span + `", "user": "7", "n": 7}`,
			[]lines.Remark{level("error"), traceID(other), spanID(span2), attr("user", "8"), attr("n", "7.5")}, `
  severity  9 "info"
  trace     0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 00
  body      "x"
  user = "7"
  n = 7
  trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
  span_id = "00f067aa0ba902b7"
  level = "error"
  metadata.user = "8"
  metadata.n = "7.5"
`},
		"the span of the line's trace": {`{"event": "x", "trace_id": "` + trace + `"}`, []lines.Remark{spanID(span)}, `
  trace     0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 00
  body      "x"
`},
		"a span without a trace, and no ids": {"x", []lines.Remark{spanID(span), traceID("none")}, `
  body      "x"
  trace_id = "none"
  span_id = "b7ad6b7169203331"
`},
		"the first of two levels": {"x", []lines.Remark{level("debug"), level("DEBUG"), level("info")}, `
  severity  5 "debug"
  body      "x"
  level = "info"
`},
		"a level that nobody knows": {"x", []lines.Remark{level("audit"), level("info")}, `
  severity  0 "audit"
  body      "x"
  level = "info"
`},
		"a number's name": {`{"event": "x", "levelno": 40}`, []lines.Remark{level("error")}, `
  severity  17 "error"
  body      "x"
`},
		"another number": {`{"event": "x", "levelno": 40}`, []lines.Remark{level("info")}, `
  severity  17 ""
  body      "x"
  level = "info"
`},
	} {
		if diff := cmp.Diff(c.want, sent(t, c.line, time.Time{}, c.remarks...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A line that was sent leaves nothing behind for one that is tailed.
func TestSentAndTailedLinesMix(t *testing.T) {
	e := lines.NewEncoder(lines.Options{})
	e.Begin(resource)
	line := []byte(`{"event": "x", "timestamp": "2024-05-06T07:08:09Z"}`)
	remarks := []lines.Remark{{Key: "level", Value: "info", About: lines.AboutLevel}, {Key: "trace_id", Value: "1", About: lines.AboutTraceID}}
	e.AddSent(line, observed.Add(time.Hour), observed, remarks, "stderr")
	e.Add(line, time.Time{}, observed, "", false, false)
	records := decode1(t, e).ResourceLogs[0].ScopeLogs[0].LogRecords
	if got := show(records[0].Attributes[1].Value); got != `"stderr"` || records[0].Attributes[1].Key != "log.iostream" {
		t.Errorf("stream %s", got)
	}
	want := `  time      2024-05-06T07:08:09Z
  body      "x"
`
	if diff := cmp.Diff(want, describe("", records[1])); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAResourceOfAttributes(t *testing.T) {
	e := lines.NewEncoder(lines.Options{})
	e.Begin(lines.NewResourceOf([]lines.Attr{{Key: "a", Value: "1"}, {Key: "b", Value: ""}, {Key: "", Value: "x"}, {Key: "a", Value: "2"}, {Key: "c\xff", Value: "\xff"}}))
	e.Add([]byte("x"), time.Time{}, observed, "", false, false)
	got := ""
	for _, a := range decode1(t, e).ResourceLogs[0].Resource.Attributes {
		got += a.Key + "=" + show(a.Value) + " "
	}
	if want := "a=\"1\" c\uFFFD=\"\uFFFD\" "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
