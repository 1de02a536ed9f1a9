package schema_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"pgregory.net/rapid"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
	"github.com/spillway-io/spillway/schema"
)

// The tests below hold against ClickHouse itself.

func connect(t *testing.T, e *enginetest.Engine) clickhouse.Conn {
	t.Helper()
	options, err := clickhouse.ParseDSN(e.DSN())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// create makes the tables. They keep rows for ever: those of the tests are of any
// time, and ClickHouse may drop what has expired at once.
func create(e *enginetest.Engine) {
	for _, statement := range schema.Statements(schema.Options{Database: e.Database()}) {
		e.SQL(statement)
	}
}

func insert(ctx context.Context, conn clickhouse.Conn, database string, r *schema.Rows, fence uint32) error {
	var b proto.Buffer
	if err := schema.Encode(&b, fence, r); err != nil {
		return err
	}
	return conn.InsertFormat(ctx, "Native", r.Table().InsertSQL(schema.Options{Database: database}), bytes.NewReader(b.Buf))
}

// query reads a result back in the Native format.
func query(t *testing.T, e *enginetest.Engine, sql string) []row {
	t.Helper()
	u := url.URL{Scheme: "http", Host: e.HTTPAddr(), RawQuery: url.Values{"database": {e.Database()}}.Encode()}
	resp, err := http.Post(u.String(), "text/plain", strings.NewReader(sql+" FORMAT Native"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := bufio.NewReaderSize(resp.Body, 1<<20) // so large that ch-go reads from it without one of its own
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(body)
		t.Fatalf("%s: %s", sql, text)
	}
	var all []row
	blocks := proto.NewReader(body)
	for {
		if _, err := body.Peek(1); err == io.EOF {
			return all
		}
		_, rows := nextBlock(t, blocks)
		all = append(all, rows...)
	}
}

// drawn fills a set and a reference with requests of all signals.
func drawn(t *testing.T, s *schema.Set) *reference {
	t.Helper()
	seed := rand.Int()
	t.Logf("seed %d", seed)
	want := newReference(origin())
	check := func(_ schema.Count, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		l := rapid.Custom(func(t *rapid.T) plog.Logs { return drawLogs(t) }).Example(seed + i)
		check(s.AppendLogs(logsBody(t, l), origin()))
		want.logs(l)
		tr := rapid.Custom(func(t *rapid.T) ptrace.Traces { return drawTraces(t) }).Example(seed + i)
		check(s.AppendTraces(tracesBody(t, tr), origin()))
		want.traces(tr)
		m := rapid.Custom(func(t *rapid.T) pmetric.Metrics { return drawMetrics(t) }).Example(seed + i)
		check(s.AppendMetrics(metricsBody(t, m), origin()))
		want.metrics(m)
	}
	return want
}

func TestClickHouseReadsBackWhatWasSent(t *testing.T) {
	e := enginetest.Shared(t)
	create(e)
	conn := connect(t, e)
	s := schema.NewSet()
	want := map[string][]row{}
	for b, rows := range drawn(t, s).rows {
		for _, r := range rows {
			delete(r, "IngestFence")
			want[b.Table] = append(want[b.Table], r)
		}
	}
	for r := range s.Buckets() {
		if err := insert(t.Context(), conn, e.Database(), r, fence); err != nil {
			t.Fatalf("%s, partition %d: %v", r.Table().Name(), r.Partition(), err)
		}
	}
	for _, table := range schema.Tables() {
		columns := strings.TrimSuffix(table.InsertColumns(), ", IngestFence")
		sql := "SELECT " + columns + " FROM " + table.Name()
		if !table.Identified() { // its rows may have been merged
			sql = "SELECT TraceId, min(Start) AS Start, max(End) AS End, Day FROM " + table.Name() + " GROUP BY TraceId, Day"
		}
		byText := cmpopts.SortSlices(func(a, b row) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		if diff := gocmp.Diff(want[table.Name()], query(t, e, sql), byText, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("%s (-sent +stored):\n%s", table.Name(), diff)
		}
	}
}

// In a session far from UTC, so that a zone that is not the table's own would show.
func TestRowsOfAPartitionAreOnePartitionToTheServer(t *testing.T) {
	e := enginetest.Shared(t)
	conn := connect(t, e)
	tokyo := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"session_timezone": "Asia/Tokyo"}))
	for _, statement := range schema.Statements(schema.Options{Database: e.Database()}) {
		if err := conn.Exec(tokyo, statement); err != nil {
			t.Fatal(err)
		}
	}
	s := schema.NewSet()
	drawn(t, s)
	for r := range s.Buckets() {
		name := r.Table().Name()
		e.SQL("TRUNCATE TABLE " + name)
		if err := insert(tokyo, conn, e.Database(), r, fence); err != nil {
			t.Fatal(err)
		}
		got := e.SQL("SELECT DISTINCT partition FROM system.parts WHERE active AND database = currentDatabase() AND table = '" + name + "'")
		if want := time.Unix(int64(r.Partition())*86400, 0).UTC().Format(time.DateOnly); got != want {
			t.Errorf("%s: partition %q on the server, %s here", name, got, want)
		}
		if got, want := e.SQL("SELECT DISTINCT toUInt16("+r.Table().PartitionExpr()+") FROM "+name), fmt.Sprint(r.Partition()); got != want {
			t.Errorf("%s: rows of partition %s in %s", name, got, want)
		}
	}
}

// exceptionCode is ClickHouse's code of an error, 0 if it is none of its.
func exceptionCode(err error) int32 {
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		return exception.Code
	}
	return 0
}

func TestABlockAfterItsFenceIsRefused(t *testing.T) {
	const functionThrewException = 395
	e := enginetest.Shared(t)
	create(e)
	conn := connect(t, e)
	s := schema.NewSet()
	for _, r := range benchRequests(t, 20) {
		if _, err := r.add(s, r.body, origin()); err != nil {
			t.Fatal(err)
		}
	}
	for r := range s.Buckets() {
		if !r.Table().Identified() {
			continue
		}
		err := insert(t.Context(), conn, e.Database(), r, uint32(time.Now().Add(-time.Minute).Unix()))
		if code := exceptionCode(err); code != functionThrewException || !strings.Contains(err.Error(), "fenced") {
			t.Errorf("%s: code %d: %v", r.Table().Name(), code, err)
		}
		if n := e.SQL("SELECT count() FROM " + r.Table().Name()); n != "0" {
			t.Errorf("%s: %s rows", r.Table().Name(), n)
		}
		if err := insert(t.Context(), conn, e.Database(), r, uint32(time.Now().Add(time.Hour).Unix())); err != nil {
			t.Errorf("%s: before its fence: %v", r.Table().Name(), err)
		}
	}
}

func TestColdStorageNeedsAVolume(t *testing.T) {
	const badTTLExpression = 450
	e := enginetest.Shared(t)
	conn := connect(t, e)
	o := schema.DefaultOptions()
	o.Database = e.Database()
	o.ColdAfter = schema.Retention{Traces: day, Logs: day, Metrics: day}
	o.StoragePolicy = "default"
	for _, table := range schema.Tables() {
		err := conn.Exec(t.Context(), table.DDL(o))
		want := int32(badTTLExpression)
		if !table.Identified() {
			want = 0 // it is never moved
		}
		if code := exceptionCode(err); code != want {
			t.Errorf("%s: code %d, want %d: %v", table.Name(), code, want, err)
		}
	}
}

func TestReviewedStatementsRun(t *testing.T) {
	e := enginetest.Shared(t)
	reviewed, err := os.ReadFile("testdata/single.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range strings.Split(string(reviewed), ";\n") {
		if strings.HasPrefix(strings.TrimSpace(sql), "CREATE") {
			here := strings.ReplaceAll(strings.ReplaceAll(sql, " otel.", " "+e.Database()+"."), "NOT EXISTS otel\n", "NOT EXISTS "+e.Database())
			e.SQL(here)
			e.SQL(here) // what exists is left as it is
		}
	}
	// A writer that knows nothing of us, and the view that serves it. These tables have a TTL: the rows are of yesterday.
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	e.SQL(fmt.Sprintf("INSERT INTO otel_traces (Timestamp, TraceId, SpanName) VALUES ('%[1]s 10:00:00', 'abc', 'x'), ('%[1]s 10:00:05', 'abc', 'y')", yesterday))
	got := e.SQL("SELECT TraceId, toUnixTimestamp(End) - toUnixTimestamp(Start), Day FROM otel_traces_trace_id_ts")
	if want := "abc\t5\t" + yesterday; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if n := e.SQL("SELECT count() FROM otel_traces WHERE IngestStream = '' AND InsertedAt > now() - 600"); n != "2" {
		t.Errorf("%s rows without identity, want 2", n)
	}
}

// exporterColumns are what the OpenTelemetry Collector's ClickHouse exporter,
// v0.161, inserts.
var exporterColumns = map[string]string{
	"otel_logs": "Timestamp, TraceId, SpanId, TraceFlags, SeverityText, SeverityNumber, ServiceName, Body, ResourceSchemaUrl, " +
		"ResourceAttributes, ScopeSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes, LogAttributes, EventName",
	"otel_traces": "Timestamp, TraceId, SpanId, ParentSpanId, TraceState, SpanName, SpanKind, ServiceName, ResourceAttributes, " +
		"ScopeName, ScopeVersion, SpanAttributes, Duration, StatusCode, StatusMessage, Events.Timestamp, Events.Name, Events.Attributes, " +
		"Links.TraceId, Links.SpanId, Links.TraceState, Links.Attributes",
	"otel_metrics_gauge":                 exporterPoint + ", Value, Flags, " + exporterExemplars,
	"otel_metrics_sum":                   exporterPoint + ", Value, Flags, " + exporterExemplars + ", AggregationTemporality, IsMonotonic",
	"otel_metrics_histogram":             exporterPoint + ", Count, Sum, BucketCounts, ExplicitBounds, " + exporterExemplars + ", Flags, Min, Max, AggregationTemporality",
	"otel_metrics_exponential_histogram": exporterPoint + ", Count, Sum, Scale, ZeroCount, PositiveOffset, PositiveBucketCounts, NegativeOffset, NegativeBucketCounts, " + exporterExemplars + ", Flags, Min, Max, AggregationTemporality",
	"otel_metrics_summary":               exporterPoint + ", Count, Sum, ValueAtQuantiles.Quantile, ValueAtQuantiles.Value, Flags",
}

const (
	exporterPoint = "ResourceAttributes, ResourceSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes, ScopeDroppedAttrCount, " +
		"ScopeSchemaUrl, ServiceName, MetricName, MetricDescription, MetricUnit, Attributes, StartTimeUnix, TimeUnix"
	exporterExemplars = "Exemplars.FilteredAttributes, Exemplars.TimeUnix, Exemplars.Value, Exemplars.SpanId, Exemplars.TraceId"
)

func TestTheExporterCanWriteTheseTables(t *testing.T) {
	e := enginetest.Shared(t)
	create(e)
	for _, table := range schema.Tables() {
		columns, found := exporterColumns[table.Name()]
		if found != table.Identified() {
			t.Errorf("%s: written by the exporter: %v", table.Name(), found)
		}
		if !found {
			continue
		}
		e.SQL(fmt.Sprintf(`INSERT INTO %s (%s) FORMAT JSONEachRow {"%s": "2026-11-22 10:00:00"}`, table.Name(), columns, table.TimeColumn()))
		if n := e.SQL("SELECT count() FROM " + table.Name()); n != "1" {
			t.Errorf("%s: %s rows", table.Name(), n)
		}
		ours := strings.Split(strings.ReplaceAll(table.InsertColumns(), "`", ""), ", ")
		for _, column := range strings.Split(columns, ", ") {
			if !slices.Contains(ours, column) {
				t.Errorf("%s: we do not write %s", table.Name(), column)
			}
		}
	}
}
