package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

const (
	structlogTrace = "0af7651916cd43dd8448eb211c80319c"
	structlogSpan  = "b7ad6b7169203331"
)

// structlog starts the service with real structlog in it, and returns what it prints.
func structlog(t *testing.T, args ...string) io.Reader {
	t.Helper()
	const python = "/usr/bin/python3" // the distribution's, which its structlog belongs to
	if out, err := exec.Command(python, "-c", "import structlog").CombinedOutput(); err != nil {
		t.Fatalf("%s has no structlog: apt-get install python3-structlog: %v: %s", python, err, out)
	}
	cmd := exec.Command(python, append([]string{filepath.Join("testdata", "structlog", "service.py")}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		out.Close() // so that it ends even if the test did not read everything
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Errorf("service.py: %v", err)
		}
	})
	return out
}

// eachLine calls f with each line, without its end, and returns how many there were.
func eachLine(t *testing.T, from io.Reader, f func(n int, line string)) (lines int) {
	t.Helper()
	s := bufio.NewScanner(from)
	s.Buffer(nil, 1<<20)
	for ; s.Scan(); lines++ {
		f(lines, s.Text())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// A criLog is a container's log, written as containerd does: long lines in parts of 16 KiB.
type criLog struct {
	t    *testing.T
	name string
	file *os.File
}

func newCRILog(t *testing.T, name string) *criLog {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	l := &criLog{t: t, name: name}
	l.open()
	t.Cleanup(func() { l.file.Close() })
	return l
}

func (l *criLog) open() {
	l.t.Helper()
	var err error
	if l.file, err = os.OpenFile(l.name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// write appends a line, seen at that time.
func (l *criLog) write(at time.Time, line string) {
	l.t.Helper()
	const part = 16 << 10
	for len(line) > part {
		l.append(at, "P", line[:part])
		line = line[part:]
	}
	l.append(at, "F", line)
}

func (l *criLog) append(at time.Time, tag, text string) {
	l.t.Helper()
	if err := l.appendTo(at, "stdout", tag, text); err != nil {
		l.t.Fatal(err)
	}
}

func (l *criLog) appendTo(at time.Time, stream, tag, text string) error {
	_, err := fmt.Fprintf(l.file, "%s %s %s %s\n", at.Format(time.RFC3339Nano), stream, tag, text)
	return err
}

// rotate is the kubelet's: the old file gets a date behind its name, a new one its place.
func (l *criLog) rotate(date string) {
	l.t.Helper()
	if err := os.Rename(l.name, l.name+"."+date); err != nil {
		l.t.Fatal(err)
	}
	if err := l.file.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.open()
}

// A shape is what one line of the service becomes, but for its time.
type shape struct {
	level    string
	severity int
	body     string
	columns  row
}

var shapes = []shape{
	{"debug", 5, "level debug", nil},
	{"info", 9, "level info", nil},
	{"warning", 13, "level warning", nil},
	{"error", 17, "level error", nil},
	{"critical", 21, "level critical", nil},
	{"info", 9, "Grüße 😀", row{"ScopeName": "shop.orders", "LogAttributes": row{"request": "r-1", "tenant": "acme", "path": "/orders",
		"status": "201", "ms": "12.5", "ok": "true", "none": "", "tags": `["a","b"]`, "order": `{"id":7,"items":[1,2]}`}}},
	{"info", 9, "traced", row{"TraceId": structlogTrace, "SpanId": structlogSpan, "TraceFlags": 1}},
	{"error", 17, "payment failed", row{"LogAttributes": row{"order": "8812",
		"exception.type": "RuntimeError", "exception.message": "order 8812 is not paid"}}},
	{"error", 17, "payment failed", row{"LogAttributes": row{"order": "8812",
		"exception.type": "RuntimeError", "exception.message": "order 8812 is not paid"}}},
	{"info", 9, "large", row{"LogAttributes": row{"payload": strings.Repeat("x", 40000)}}},
	{"warning", 13, "from logging", row{"ScopeName": "celery.worker", "LogAttributes": row{"port": "5672"}}},
	{"", 0, "not JSON at all", nil},
}

// What structlog prints arrives field by field, from a container's log and from a plain file.
func TestStructlogArrivesWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pod := filepath.Join(dir, "pods", "shop_web-0_6f1e9a52-7d1c-4c40-9a3f-0d8a5b6c7d8e", "web", "2.log")
	plain := filepath.Join(dir, "backend.log")
	engine, c, a := both(t, fmt.Sprintf(", tail: [{include: [%q, %q]}]", filepath.Join(dir, "pods/*/*/*.log"), plain))

	container := newCRILog(t, pod)
	file, err := os.Create(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	seen := hour().Add(time.Nanosecond)
	var printed []string
	lines := eachLine(t, structlog(t, "shapes"), func(n int, line string) {
		printed = append(printed, line)
		container.write(seen.Add(time.Duration(n)*time.Second), line)
		if _, err := fmt.Fprintln(file, line); err != nil {
			t.Fatal(err)
		}
	})
	if lines != len(shapes) {
		t.Fatalf("the service printed %d lines, %d are known", lines, len(shapes))
	}
	conn := connect(t, engine.DSN())
	until(t, "every line stored", func() bool { return one(t, conn, "SELECT count() FROM otel_logs") >= uint64(2*lines) })
	a.drained()
	c.equation()

	t.Run("container", func(t *testing.T) {
		checkShapes(t, engine, printed, seen, row{"ServiceName": "web", "ResourceAttributes": row{"service.name": "web",
			"k8s.namespace.name": "shop", "k8s.pod.name": "web-0", "k8s.pod.uid": "6f1e9a52-7d1c-4c40-9a3f-0d8a5b6c7d8e",
			"k8s.container.name": "web", "k8s.container.restart_count": "2"}})
	})
	t.Run("file", func(t *testing.T) {
		checkShapes(t, engine, printed, time.Time{}, row{"ServiceName": "backend",
			"ResourceAttributes": row{"service.name": "backend", "log.file.path": plain}})
	})
}

// checkShapes compares the rows of a service with the lines it printed. seen is the time of the
// first line in the container's log; for a plain file, which has none, it is zero.
func checkShapes(t *testing.T, engine *enginetest.Engine, printed []string, seen time.Time, of row) {
	t.Helper()
	got := stored(t, engine, "otel_logs", fmt.Sprintf("ServiceName = '%s'", of["ServiceName"]), "ObservedTimestamp, Timestamp")
	if seen.IsZero() { // lines that are read together are observed together: their own times tell their order
		got = stored(t, engine, "otel_logs", fmt.Sprintf("ServiceName = '%s'", of["ServiceName"]), "SeverityNumber = 0, Timestamp")
	}
	of = merge(of, row{"ResourceSchemaUrl": "", "ScopeSchemaUrl": "", "ScopeName": "", "ScopeVersion": "", "ScopeAttributes": row{},
		"EventName": "", "TraceId": "", "SpanId": "", "TraceFlags": 0, "LogAttributes": row{}})
	var want []row
	for i, s := range shapes {
		if i >= len(got) {
			break
		}
		var line struct {
			Timestamp time.Time
			Exception any
		}
		if err := json.Unmarshal([]byte(printed[i]), &line); err != nil && s.level != "" {
			t.Errorf("%v in %s", err, printed[i])
		}
		w := merge(of, row{"SeverityText": s.level, "SeverityNumber": s.severity, "Body": s.body, "Timestamp": nanos(line.Timestamp)}, s.columns)
		attributes := merge(w["LogAttributes"].(row))
		w["LogAttributes"] = attributes
		if seen.IsZero() {
			w["ObservedTimestamp"] = got[i]["ObservedTimestamp"]
		} else {
			w["ObservedTimestamp"] = nanos(seen.Add(time.Duration(i) * time.Second))
			attributes["log.iostream"] = "stdout"
		}
		if line.Timestamp.IsZero() {
			w["Timestamp"] = w["ObservedTimestamp"]
		}
		switch exception := line.Exception.(type) {
		case string:
			attributes["exception.stacktrace"] = exception
		case []any: // a tree of frames, which is put together again as Python would print it
			stack, _ := got[i]["LogAttributes"].(row)["exception.stacktrace"].(string)
			if !strings.HasPrefix(stack, "Traceback (most recent call last):\n") || !strings.HasSuffix(stack, "RuntimeError: order 8812 is not paid") ||
				!strings.Contains(stack, "Declined: card of M. Müller was declined\n") {
				t.Errorf("stack trace %q", stack)
			}
			attributes["exception.stacktrace"] = stack
		}
		want = append(want, w)
	}
	if len(got) != len(shapes) {
		t.Errorf("%d rows for %d lines", len(got), len(shapes))
	}
	same(t, "logs", got, want)
}

// The container's log is rotated and the agent killed with -9, with a rotation while it is away:
// each line that the service printed is stored, once.
func TestStructlogSurvivesRotationAndKill9(t *testing.T) {
	t.Parallel()
	const count = 8000
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "pods"), 0o755); err != nil { // there from boot, as a node has it
		t.Fatal(err)
	}
	engine, _, a := both(t, fmt.Sprintf(", tail: [{include: [%q]}]", filepath.Join(dir, "pods/*/*/*.log")))
	container := newCRILog(t, filepath.Join(dir, "pods", "shop_worker-0_6f1e9a52-7d1c-4c40-9a3f-0d8a5b6c7d8e", "worker", "0.log"))
	conn := connect(t, engine.DSN())
	tailed := func() float64 { return kit.Total(a.metrics(), "spillway_in_items_total") }
	printed := eachLine(t, structlog(t, "count", fmt.Sprint(count)), func(n int, line string) {
		switch n {
		case count / 4:
			until(t, "the log found", func() bool { return tailed() > 0 })
			container.rotate("20260102-030405")
		case count / 2:
			a.kill()
		case count * 5 / 8:
			container.rotate("20260102-040506")
		case count * 3 / 4:
			a.start()
		}
		container.write(time.Now(), line)
	})
	if printed != count {
		t.Errorf("%d lines printed", printed)
	}
	a.healthy()
	until(t, "every line stored", func() bool {
		return one(t, conn, "SELECT uniqExact(LogAttributes['n']) FROM otel_logs") == count
	})
	a.drained()
	const whole = `Timestamp != ObservedTimestamp AND ServiceName = 'worker' AND ResourceAttributes['k8s.pod.name'] = 'worker-0'
		AND TraceId = '` + structlogTrace + `' AND SpanId = '` + structlogSpan + `' AND multiIf(
			LogAttributes['n'] LIKE '%99', SeverityText = 'error' AND Body = 'payment failed' AND LogAttributes['exception.type'] = 'RuntimeError',
			toUInt64(LogAttributes['n']) % 500 = 250, SeverityText = 'info' AND Body = 'large' AND length(LogAttributes['payload']) = 40000,
			SeverityText = 'info' AND Body = 'request finished')`
	rows, good := one(t, conn, "SELECT count() FROM otel_logs"), one(t, conn, "SELECT count() FROM otel_logs WHERE "+whole)
	t.Logf("lines %d, duplicated %d", printed, rows-count)
	if rows != count || good != count {
		t.Errorf("%d rows of which %d are whole, for %d lines", rows, good, count)
	}
}
