package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// calm keeps the disk of the machine that tests out of it: nothing moves because that is nearly full.
const calm = `<clickhouse>
<macros><shard>1</shard><replica>first</replica></macros>
<storage_configuration><policies><hot_cold><move_factor>0</move_factor></hot_cold></policies></storage_configuration>
</clickhouse>`

// tiered is the schema section of these tests.
const tiered = "retention: {logs: 30d, traces: 30d, metrics: 365d}, storage_policy: hot_cold, cold_after: {logs: 1d, traces: 1d, metrics: 1d}"

const (
	day = 24 * time.Hour
	// cold is an age at which rows are cold and not expired. Metrics are in partitions of a week, and
	// rows of that age in another than those of now.
	cold    = 10 * day
	expired = 400 * day
)

// sent is one row of each signal, of that age.
func sent(name string, age time.Duration) requests {
	at := uint64(time.Now().Add(-age).UnixNano())
	logs := numbered(name, span{0, 1})
	logs.ResourceLogs[0].ScopeLogs[0].LogRecords[0].TimeUnixNano = at
	of := logs.ResourceLogs[0].Resource
	return requests{logs: logs,
		traces: &tracepb.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{Resource: of, ScopeSpans: []*trace.ScopeSpans{{
			Spans: []*trace.Span{{Name: name, TraceId: traceA, SpanId: spanA, StartTimeUnixNano: at, EndTimeUnixNano: at}}}}}}},
		metrics: &metricspb.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{Resource: of, ScopeMetrics: []*metrics.ScopeMetrics{{
			Metrics: []*metrics.Metric{{Name: name, Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: []*metrics.NumberDataPoint{{TimeUnixNano: at, Value: &metrics.NumberDataPoint_AsInt{AsInt: 7}}}}}}}}}}}}}
}

var tieredTables = []struct{ name, time string }{{"otel_logs", "Timestamp"}, {"otel_traces", "Timestamp"}, {"otel_metrics_gauge", "TimeUnix"}}

// disks says on which disks the parts are whose newest row is that old, and how many rows they hold.
func disks(engine *enginetest.Engine, table string, from, to time.Duration) string {
	return engine.SQL(fmt.Sprintf(`SELECT arrayStringConcat(arraySort(groupUniqArray(disk_name)), ','), sum(rows) FROM system.parts
		WHERE active AND database = '%s' AND table = '%s' AND dateDiff('second', toDateTime(max_time), now()) BETWEEN %d AND %d`,
		engine.Database(), table, int(from.Seconds()), int(to.Seconds())))
}

func TestOldRowsMoveToAColdDisk(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t)
	configured(t, engine, map[string]string{"calm.xml": calm,
		"storage.xml": shipped(t, "storage-hot-cold-local.xml", "/mnt/cold/clickhouse/", t.TempDir()+"/")})
	moves(t, engine)
}

func TestOldRowsMoveToABucket(t *testing.T) {
	t.Parallel()
	bucket := newBucket(t)
	engine := withBucket(t, bucket, "false")
	moves(t, engine)
	// What each replica writes is below a prefix of its own.
	list, err := bucket.backend.ListBucket("cold", nil, gofakes3.ListBucketPage{})
	if err != nil || len(list.Contents) == 0 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, object := range list.Contents {
		if !strings.HasPrefix(object.Key, "clickhouse/1/first/") {
			t.Errorf("object %s", object.Key)
		}
	}
	// The parts that moved are still there for the next process.
	engine.Kill9()
	engine.Restart()
	if got := engine.SQL("SELECT count(), any(Body) FROM otel_logs WHERE Timestamp < now() - INTERVAL 1 DAY"); got != "1\trecord 0 of the test" {
		t.Errorf("after a restart: %s", got)
	}
	engine.SQL("DROP TABLE otel_logs SYNC")
	engine.SQL("DROP TABLE otel_traces SYNC")
	engine.SQL("DROP TABLE otel_metrics_gauge SYNC")
	if list, err := bucket.backend.ListBucket("cold", nil, gofakes3.ListBucketPage{}); err != nil || len(list.Contents) > 0 {
		t.Errorf("dropped tables leave %d objects, %v", len(list.Contents), err)
	}
}

// moves sends rows of three ages through a collector. Those that are cold move in the background,
// those that expired go, and the others stay.
func moves(t *testing.T, engine *enginetest.Engine) {
	c, file := collectorOf(t, fmt.Sprintf("dsn: %q", engine.DSN()), tiered)
	c.ready()
	if out, err := spillway("schema", "plan", "--config", file); err != nil || !strings.Contains(out, "nothing to do") {
		t.Errorf("plan: %v\n%s", err, out)
	}
	engine.SQL("SYSTEM STOP MOVES")
	engine.SQL("SYSTEM STOP TTL MERGES")
	sent("young", 0).to(t, c.grpc)
	sent("cold", cold).to(t, c.grpc)
	sent("expired", expired).to(t, c.grpc)
	before := make(map[string]string)
	content := func(table, time string) string {
		return engine.SQL(fmt.Sprintf("SELECT toString(tuple(*)) FROM %s WHERE %s BETWEEN now() - INTERVAL 11 DAY AND now() - INTERVAL 9 DAY", table, time))
	}
	for _, table := range tieredTables {
		// No INSERT waited for the cold volume.
		for age, at := range map[string]time.Duration{"young": 0, "cold": cold, "expired": expired} {
			if got := disks(engine, table.name, max(0, at-time.Hour), at+time.Hour); got != "default\t1" {
				t.Errorf("%s, %s, after the INSERT: %s", table.name, age, got)
			}
		}
		before[table.name] = content(table.name, table.time)
	}
	engine.SQL("SYSTEM START MOVES")
	engine.SQL("SYSTEM START TTL MERGES")
	for _, table := range tieredTables {
		until(t, table.name+": moved", func() bool { return disks(engine, table.name, cold-time.Hour, cold+time.Hour) == "cold\t1" })
		until(t, table.name+": expired", func() bool {
			return strings.HasSuffix(disks(engine, table.name, expired-time.Hour, expired+time.Hour), "\t0")
		})
		if got := disks(engine, table.name, 0, time.Hour); got != "default\t1" {
			t.Errorf("%s, young: %s", table.name, got)
		}
		if got := content(table.name, table.time); got != before[table.name] || got == "" {
			t.Errorf("%s: the row was\n%s\nand is, cold,\n%s", table.name, before[table.name], got)
		}
	}
}

// A bucket is an S3 server in this process, that can be away, refuse and be slow.
type bucket struct {
	backend gofakes3.Backend
	addr    string
	handler http.Handler
	refuses atomic.Bool  // 503 SlowDown
	slow    atomic.Int64 // nanoseconds before each answer
	server  *http.Server
}

func newBucket(t *testing.T) *bucket {
	t.Helper()
	b := &bucket{backend: s3mem.New(), addr: "127.0.0.1:0"}
	if err := b.backend.CreateBucket("cold"); err != nil {
		t.Fatal(err)
	}
	b.handler = gofakes3.New(b.backend).Server()
	b.up(t)
	t.Cleanup(b.down)
	return b
}

// up answers at the same address as before.
func (b *bucket) up(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	server := b.server
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("S3: %v", err)
		}
	}()
}

// down closes the listener and cuts connections.
func (b *bucket) down() { b.server.Close() }

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.refuses.Load() {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>`)
		return
	}
	select {
	case <-time.After(time.Duration(b.slow.Load())):
	case <-r.Context().Done():
	}
	b.handler.ServeHTTP(w, r)
}

// env is what the shipped file asks for.
func (b *bucket) env() []string {
	return []string{"COLD_S3_ENDPOINT=http://" + b.addr + "/cold/clickhouse/", "COLD_S3_ACCESS_KEY_ID=key", "COLD_S3_SECRET_ACCESS_KEY=secret"}
}

// withBucket starts an engine with the shipped file; onInsert is whether late rows go to the bucket at once.
func withBucket(t *testing.T, b *bucket, onInsert string) *enginetest.Engine {
	t.Helper()
	engine := enginetest.Start(t, enginetest.WithEnv(b.env()...))
	configured(t, engine, map[string]string{"calm.xml": calm, "storage.xml": shipped(t, "storage-hot-cold-s3.xml",
		"50Gi", "100Mi",
		"<perform_ttl_move_on_insert>false<", "<perform_ttl_move_on_insert>"+onInsert+"<")})
	return engine
}

// late sends records of that age and remembers them when they are acknowledged.
func (l *load) late(age time.Duration, n uint64) {
	l.t.Helper()
	l.mu.Lock()
	s := span{l.next, l.next + n}
	l.next = s.to
	l.mu.Unlock()
	request := numbered(l.id, s)
	for _, record := range request.ResourceLogs[0].ScopeLogs[0].LogRecords {
		record.TimeUnixNano -= uint64(age)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := logspb.NewLogsServiceClient(l.conn).Export(ctx, request); err != nil {
		l.t.Fatalf("late records: %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, s)
}

const (
	hotRows  = "SELECT count() FROM otel_logs WHERE Timestamp > now() - INTERVAL 1 HOUR AND NOT ignore(*)"
	coldRows = "SELECT count() FROM otel_logs WHERE Timestamp < now() - INTERVAL 1 DAY AND NOT ignore(*)"
)

// The bucket goes away, refuses, and is slow: hot rows are taken and found as if nothing were, cold
// ones are found again when it is back, and what should have moved moves.
func TestABucketThatIsAwayStopsNobody(t *testing.T) {
	t.Parallel()
	bucket := newBucket(t)
	engine := withBucket(t, bucket, "false")
	c, _ := collectorOf(t, fmt.Sprintf("dsn: %q", engine.DSN()), tiered)
	c.ready()
	l := newLoad(t, c.grpc, "bucket", 20)
	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	loading.Go(func() { l.run(ctx, 2, 50*time.Millisecond) })
	defer loading.Wait()
	defer stop()
	more := func(what string) {
		t.Helper()
		from := l.ackedCount()
		until(t, what+": some more records acknowledged", func() bool { return l.ackedCount() > from+200 })
	}
	moved := func(rows int) {
		t.Helper()
		until(t, fmt.Sprintf("%d rows are cold", rows), func() bool {
			return disks(engine, "otel_logs", day, expired) == fmt.Sprintf("cold\t%d", rows)
		})
	}
	l.late(cold, 100)
	moved(100)
	if got := engine.SQL(coldRows); got != "100" {
		t.Errorf("%s rows are cold", got)
	}

	rows := 100
	away := func(what string) {
		t.Helper()
		more(what)
		if _, err := ask(engine, hotRows); err != nil {
			t.Errorf("%s: hot rows: %v", what, err)
		}
		if got, err := ask(engine, coldRows); err != nil || got != fmt.Sprint(rows) {
			t.Errorf("%s: cold rows that the cache has: %s, %v", what, got, err)
		}
		engine.SQL("SYSTEM DROP FILESYSTEM CACHE")
		begin := time.Now()
		mustFail(t, engine, coldRows, "Code: 499.")
		t.Logf("%s: a query of cold rows fails after %s", what, time.Since(begin).Round(100*time.Millisecond))
		l.late(cold, 50)
		rows += 50
		if got := disks(engine, "otel_logs", day, expired); !strings.Contains(got, "default\t") {
			t.Errorf("%s: late rows are on %s", what, got)
		}
		more(what)
	}
	back := func() {
		t.Helper()
		moved(rows)
		if got := engine.SQL(coldRows); got != fmt.Sprint(rows) {
			t.Errorf("%s rows are cold, want %d", got, rows)
		}
	}
	bucket.down()
	away("away")
	bucket.up(t)
	back()

	bucket.refuses.Store(true)
	away("refusing")
	bucket.refuses.Store(false)
	back()

	bucket.slow.Store(int64(200 * time.Millisecond))
	l.late(cold, 50)
	rows += 50
	more("slow")
	back()

	stop()
	loading.Wait()
	lost, duplicated := l.verify(connect(t, engine.DSN()))
	t.Logf("records %d, lost %d, duplicated %d", l.ackedCount(), lost, duplicated)
	if lost > 0 || duplicated > 0 {
		t.Errorf("%d acknowledged records are lost, %d are there twice", lost, duplicated)
	}
	if strings.Contains(c.log.String(), "INSERT failed") {
		t.Error("an INSERT failed")
	}
}

// Why perform_ttl_move_on_insert is false: with true, the server's own default, rows that are late
// wait at their sender for as long as the bucket is away. They are not lost.
func TestAnInsertThatNeedsTheBucketWaitsForIt(t *testing.T) {
	t.Parallel()
	bucket := newBucket(t)
	engine := withBucket(t, bucket, "true")
	c, _ := collectorOf(t, fmt.Sprintf("dsn: %q", engine.DSN()), tiered)
	c.ready()
	a := startAgent(t, c.grpc, "")
	l := newLoad(t, a.grpc, "late", 1)
	bucket.down()
	l.late(cold, 100)
	c.says("S3_ERROR")
	// Of the same agent, and of now.
	l.late(0, 100)
	until(t, "rows of now are stored", func() bool { return engine.SQL(hotRows) == "100" })
	if held := kit.Total(a.metrics(), "spillway_wal_held_items"); held < 100 {
		t.Errorf("the agent holds %.0f records", held)
	}
	var failed string
	for line := range strings.Lines(c.log.String()) {
		if strings.Contains(line, "INSERT failed") && strings.Contains(line, "S3_ERROR") {
			failed = line
		}
	}
	for _, want := range []string{`"class":"transient"`, "object storage of the cold volume"} {
		if !strings.Contains(failed, want) {
			t.Errorf("the collector does not say %s in %s", want, failed)
		}
	}
	bucket.up(t)
	a.drained()
	if lost, duplicated := l.verify(connect(t, engine.DSN())); lost > 0 || duplicated > 0 {
		t.Errorf("%d acknowledged records are lost, %d are there twice", lost, duplicated)
	}
	if got := disks(engine, "otel_logs", day, expired); got != "cold\t100" {
		t.Errorf("late rows are on %s", got)
	}
}

// A server that starts while the bucket is away: what it needs of cold parts to begin with is in its cache, so
// it serves hot rows. With an empty cache it says why it cannot, and ends.
func TestAStartWithoutTheBucket(t *testing.T) {
	t.Parallel()
	bucket := newBucket(t)
	engine := withBucket(t, bucket, "false")
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", engine.PID()))
	if err != nil {
		t.Fatal(err)
	}
	c, _ := collectorOf(t, fmt.Sprintf("dsn: %q", engine.DSN()), tiered)
	c.ready()
	l := newLoad(t, c.grpc, "start", 1)
	l.late(cold, 100)
	l.late(0, 100)
	until(t, "rows are cold", func() bool { return disks(engine, "otel_logs", day, expired) == "cold\t100" })
	bucket.down()
	engine.Kill9()
	engine.Restart()
	if got := engine.SQL(hotRows); got != "100" {
		t.Errorf("%s rows are hot", got)
	}
	mustFail(t, engine, coldRows, "Code: 499.")
	l.late(0, 100)

	engine.Kill9()
	if err := os.RemoveAll(filepath.Join(engine.DataDir(), "store/cache/cold")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := exec.CommandContext(ctx, program, "--data-dir", engine.DataDir(), "--http", "127.0.0.1:0", "--native", "127.0.0.1:0", "--die-with-parent")
	again.Env = append(os.Environ(), bucket.env()...)
	out, err := again.CombinedOutput()
	if err == nil || ctx.Err() != nil || !strings.Contains(string(out), "S3_ERROR") {
		t.Errorf("started without bucket and cache: %v\n%s", err, out)
	}
	bucket.up(t)
	engine.Restart()
	if got := engine.SQL(coldRows); got != "100" {
		t.Errorf("%s rows are cold", got)
	}
	if lost, duplicated := l.verify(connect(t, engine.DSN())); lost > 0 || duplicated > 0 {
		t.Errorf("%d acknowledged records are lost, %d are there twice", lost, duplicated)
	}
}
