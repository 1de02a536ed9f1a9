package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/prometheus/client_golang/prometheus"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
	"github.com/spillway-io/spillway/schema"
)

// The same writer before the real engine.

// quick retries soon: what is waited for here is an event, not a back-off.
var quick = forward.RetryConfig{InitialInterval: 20 * time.Millisecond, MaxInterval: 50 * time.Millisecond, MaxElapsedTime: time.Minute}

type rig struct {
	*Writer
	e *enginetest.Engine
	m *forward.Counters

	reg *prometheus.Registry // of m
}

// out is how many items ended so.
func (r *rig) out(outcome string) (n float64) {
	families, err := r.reg.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "spillway_out_items_total" && l.GetName() == "outcome" && l.GetValue() == outcome {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

func newRig(t *testing.T) *rig { return rigWith(t, nil) }

func rigWith(t *testing.T, change func(*schema.Options)) *rig {
	t.Helper()
	e := enginetest.Shared(t)
	c, _ := mustMigrate(t, e, false, change)
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	m := forward.NewCounters(reg, "test")
	l := forward.NewLimiter(1<<40, 1<<40, forward.Soft, time.Second, slog.New(slog.DiscardHandler))
	w := NewWriter(c, Config{Batch: DefaultBatchConfig(), Retry: quick}, l, m, slog.New(slog.DiscardHandler))
	w.Ready()
	w.Hurry()
	t.Cleanup(w.Close)
	return &rig{w, e, m, reg}
}

// records is a batch of records of that many rows each, as an agent sends them; the rows whose
// numbers are bad say so.
func records(stream byte, rows []int, bad ...int) forward.Batch {
	b := forward.Batch{Signal: forward.Logs}
	n := 0
	for seq, count := range rows {
		scope := &logs.ScopeLogs{}
		for range count {
			text := fmt.Sprintf("fine %d", n)
			for _, i := range bad {
				if i == n {
					text = fmt.Sprintf("bad %d", n)
				}
			}
			scope.LogRecords = append(scope.LogRecords, &logs.LogRecord{TimeUnixNano: uint64(time.Now().UnixNano()), Body: str(text)})
			n++
		}
		body, err := proto.Marshal(&logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{ScopeLogs: []*logs.ScopeLogs{scope}}}})
		if err != nil {
			panic(err)
		}
		b.Body = forward.Marker{Stream: [16]byte{stream}, Seq: uint64(seq), Length: uint32(len(body)), Accepted: time.Now().UnixNano(), Items: uint32(count)}.Append(b.Body)
		b.Body = append(b.Body, body...)
		b.Items += count
	}
	return b
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// Only the rows that ClickHouse refuses are refused, by their numbers; all others are stored, once.
func TestOnlyTheBadRowsAreRefused(t *testing.T) {
	r := newRig(t)
	r.e.SQL("ALTER TABLE otel_logs ADD CONSTRAINT good CHECK NOT startsWith(Body, 'bad')")
	got := puts(within(t, time.Minute), r.Writer,
		records(1, []int{5, 5}),
		records(2, []int{10, 40, 30}, 13, 71),
		records(3, []int{1}, 0),
		records(4, []int{3}))
	for i, want := range []string{"",
		"taken, but 2 items cannot be stored (rejected): otel_logs: row 14 of 80 of partition " + time.Now().UTC().Format(time.DateOnly),
		"refused (rejected): otel_logs: row 1 of 1", ""} {
		err := <-got[i]
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("caller %d: %v, want %q", i, err, want)
		}
		if i == 1 && (err == nil || !strings.Contains(err.Error(), "row 72 of 80")) {
			t.Errorf("caller %d does not name both rows: %v", i, err)
		}
	}
	if got := r.e.SQL("SELECT count(), uniqExact(IngestStream, Body), countIf(startsWith(Body, 'bad')) FROM otel_logs"); got != "91\t91\t0" {
		t.Errorf("stored %q, want 91 different rows", got)
	}
}

// When a whole block is refused it is not its rows' fault: nothing is given up.
func TestAStormOfBadRowsIsHeld(t *testing.T) {
	r := newRig(t)
	r.e.SQL("ALTER TABLE otel_logs ADD CONSTRAINT odd CHECK 0")
	err := r.Put(within(t, time.Minute), records(1, []int{20, 20}))
	if busy := forward.Busy(err); busy == nil || !errors.Is(err, errStorm) {
		t.Fatalf("%v, want to be told to wait", err)
	}
	r.e.SQL("ALTER TABLE otel_logs DROP CONSTRAINT odd")
	if err := r.Put(within(t, time.Minute), records(1, []int{20, 20})); err != nil {
		t.Error(err)
	}
}

// What is fine among them is stored while the culprits are looked for, and known again when the same
// batch comes once more.
func TestAStormStoresNothingTwice(t *testing.T) {
	r := newRig(t)
	r.e.SQL("ALTER TABLE otel_logs ADD CONSTRAINT good CHECK NOT startsWith(Body, 'bad')")
	var bad []int
	for i := range maxBad + 4 {
		bad = append(bad, 90+i)
	}
	batch := records(1, []int{50, 50, 50}, bad...)
	for range 3 {
		if err := r.Put(within(t, time.Minute), batch); !errors.Is(err, errStorm) {
			t.Fatal(err)
		}
	}
	if got := r.e.SQL("SELECT count() - uniqExact(Body), count() > 80 FROM otel_logs"); got != "0\t1" {
		t.Errorf("%q: rows that are there twice, and whether most are there", got)
	}
}

// A fault that somebody has to mend holds what it concerns, says what to do, and is over when it is
// mended. Other tables do not notice.
func TestAMissingTableHoldsItsRowsOnly(t *testing.T) {
	r := newRig(t)
	points := func(sums bool) forward.Batch {
		point := []*metrics.NumberDataPoint{{TimeUnixNano: uint64(time.Now().UnixNano()), Value: &metrics.NumberDataPoint_AsDouble{AsDouble: 1}}}
		m := &metrics.Metric{Name: "m", Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: point}}}
		if sums {
			m.Data = &metrics.Metric_Sum{Sum: &metrics.Sum{DataPoints: point}}
		}
		body, err := proto.Marshal(&metricspb.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{m}}}}}})
		if err != nil {
			t.Fatal(err)
		}
		return forward.Batch{Signal: forward.Metrics, Items: 1, Body: body}
	}
	r.e.SQL("DROP TABLE otel_metrics_sum")
	got := puts(within(t, time.Minute), r.Writer, points(true), points(false))
	err := <-got[0]
	if busy := forward.Busy(err); busy == nil || busy.After == 0 || !strings.Contains(r.LastError()+err.Error(), "otel_metrics_sum") {
		t.Errorf("%v, want to be told to wait, and for which table", err)
	}
	if err := <-got[1]; err != nil {
		t.Errorf("another table of the same signal: %v", err)
	}
	select {
	case <-r.Misconfigured():
	default:
		t.Error("nobody is told")
	}
	if look(err).hint != hintApply {
		t.Errorf("hint %q", look(err).hint)
	}
	mustMigrate(t, r.e, false, nil)
	for {
		err := r.Put(within(t, time.Minute), points(true))
		if err == nil {
			break
		}
		if forward.Busy(err) == nil {
			t.Fatal(err)
		}
	}
	if got := r.e.SQL("SELECT count() FROM otel_metrics_sum"); got != "1" {
		t.Errorf("%s rows", got)
	}
}

// A view that somebody attached and that fails is never the rows' fault. The table may have them
// already, so the same block is sent with the same token until the view is mended, and is there once.
func TestAFailingViewHoldsItsTable(t *testing.T) {
	r := newRig(t)
	r.e.SQL("CREATE TABLE v (n UInt8) ENGINE = Memory")
	r.e.SQL("CREATE MATERIALIZED VIEW broken TO v AS SELECT toUInt8(throwIf(Body != '', 'no')) AS n FROM otel_logs")
	got := puts(within(t, time.Minute), r.Writer, records(1, []int{3}))
	for !strings.HasPrefix(r.LastError(), hintView) {
		select {
		case err := <-got[0]:
			t.Fatalf("answered while the view fails: %v", err)
		default:
			runtime.Gosched()
		}
	}
	r.e.SQL("DROP VIEW broken")
	if err := <-got[0]; err != nil {
		t.Fatal(err)
	}
	if got := r.e.SQL("SELECT count() FROM otel_logs"); got != "3" {
		t.Errorf("%s rows of 3", got)
	}
}

// "Too many parts" is waited out, and meanwhile other tables get their rows.
func TestTooManyPartsArePatientlyWaitedFor(t *testing.T) {
	r := newRig(t)
	r.e.SQL("SYSTEM STOP MERGES " + r.e.Database() + ".otel_logs")
	r.e.SQL("ALTER TABLE otel_logs MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 2, max_delay_to_insert = 1")
	for i := range 2 {
		if err := r.Put(within(t, time.Minute), records(byte(i), []int{1})); err != nil {
			t.Fatal(err)
		}
	}
	err := r.Put(within(t, 3*time.Second), records(9, []int{1}))
	if forward.Busy(err) == nil || classify(err) != crowded {
		t.Fatalf("%v, want too many parts", err)
	}
	if !r.patient(forward.Logs) || r.patient(forward.Traces) {
		t.Error("not patient, or impatient with the wrong table")
	}
	r.e.SQL("SYSTEM START MERGES " + r.e.Database() + ".otel_logs")
	r.e.SQL("OPTIMIZE TABLE otel_logs FINAL")
	if err := r.Put(within(t, time.Minute), records(9, []int{1})); err != nil {
		t.Error(err)
	}
}

// A block that cannot be encoded is not sent at all: over HTTP half a body could pass for a whole one.
func TestABlockThatCannotBeEncodedIsNotSent(t *testing.T) {
	r := newRig(t)
	set := schema.NewSet()
	if _, err := set.AppendLogs(logBatch(3, "x", false).Body, schema.Origin{Accepted: time.Now().UnixNano()}); err != nil {
		t.Fatal(err)
	}
	c := &caller{ctx: t.Context(), rows: slices.Collect(set.Buckets()), items: 3, done: make(chan error, 1)}
	b := merge([]*caller{c})[0]
	r.store(t.Context(), b, b.all(), 0) // without a fence
	b.settle()
	if err := <-c.done; forward.Busy(err) == nil || !strings.Contains(err.Error(), "encode") {
		t.Errorf("%v, want an error that says so", err)
	}
	if got := r.e.SQL("SELECT count() FROM otel_logs"); got != "0" {
		t.Errorf("%s rows", got)
	}
	if got := r.e.SQL("SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'otel_logs'"); got != "0" {
		t.Errorf("%s parts", got)
	}
}

// Blocks arrive the same with every compression that a DSN may ask for.
func TestEveryCompressionArrives(t *testing.T) {
	e := enginetest.Shared(t)
	mustMigrate(t, e, false, nil)
	for i, method := range []string{"", "?compress=lz4", "?compress=zstd", "?compress=none"} {
		c, err := Open(e.DSN()+method, schema.DefaultOptions(), nil)
		if err != nil {
			t.Fatal(err)
		}
		set := schema.NewSet()
		if _, err := set.AppendLogs(logBatch(20_000, "the same body again and again", false).Body, schema.Origin{Accepted: time.Now().UnixNano()}); err != nil {
			t.Fatal(err)
		}
		b := merge([]*caller{{rows: slices.Collect(set.Buckets()), done: make(chan error, 1)}})[0]
		w := newWriter(c, Config{Batch: DefaultBatchConfig(), Retry: quick}, forward.NewLimiter(1<<40, 1<<40, forward.Soft, time.Second, slog.New(slog.DiscardHandler)), forward.NewCounters(nil, "test"), slog.New(slog.DiscardHandler))
		if w.store(within(t, time.Minute), b, b.all(), forward.Fence(time.Now().Add(time.Hour))); b.err != nil {
			t.Errorf("%q: %v", method, b.err)
		}
		if got, want := e.SQL("SELECT count() FROM otel_logs WHERE Body = 'the same body again and again'"), strconv.Itoa(20_000*(i+1)); got != want {
			t.Errorf("%q: %s rows, want %s", method, got, want)
		}
		c.Close()
	}
	if _, err := Open(e.DSN()+"?compress=gzip", schema.DefaultOptions(), nil); err == nil || !strings.Contains(err.Error(), "use lz4") {
		t.Errorf("gzip: %v", err)
	}
}

// Numbers and names of the table of codes are those of the server.
func TestCodesAreTheServersCodes(t *testing.T) {
	e := enginetest.Shared(t)
	for number, c := range codes {
		if got := e.SQL(fmt.Sprintf("SELECT errorCodeToName(%d)", number)); got != c.name {
			t.Errorf("%d is %s, not %s", number, got, c.name)
		}
	}
}

// What the server is told with a block, as a proxy in front of it sees it.
func TestWhatTheServerIsToldWithABlock(t *testing.T) {
	e := enginetest.Shared(t)
	mustMigrate(t, e, false, nil)
	var mu sync.Mutex
	var told url.Values
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: e.HTTPAddr()})
		if q := r.In.URL.Query(); strings.HasPrefix(q.Get("query"), "INSERT") {
			mu.Lock()
			told = q
			mu.Unlock()
		}
	}})
	defer proxy.Close()
	c, err := Open("http://default:@"+proxy.Listener.Addr().String()+"/"+e.Database(), schema.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	set := schema.NewSet()
	if _, err := set.AppendLogs(logBatch(3, "x", false).Body, schema.Origin{Accepted: time.Now().UnixNano()}); err != nil {
		t.Fatal(err)
	}
	for rows := range set.Buckets() {
		var buf chproto.Buffer
		if err := schema.Encode(&buf, forward.Fence(time.Now().Add(time.Hour)), rows); err != nil {
			t.Fatal(err)
		}
		if err := c.insert(within(t, 15*time.Second), rows.Table(), buf.Buf, "a token"); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for setting, want := range map[string]string{"max_execution_time": "10", "async_insert": "0", "insert_deduplication_token": "a token", "decompress": "1", "insert_keeper_max_retries": "2"} {
		if got := told.Get(setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
}
