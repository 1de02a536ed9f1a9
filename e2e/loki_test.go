package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/snappy"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// startLokiCollector is startCollector with a port for Loki's clients.
func startLokiCollector(t *testing.T, dsn string) (c *collector, loki string) {
	t.Helper()
	c, loki = &collector{grpc: port(t)}, port(t)
	admin := port(t)
	c.proc = start(t, "collector", admin, "collector", "--config", config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: ""}}, loki: {endpoint: %q}}
batch: {send_batch_size: 10000, timeout: 1s}
forward: {clickhouse: {dsn: %q, retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
admin: {endpoint: %q}
`, c.grpc, loki, dsn, admin)))
	return c, loki
}

// winston logs two lines with winston and its transport for Loki.
func winston(t *testing.T, dir, transport, address, service string, at time.Time) {
	t.Helper()
	node := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "loki.mjs"), transport, "http://"+address, service, fmt.Sprint(at.UnixMilli()))
	node.Stderr = os.Stderr
	if out, err := node.Output(); err != nil {
		t.Fatalf("%s: %v: %s", service, err, out)
	}
}

// pushLoki sends a request, and returns the status and Retry-After.
func pushLoki(t *testing.T, address, kind, encoding string, body []byte) (status int, after string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/loki/api/v1/push", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("X-Scope-OrgID", "team-a")
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Retry-After")
}

// lokiProtobuf is a request as promtail and Alloy send it.
func lokiProtobuf(t *testing.T, streams ...push.Stream) []byte {
	t.Helper()
	req := push.PushRequest{Streams: streams}
	b, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, b)
}

const structlogLine = `{"order": 8812, "trace_id": "` + structlogTrace + `", "span_id": "` + structlogSpan + `", "event": "payment failed", ` +
	`"logger": "shop.orders", "level": "error", "timestamp": "2024-05-06T07:08:09.123456Z"}`

// What Loki's clients are given arrives field by field, through an agent and at the collector.
func TestLokisClientsArriveWhole(t *testing.T) {
	t.Parallel()
	modules := jsModules(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "loki.mjs"), []byte(readFile(t, "testdata/js/loki.mjs")), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	engine := enginetest.Shared(t)
	c, atCollector := startLokiCollector(t, engine.DSN())
	c.ready()
	atAgent := port(t)
	a := startAgent(t, c.grpc, fmt.Sprintf(", loki: {endpoint: %q}", atAgent))

	base := hour()
	exact := base.Add(123456789)
	for hop, address := range map[string]string{"agent": atAgent, "collector": atCollector} {
		winston(t, dir, "json", address, "winston-json-"+hop, base)
		winston(t, dir, "protobuf", address, "winston-protobuf-"+hop, base)

		protobuf := lokiProtobuf(t, push.Stream{Labels: fmt.Sprintf(`{app="go-protobuf-%s", namespace="shop", stream="stderr"}`, hop), Entries: []push.Entry{
			{Timestamp: exact, Line: "plain", StructuredMetadata: push.LabelsAdapter{{Name: "traceID", Value: structlogTrace}, {Name: "detected_level", Value: "warn"}, {Name: "user", Value: "u-7"}}},
			{Timestamp: exact.Add(1), Line: structlogLine}}})
		var inJSON bytes.Buffer
		w := gzip.NewWriter(&inJSON)
		fmt.Fprintf(w, `{"streams": [{"stream": {"app": "go-json-%s", "namespace": "shop", "stream": "stderr"}, "values": [
			["%d", "plain", {"traceID": "%s", "detected_level": "warn", "user": "u-7"}], ["%d", %q]]}]}`,
			hop, exact.UnixNano(), structlogTrace, exact.UnixNano()+1, structlogLine)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for _, r := range []struct {
			kind, encoding string
			body           []byte
		}{{"application/x-protobuf", "", protobuf}, {"application/json", "gzip", inJSON.Bytes()}} {
			if status, _ := pushLoki(t, address, r.kind, r.encoding, r.body); status != http.StatusNoContent {
				t.Fatalf("%s at the %s: %d", r.kind, hop, status)
			}
		}
	}
	a.drained()
	c.equation()

	structlog := row{"SeverityText": "error", "SeverityNumber": 17, "ScopeName": "shop.orders", "Body": "payment failed", "TraceId": structlogTrace, "SpanId": structlogSpan}
	own := row{"order": "8812", "timestamp": "2024-05-06T07:08:09.123456Z"} // the entry's time is another
	for _, hop := range []string{"agent", "collector"} {
		for _, transport := range []string{"json", "protobuf"} {
			service := "winston-" + transport + "-" + hop
			first := row{"Timestamp": nanos(base.Add(time.Millisecond)), "Body": `Grüße 😀 "x"\`, "SeverityText": "warn", "SeverityNumber": 13}
			if transport == "json" { // what winston was told beside the line is sent with JSON only
				first = merge(first, row{"TraceId": "4bf92f3577b34da6a3ce929d0e0e4736", "SpanId": "00f067aa0ba902b7", "LogAttributes": row{"user": "u-7"}})
			}
			checkLoki(t, engine, service, row{"k8s.namespace.name": "shop", "k8s.pod.name": "web-0", "env": "prod"}, first,
				merge(structlog, row{"Timestamp": nanos(base.Add(2 * time.Millisecond)), "LogAttributes": merge(own, row{"level": "info"})}))

			service = "go-" + transport + "-" + hop
			checkLoki(t, engine, service, row{"k8s.namespace.name": "shop", "app": service, "loki.tenant": "team-a"},
				row{"Timestamp": nanos(exact), "Body": "plain", "SeverityText": "warn", "SeverityNumber": 13, "TraceId": structlogTrace,
					"LogAttributes": row{"user": "u-7", "log.iostream": "stderr"}},
				merge(structlog, row{"Timestamp": nanos(exact.Add(1)), "LogAttributes": merge(own, row{"log.iostream": "stderr"})}))
		}
	}
}

// checkLoki compares the rows of a service with what was sent.
func checkLoki(t *testing.T, engine *enginetest.Engine, service string, resource row, sent ...row) {
	t.Helper()
	got := stored(t, engine, "otel_logs", "ServiceName = '"+service+"'", "Timestamp")
	if len(got) != len(sent) {
		t.Errorf("%s: %d rows, %d were sent", service, len(got), len(sent))
		return
	}
	of := row{"ServiceName": service, "ResourceAttributes": merge(resource, row{"service.name": service}), "ResourceSchemaUrl": "", "ScopeSchemaUrl": "",
		"ScopeName": "", "ScopeVersion": "", "ScopeAttributes": row{}, "EventName": "", "TraceId": "", "SpanId": "", "TraceFlags": 0, "LogAttributes": row{}}
	var want []row
	for i, columns := range sent {
		want = append(want, merge(of, columns, row{"ObservedTimestamp": got[i]["ObservedTimestamp"]}))
	}
	same(t, service, got, want)
}

// When the log is full clients are told to wait, and what they were told OK for is delivered when
// a collector is there.
func TestAFullLogTellsLokisClientsToWait(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t)
	target, loki, admin := port(t), port(t), port(t)
	a := &node{wal: filepath.Join(t.TempDir(), "wal")}
	a.proc = start(t, "agent", admin, "agent", "--config", config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: ""}, http: {endpoint: ""}}, loki: {endpoint: %q}}
wal: {dir: %q, max_size_mib: 24, min_free_mib: 1}
batch: {timeout: 200ms}
forward: {otlp: {endpoints: [%q], retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
admin: {endpoint: %q}
`, loki, a.wal, target, admin)))
	a.healthyNode()

	const perRequest = 200
	filler := strings.Repeat("all work and no play ", 100)
	request := func(from int) []byte {
		s := push.Stream{Labels: `{job="full"}`}
		for i := range perRequest {
			s.Entries = append(s.Entries, push.Entry{Timestamp: time.Now(), Line: filler, StructuredMetadata: push.LabelsAdapter{{Name: "n", Value: strconv.Itoa(from + i)}}})
		}
		return lokiProtobuf(t, s)
	}
	sent, refused := 0, false
	for !refused && sent < 2000*perRequest {
		switch status, after := pushLoki(t, loki, "application/x-protobuf", "", request(sent)); {
		case status == http.StatusNoContent:
			sent += perRequest
		case status == http.StatusTooManyRequests && after != "":
			refused = true
		default:
			t.Fatalf("%d, Retry-After %q", status, after)
		}
	}
	if !refused || sent == 0 {
		t.Fatalf("%d entries taken, and not told to wait: %v", sent, refused)
	}
	if kit.Total(a.metrics(), "spillway_refused_requests_total", `reason="busy"`) == 0 {
		t.Error("the refusal is not counted")
	}
	a.equation()

	admin = port(t)
	start(t, "collector", admin, "collector", "--config", config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: ""}}}
batch: {timeout: 1s}
forward: {clickhouse: {dsn: %q}}
admin: {endpoint: %q}
`, target, engine.DSN(), admin)))
	until(t, "taken again", func() bool {
		status, _ := pushLoki(t, loki, "application/x-protobuf", "", request(sent))
		return status == http.StatusNoContent
	})
	sent += perRequest
	a.drained()
	conn := connect(t, engine.DSN())
	if got := one(t, conn, "SELECT uniqExact(LogAttributes['n']) FROM otel_logs WHERE ServiceName = 'full'"); got != uint64(sent) {
		t.Errorf("%d entries stored, %d acknowledged", got, sent)
	}
}
