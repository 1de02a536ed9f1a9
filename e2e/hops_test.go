package e2e

import (
	"bytes"
	"net/http"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// Identities survive whatever lies between a node's log and ClickHouse.

// A node with a log in the middle: answers between it and the first one are lost, and it is killed
// with what it has taken. What reached it twice is stored once.
func TestAGatewayWithALogKeepsIdentities(t *testing.T) {
	t.Parallel()
	engine := enginetest.Shared(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	behind := newWire(t, c.grpc)
	g := startAgent(t, behind.Addr(), "")
	before := newWire(t, g.grpc)
	a := startAgent(t, before.Addr(), "")
	l := newLoad(t, a.grpc, t.Name(), 100)
	l.some(5)
	a.drained()
	g.drained()

	taken := func(n float64) func() bool {
		return func() bool { return kit.Total(g.metrics(), "spillway_in_items_total") >= n }
	}
	before.Set(kit.Weather{Deaf: true})    // the gateway takes it, and the node does not hear of it
	behind.Set(kit.Weather{Stalled: true}) // and it stays there
	l.some(5)
	until(t, "the gateway has it", taken(1000))
	before.Cut()
	before.Set(kit.Weather{})
	a.drained()
	until(t, "the gateway has it twice", taken(1500))
	g.kill()
	behind.Cut()
	behind.Set(kit.Weather{})
	g.start()
	g.healthy()
	l.some(5)
	a.drained()
	l.onceAndAll(g, engine.DSN())
	streams := one(t, connect(t, engine.DSN()), "SELECT uniqExact(IngestStream) FROM otel_logs WHERE LogAttributes['test'] = ?", l.id)
	if streams != 1 {
		t.Errorf("%d streams, want that of the first node's log alone", streams)
	}
}

// marked is a request of that many items, behind a marker of a log that the test plays.
func marked(t *testing.T, request proto.Message, items int, m forward.Marker) []byte {
	t.Helper()
	body, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	m.Length, m.Items, m.Accepted = uint32(len(body)), uint32(items), time.Now().UnixNano()
	return append(m.Append(nil), body...)
}

// post sends a body over OTLP/HTTP, and returns the status and ClickHouse's time in seconds.
func (c *collector) post(signal string, body []byte, headers ...string) (status int, now uint32) {
	c.t.Helper()
	req, err := http.NewRequest("POST", "http://"+c.http+"/v1/"+signal, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
	nanos, err := strconv.ParseInt(resp.Header.Get("spillway-clock"), 10, 64)
	if err != nil {
		c.t.Errorf("no clock: %v", err)
	}
	return resp.StatusCode, uint32(nanos / 1e9)
}

func TestIdentitiesOverHTTP(t *testing.T) {
	t.Parallel()
	engine := enginetest.Shared(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	conn := connect(t, engine.DSN())
	rows := func(want uint64) {
		t.Helper()
		if got := one(t, conn, "SELECT count() FROM otel_logs WHERE LogAttributes['test'] = ?", t.Name()); got != want {
			t.Errorf("%d rows, want %d", got, want)
		}
	}
	status, now := c.post("logs", nil)
	if status != http.StatusOK {
		t.Fatalf("an empty request: %d", status)
	}
	m := forward.Marker{Stream: [16]byte{7, 7, 7}, Seq: 5, Until: now + 15}
	body := marked(t, numbered(t.Name(), span{0, 100}), 100, m)
	if status, _ := c.post("logs", body); status != http.StatusOK {
		t.Errorf("fresh: %d", status)
	}
	rows(100)
	forward.Stamp(body, now-1, now+15)
	if status, _ := c.post("logs", body); status != http.StatusOK {
		t.Errorf("redelivered: %d", status)
	}
	rows(100)

	// Each signal's rows are found by their own times.
	trace := tracesOf(func(i int) uint64 { return uint64(time.Now().UnixNano()) + uint64(i)*123456789 }, 0)
	spans := 0
	for _, r := range trace.ResourceSpans {
		for _, s := range r.ScopeSpans {
			spans += len(s.Spans)
		}
	}
	for signal, request := range map[string]proto.Message{"traces": trace, "metrics": points(20)} {
		items := map[string]int{"traces": spans, "metrics": 20}[signal]
		body := marked(t, request, items, m)
		for i := range 3 { // each time in other company, so that no token knows it
			other := m
			other.Seq += uint64(100 * (i + 1))
			if status, _ := c.post(signal, append(body, marked(t, request, items, other)...)); status != http.StatusOK {
				t.Errorf("%s: %d", signal, status)
			}
			forward.Stamp(body, now-1, now+15)
		}
	}
	for table, n := range map[string]uint64{"otel_traces": uint64(spans), "otel_metrics_gauge": 10, "otel_metrics_sum": 8, "otel_metrics_histogram": 2} {
		if got := one(t, conn, "SELECT count() FROM "+table+" WHERE IngestStream = ? AND IngestSeq = 5", m.StreamID()); got != n {
			t.Errorf("%s: %d rows, want %d", table, got, n)
		}
	}

	// Somebody on the way sends it again by himself.
	m.Seq = 6
	body = marked(t, numbered(t.Name(), span{100, 200}), 100, m)
	if status, _ := c.post("logs", body, "X-Envoy-Attempt-Count", "2"); status != http.StatusTooManyRequests {
		t.Errorf("a proxy's second attempt: %d", status)
	}
	rows(100)
	if status, _ := c.post("logs", body, "X-Envoy-Attempt-Count", "1"); status != http.StatusOK {
		t.Errorf("its first: %d", status)
	}
	if status, _ := c.post("logs", body, "X-Envoy-Attempt-Count", "3"); status != http.StatusOK {
		t.Errorf("what is there: %d", status)
	}
	rows(200)

	// A marker that we do not know.
	body = marked(t, numbered(t.Name(), span{200, 300}), 100, m)
	body[3] = forward.MarkerVersion + 1
	if status, _ := c.post("logs", body); status != http.StatusOK {
		t.Errorf("a newer marker: %d", status)
	}
	rows(300)
	c.says("record markers of a version that is not known here")
	if got := one(t, conn, "SELECT count() FROM otel_logs WHERE LogAttributes['test'] = ? AND IngestStream = ''", t.Name()); got != 100 {
		t.Errorf("%d rows without identity, want 100", got)
	}
}
