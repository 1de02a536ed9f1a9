package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/otlp"
)

// encoded is what becomes of journalctl's lines, as the door counts it.
func encoded(t testing.TB, entries ...string) *logspb.ExportLogsServiceRequest {
	t.Helper()
	b := journalBatch{encoder: lines.NewEncoder(lines.Options{})}
	s := shape{attrs: []lines.Attr{{Key: "service.name", Value: "default"}, {Key: "deployment.environment.name", Value: "prod"}}}
	for _, line := range entries {
		e, err := parseEntry([]byte(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		b.entries = append(b.entries, s.record(e))
	}
	body, items := b.encode()
	if n, _, err := otlp.Check(forward.Logs, body); err != nil || n != len(entries) || items != n {
		t.Fatalf("the door counts %d records, want %d: %v", n, len(entries), err)
	}
	var request logspb.ExportLogsServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		t.Fatal(err)
	}
	return &request
}

func attributesOf(all []*common.KeyValue) (out []string) {
	for _, a := range all {
		v := fmt.Sprintf("%q", a.Value.GetStringValue())
		if n, ok := a.Value.GetValue().(*common.AnyValue_IntValue); ok {
			v = fmt.Sprint(n.IntValue)
		}
		out = append(out, a.Key+"="+v)
	}
	return out
}

func TestEntriesAreMapped(t *testing.T) {
	head := `{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1700000000123456","__MONOTONIC_TIMESTAMP":"1","_BOOT_ID":"b0","_HOSTNAME":"node-7",`
	for _, c := range []struct{ name, entry, want string }{
		{"plain output of a service", `"_SYSTEMD_UNIT":"web.service","SYSLOG_IDENTIFIER":"gunicorn","_PID":"812","_COMM":"gunicorn","_TRANSPORT":"stdout","PRIORITY":"6","SYSLOG_FACILITY":"3","MESSAGE":"\u001b[32mready\u001b[0m"}`,
			`service.name="web" systemd.unit="web.service" host.name="node-7" deployment.environment.name="prod"
9 "info" "ready"
process.pid=812 process.executable.name="gunicorn" systemd.transport="stdout" syslog.facility=3 syslog.identifier="gunicorn"`},
		{"structlog under systemd", `"_SYSTEMD_UNIT":"ops@1.service","_PID":"812","PRIORITY":"6","MESSAGE":"{\"event\":\"paid\",\"level\":\"error\",\"order\":7,\"timestamp\":\"2023-11-14T22:13:19Z\"}"}`,
			`service.name="ops@1" systemd.unit="ops@1.service" host.name="node-7" deployment.environment.name="prod"
17 "error" "paid" at 2023-11-14T22:13:19Z
order=7 process.pid=812`},
		{"the kernel", `"_TRANSPORT":"kernel","SYSLOG_IDENTIFIER":"kernel","PRIORITY":"2","MESSAGE":"oops","_KERNEL_DEVICE":"+x"}`,
			`service.name="kernel" host.name="node-7" deployment.environment.name="prod"
21 "crit" "oops"
systemd.transport="kernel" syslog.identifier="kernel"`},
		{"a session", `"_SYSTEMD_UNIT":"session-3.scope","SYSLOG_IDENTIFIER":"sshd","PRIORITY":"5","MESSAGE":"hello"}`,
			`service.name="sshd" systemd.unit="session-3.scope" host.name="node-7" deployment.environment.name="prod"
10 "notice" "hello"
syslog.identifier="sshd"`},
		{"a user's service", `"_SYSTEMD_UNIT":"user@1000.service","_SYSTEMD_USER_UNIT":"notes.service","MESSAGE":"hello"}`,
			`service.name="notes" systemd.unit="notes.service" host.name="node-7" deployment.environment.name="prod"
0 "" "hello"
`},
		{"nobody", `"MESSAGE":"hello"}`, `host.name="node-7" service.name="default" deployment.environment.name="prod"
0 "" "hello"
`},
		{"several lines", `"SYSLOG_IDENTIFIER":"x","MESSAGE":"Traceback:\n  one\n  two\n"}`, `service.name="x" host.name="node-7" deployment.environment.name="prod"
0 "" "Traceback:\n  one\n  two"
syslog.identifier="x"`},
		{"bytes", `"SYSLOG_IDENTIFIER":"x","MESSAGE":[97,10,255,98],"BLOB":[0,1]}`, `service.name="x" host.name="node-7" deployment.environment.name="prod"
0 "" "a\n�b"
BLOB="\x00\x01" syslog.identifier="x"`},
		{"no message", `"SYSLOG_IDENTIFIER":"x","MESSAGE":null}`, `service.name="x" host.name="node-7" deployment.environment.name="prod"
0 "" ""
syslog.identifier="x"`},
		{"several messages", `"SYSLOG_IDENTIFIER":"x","MESSAGE":["one",[255],null,"two"],"TAG":["a","b"]}`, `service.name="x" host.name="node-7" deployment.environment.name="prod"
0 "" "one\n�\ntwo"
syslog.identifier="x" TAG="a\nb"`},
		{"fields of the sender", `"SYSLOG_IDENTIFIER":"x","MESSAGE":"m","MESSAGE_ID":"fc2e","CODE_FILE":"a.c","CODE_LINE":"12","CODE_FUNC":"f","TID":"5","ORDER":"7","_GID":"0","_CMDLINE":"x --password=1"}`,
			`service.name="x" host.name="node-7" deployment.environment.name="prod"
0 "" "m"
code.file.path="a.c" code.function.name="f" code.line.number=12 MESSAGE_ID="fc2e" ORDER="7" syslog.identifier="x" thread.id=5`},
		{"cut by journald", `"SYSLOG_IDENTIFIER":"x","MESSAGE":"m","_LINE_BREAK":"line-max"}`, `service.name="x" host.name="node-7" deployment.environment.name="prod"
0 "" "m"
syslog.identifier="x" log.partial="true"`},
	} {
		rl := encoded(t, head+c.entry).ResourceLogs[0]
		r := rl.ScopeLogs[0].LogRecords[0]
		at := ""
		if r.TimeUnixNano != 0 {
			at = " at " + time.Unix(0, int64(r.TimeUnixNano)).UTC().Format(time.RFC3339)
		}
		got := fmt.Sprintf("%s\n%d %q %q%s\n%s", strings.Join(attributesOf(rl.Resource.Attributes), " "), r.SeverityNumber, r.SeverityText, r.Body.GetStringValue(), at, strings.Join(attributesOf(r.Attributes), " "))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if r.ObservedTimeUnixNano != 1700000000123456000 {
			t.Errorf("%s: observed at %d", c.name, r.ObservedTimeUnixNano)
		}
	}
}

func TestABatchHasOneResourceForEachSender(t *testing.T) {
	var all []string
	for i := range 9 {
		all = append(all, fmt.Sprintf(`{"__CURSOR":"c","_SYSTEMD_UNIT":"%c.service","MESSAGE":"%d"}`, 'a'+i%3, i))
	}
	got := make(map[string]string)
	for _, rl := range encoded(t, all...).ResourceLogs {
		name := rl.Resource.Attributes[0].Value.GetStringValue()
		for _, r := range rl.ScopeLogs[0].LogRecords {
			got[name] += r.Body.GetStringValue()
		}
	}
	if diff := cmp.Diff(map[string]string{"a": "036", "b": "147", "c": "258"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLongMessagesAndFieldsAreCutAndMarked(t *testing.T) {
	r := encoded(t, `{"__CURSOR":"c","MESSAGE":"`+strings.Repeat("m", 2<<20)+`"}`, `{"__CURSOR":"c","MESSAGE":"","F":"`+strings.Repeat("f", 2<<20)+`"}`).ResourceLogs[0].ScopeLogs[0].LogRecords
	if n := len(r[0].Body.GetStringValue()); n != maxMessage || len(r[0].Attributes) != 1 || r[0].Attributes[0].Key != "log.truncated" {
		t.Errorf("%d bytes and %v", n, attributesOf(r[0].Attributes))
	}
	if a := r[1].Attributes; len(a[0].Value.GetStringValue()) != maxField || a[1].Key != "log.truncated" {
		t.Errorf("%d attributes", len(a))
	}
}

func TestAPlaceKnowsWhatWasReadOfEachWriter(t *testing.T) {
	c := func(writer string, number, at int) string {
		return fmt.Sprintf("s=%s;i=%x;b=b0;m=1;t=%x;x=1", writer, number, at)
	}
	var p place
	for _, read := range []string{c("w1", 1, 100), c("w2", 90, 101), c("w1", 2, 102), c("w3", 5, 103)} {
		p = p.with(read)
	}
	p = parsePlace(p.value())
	if diff := cmp.Diff(place{c("w3", 5, 103), c("w1", 2, 102), c("w2", 90, 101)}, p); diff != "" {
		t.Error(diff)
	}
	for cursor, want := range map[string]bool{
		c("w1", 1, 100): true, c("w1", 2, 102): true, c("w1", 3, 104): false,
		c("w1", 2, 200):  false, // numbered anew
		c("w2", 90, 101): true, c("w4", 1, 1): false, "odd": false,
	} {
		if got := p.covers(cursor); got != want {
			t.Errorf("%s: %v", cursor, got)
		}
	}
	if n, ok := p.missed(c("w3", 26, 200)); n != 20 || !ok {
		t.Errorf("missed %d, %v", n, ok)
	}
	if _, ok := p.missed(c("w1", 26, 200)); ok {
		t.Error("entries of other writers have numbers of their own")
	}
	for i := range 100 {
		p = p.with(c(fmt.Sprintf("%0200x", i), 1, 1))
	}
	if n := len(p.value()); len(p) != maxWriters || n > 4096 {
		t.Errorf("%d writers in %d bytes", len(p), n)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"__CURSOR":"c","MESSAGE":["a",[1,2],null],"_PID":"1","F":[]}`))
	f.Add([]byte(`{"__CURSOR":"s=1;i=2;t=3","MESSAGE":"{\"event\":1}","PRIORITY":"3","CODE_LINE":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEntry(b)
		if err != nil {
			return
		}
		again := place(nil).with(e.one("__CURSOR"))
		if got := parsePlace(again.value()); !slices.Equal(got, again) {
			t.Errorf("%q became %q", again, got)
		}
		if len(slices.Collect(maps.Keys(e))) < 50 {
			encoded(t, string(b))
		}
	})
}
