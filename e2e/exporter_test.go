package e2e

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
	"github.com/spillway-io/spillway/schema"
)

var update = flag.Bool("update", false, "write schema/testdata/exporter/*.sql instead of comparing with it")

// otelcol builds the OpenTelemetry Collector, unless the cache has it, and returns its path.
var otelcol = sync.OnceValues(func() (string, error) {
	build := exec.Command("otelcol/build.sh")
	build.Stderr = os.Stderr
	path, err := build.Output()
	return strings.TrimSpace(string(path)), err
})

// startExporter runs the OpenTelemetry Collector with its ClickHouse exporter on that database until the test ends, and returns
// where it takes OTLP over gRPC. It answers OK when the exporter's INSERT has succeeded: it has neither queue nor retries. extra
// is more configuration of the exporter.
func startExporter(t *testing.T, engine *enginetest.Engine, extra string) string {
	t.Helper()
	binary, err := otelcol()
	if err != nil {
		t.Fatalf("build the OpenTelemetry Collector: %v: the first run of this test needs a module proxy", err)
	}
	addr := port(t)
	file := config(t, fmt.Sprintf(`
receivers: {otlp: {protocols: {grpc: {endpoint: %q}}}}
exporters:
  clickhouse: {endpoint: "http://default:@%s", database: %s, timeout: 30s, async_insert: false,
    sending_queue: {enabled: false}, retry_on_failure: {enabled: false}%s}
service:
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines:
    logs: {receivers: [otlp], exporters: [clickhouse]}
    traces: {receivers: [otlp], exporters: [clickhouse]}
    metrics: {receivers: [otlp], exporters: [clickhouse]}
`, addr, engine.HTTPAddr(), engine.Database(), extra))
	var said logBuffer
	cmd := exec.Command(binary, "--config", file)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("otelcol said:\n%s", tail(said.String(), 30))
		}
	})
	until(t, "otelcol listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	return addr
}

// The exporter's own tables are what schema/testdata/exporter says, with its default settings and with a ttl.
func TestTheExportersOwnTables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ prefix, extra string }{{"", ""}, {"ttl_", ", ttl: 72h"}} {
		engine := enginetest.Shared(t)
		startExporter(t, engine, c.extra)
		seen := make(map[string]bool)
		for _, table := range strings.Fields(engine.SQL("SHOW TABLES")) {
			ddl := engine.SQL("SHOW CREATE TABLE " + table + " FORMAT TSVRaw")
			ddl = strings.ReplaceAll(ddl, engine.Database()+".", "otel.") + "\n"
			path := filepath.Join("../schema/testdata/exporter", c.prefix+table+".sql")
			seen[path] = true
			if *update {
				if err := os.WriteFile(path, []byte(ddl), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := gocmp.Diff(readFile(t, path), ddl); diff != "" {
				t.Errorf("%s (-want +got; go test ./e2e -run %s -update accepts it):\n%s", path, t.Name(), diff)
			}
		}
		for _, table := range schema.Tables() {
			if path := filepath.Join("../schema/testdata/exporter", c.prefix+table.Name()+".sql"); !seen[path] {
				t.Errorf("the exporter made no %s", table.Name())
			}
		}
	}
}

// A difference is a value that we store differently from the exporter, on purpose. Of a row that we do not store, column is empty.
type difference struct {
	table, row, column string
	theirs, ours       string
	why                string // what the docs of package schema say of it
}

// accepted stands for a time between the begin of the test and now.
const accepted = "(when it was accepted)"

const (
	whyLast     = "of equal keys the last one counts"
	whyJSON     = "a NaN or infinity within a JSON value is written as a string instead of emptying the whole value"
	whyDuration = "a span that ends before it starts lasts 0 ns instead of centuries"
	whyExemplar = "an exemplar without a trace has no id instead of one of zeros"
	whyTime     = "timestamps that ClickHouse cannot hold, or that would land in a partition of the far future, are replaced (see Origin)"
	whyOrigin   = "It stands in for timestamps that are zero, before 1971, after 2104 or more than 24 h later than itself; the original, if there was one, is kept in the attribute"
	whyCounted  = "what has no place in the tables is counted"
)

const (
	zeroSpans  = "['0000000000000000','0000000000000000']"
	zeroTraces = "['00000000000000000000000000000000','00000000000000000000000000000000']"
	noIDs      = "['','']"
)

// differencesFrom lists them; base is the time that requests count from.
func differencesFrom(base time.Time) []difference {
	instant := base.Format(time.DateTime)
	return []difference{
		{"otel_logs", "no time", "Timestamp", "1970-01-01 00:00:00.000000000", accepted, whyOrigin},
		{"otel_logs", "1970", "Timestamp", "1970-01-01 00:00:00.000000001", accepted, whyOrigin},
		{"otel_logs", "1970", "LogAttributes", "{'case':'1970'}", "{'case':'1970','spillway.original_timestamp':'1'}", whyOrigin},
		{"otel_logs", "end of time", "Timestamp", "1969-12-31 23:59:59.999999999", accepted, whyTime},
		{"otel_logs", "end of time", "LogAttributes", "{'case':'end of time'}", "{'case':'end of time','spillway.original_timestamp':'18446744073709551615'}", whyOrigin},
		{"otel_logs", "far future", "Timestamp", "2200-02-03 04:05:06.000000007", accepted, whyTime},
		{"otel_logs", "far future", "LogAttributes", "{'case':'far future'}", "{'case':'far future','spillway.original_timestamp':'7260984306000000007'}", whyOrigin},
		{"otel_logs", "key twice", "LogAttributes", "{'case':'key twice','other':'1','twice':'first','twice':'second'}", "{'case':'key twice','other':'1','twice':'second'}", whyLast},
		{"otel_logs", "service twice", "ResourceAttributes", "{'service.name':'one','service.name':'two'}", "{'service.name':'two'}", whyLast},
		{"otel_logs", "service twice", "ServiceName", "one", "two", whyLast},
		{"otel_logs", "not a number within", "LogAttributes", "{'array':'','case':'not a number within','map':''}", `{'array':'[1,"NaN"]','case':'not a number within','map':'{"inf":"-Infinity"}'}`, whyJSON},

		{"otel_traces", "no start", "Timestamp", "1970-01-01 00:00:00.000000000", accepted, whyOrigin},
		{"otel_traces", "no start", "Duration", fmt.Sprint(since(base, 9)), "0", whyDuration},
		{"otel_traces", "nothing else", "Duration", fmt.Sprint(-since(base, 6)), "0", whyDuration},
		{"otel_traces", "ends before it starts", "Duration", "18446744073708551615", "0", whyDuration},
		{"otel_traces", "far future", "Timestamp", "2200-02-03 04:05:06.000000007", accepted, whyTime},
		{"otel_traces", "far future", "SpanAttributes", "{}", "{'spillway.original_timestamp':'7260984306000000007'}", whyOrigin},
		{"otel_traces", "key twice", "SpanAttributes", "{'twice':'first','twice':'second'}", "{'twice':'second'}", whyLast},
		{"otel_traces", "full ☂", "Events.Timestamp",
			"['" + instant + ".002000002','1970-01-01 00:00:00.000000000','1969-12-31 23:59:59.999999999','2200-02-03 04:05:06.000000007']",
			"['" + instant + ".002000002','1970-01-01 00:00:00.000000000','2262-04-11 23:47:16.854775807','2200-02-03 04:05:06.000000007']", whyTime},

		{"otel_metrics_gauge", "gauge no times", "TimeUnix", "1970-01-01 00:00:00", accepted, whyOrigin},
		{"otel_metrics_gauge", "gauge no value", "", "", "", whyCounted},
		{"otel_metrics_gauge", "gauge key twice", "Attributes", "{'twice':'first','twice':'second'}", "{'twice':'second'}", whyLast},
		{"otel_metrics_gauge", "gauge bare exemplars", "Exemplars.SpanId", zeroSpans, noIDs, whyExemplar},
		{"otel_metrics_gauge", "gauge bare exemplars", "Exemplars.TraceId", zeroTraces, noIDs, whyExemplar},
		{"otel_metrics_sum", "sum unspecified", "Exemplars.SpanId", zeroSpans, noIDs, whyExemplar},
		{"otel_metrics_sum", "sum unspecified", "Exemplars.TraceId", zeroTraces, noIDs, whyExemplar},
		{"otel_metrics_histogram", "histogram bare", "Exemplars.SpanId", zeroSpans, noIDs, whyExemplar},
		{"otel_metrics_histogram", "histogram bare", "Exemplars.TraceId", zeroTraces, noIDs, whyExemplar},
		{"otel_metrics_exponential_histogram", "exponential bare", "Exemplars.SpanId", zeroSpans, noIDs, whyExemplar},
		{"otel_metrics_exponential_histogram", "exponential bare", "Exemplars.TraceId", zeroTraces, noIDs, whyExemplar},
	}
}

// since is a time of the requests, in nanoseconds: the n-th one after base.
func since(base time.Time, n int) uint64 { return uint64(base.UnixNano()) + uint64(n)*1_000_001 }

// What the exporter writes into our tables lands, and is what our collector writes for the same requests: in every column that the
// exporter inserts, but for the differences listed above, which the docs of package schema name.
func TestWeStoreWhatTheExporterStores(t *testing.T) {
	t.Parallel()
	own, theirs, ours := enginetest.Shared(t), enginetest.Shared(t), enginetest.Shared(t)
	startExporter(t, own, "") // for its columns
	for _, sql := range schema.Statements(schema.Options{Database: theirs.Database()}) {
		theirs.SQL(sql)
	}
	exporter := startExporter(t, theirs, ", create_schema: false")
	c := startCollector(t, ours.DSN())
	c.ready()
	base, begin := hour(), time.Now()
	sent := everything(base)
	sent.to(t, exporter)
	sent.to(t, c.grpc)

	docs := strings.Join(strings.Fields(strings.ReplaceAll(readFile(t, "../schema/doc.go")+readFile(t, "../schema/set.go"), "//", " ")), " ")
	expected := make(map[[3]string]difference)
	for _, d := range differencesFrom(base) {
		if !strings.Contains(docs, d.why) {
			t.Errorf("the docs of package schema do not say %q", d.why)
		}
		expected[[3]string{d.table, d.row, d.column}] = d
	}
	for _, table := range tablesOf(own) {
		columns := strings.Fields(own.SQL(fmt.Sprintf("SELECT name FROM system.columns WHERE database = '%s' AND table = '%s' AND default_kind = '' ORDER BY position", own.Database(), table)))
		got, want := rowsOf(t, ours, table, columns), rowsOf(t, theirs, table, columns)
		for name, their := range want {
			if _, ok := expected[[3]string{table, name, ""}]; ok && got[name] == nil {
				delete(expected, [3]string{table, name, ""})
				delete(want, name)
				continue
			}
			for _, column := range columns {
				key, our := [3]string{table, name, column}, got[name][column]
				d, ok := expected[key]
				delete(expected, key)
				if !ok {
					d = difference{theirs: their[column], ours: their[column]}
				}
				if their[column] != d.theirs {
					t.Errorf("%q: the exporter stores %s, want %s", key, their[column], d.theirs)
				}
				if our != d.ours && !(d.ours == accepted && between(our, begin)) {
					t.Errorf("%q: the exporter stores %s, we %s, want %s", key, their[column], our, d.ours)
				}
			}
		}
		if diff := gocmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("%s: rows (-exporter +ours):\n%s", table, diff)
		}
	}
	for key := range expected {
		t.Errorf("%q is listed as a difference, and is none", key)
	}
}

// tablesOf are the tables that the exporter inserts into: all but the one that the server fills.
func tablesOf(own *enginetest.Engine) []string {
	return strings.Fields(own.SQL(fmt.Sprintf("SELECT name FROM system.tables WHERE database = '%s' AND name NOT LIKE '%%trace_id_ts%%' ORDER BY name", own.Database())))
}

// rowsOf are the rows of a table by the name of their case, each value as text.
func rowsOf(t *testing.T, engine *enginetest.Engine, table string, columns []string) map[string]map[string]string {
	t.Helper()
	name := map[string]string{"otel_logs": "LogAttributes['case']", "otel_traces": "SpanName"}[table]
	list := []string{cmp.Or(name, "MetricName")}
	for _, c := range columns {
		list = append(list, "toString("+c+")")
	}
	out := make(map[string]map[string]string)
	for line := range strings.Lines(engine.SQL(fmt.Sprintf("SELECT %s FROM %s FORMAT JSONCompactEachRow", strings.Join(list, ", "), table))) {
		var values []string
		if err := json.Unmarshal([]byte(line), &values); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if out[values[0]] != nil {
			t.Errorf("%s: %s is there twice", table, values[0])
		}
		out[values[0]] = make(map[string]string)
		for i, c := range columns {
			out[values[0]][c] = values[i+1]
		}
	}
	return out
}

func between(text string, begin time.Time) bool {
	at, err := time.Parse(time.DateTime, text) // with or without a fraction
	return err == nil && !at.Before(begin.Truncate(time.Second)) && !at.After(time.Now())
}

// requests are one of each signal.
type requests struct {
	logs    *logspb.ExportLogsServiceRequest
	traces  *tracepb.ExportTraceServiceRequest
	metrics *metricspb.ExportMetricsServiceRequest
}

func (r requests) to(t *testing.T, addr string) {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if resp, err := logspb.NewLogsServiceClient(conn).Export(t.Context(), r.logs); err != nil || resp.PartialSuccess.GetRejectedLogRecords() != 0 {
		t.Fatalf("%v, %v", resp, err)
	}
	if resp, err := tracepb.NewTraceServiceClient(conn).Export(t.Context(), r.traces); err != nil || resp.PartialSuccess.GetRejectedSpans() != 0 {
		t.Fatalf("%v, %v", resp, err)
	}
	if resp, err := metricspb.NewMetricsServiceClient(conn).Export(t.Context(), r.metrics); err != nil {
		t.Fatalf("%v, %v", resp, err)
	}
}

// everything holds each field, and each value that may be told in more than one way. Rows are told apart by name: a log record's
// attribute "case", a span's name, a metric's name.
func everything(base time.Time) requests {
	at := func(n int) uint64 { return since(base, n) }
	future := uint64(time.Date(2200, 2, 3, 4, 5, 6, 7, time.UTC).UnixNano())
	return requests{logs: logsOf(at, future), traces: tracesOf(at, future), metrics: metricsOf(at)}
}

var (
	traceA = []byte{0, 0xab, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff}
	spanA  = []byte{0, 0xcd, 2, 3, 4, 5, 6, 0xfe}
	spanB  = []byte{1, 2, 3, 4, 5, 6, 7, 8}
)

func integer(n int64) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: n}}
}

func double(f float64) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: f}}
}

func boolean(b bool) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: b}}
}

func blob(b ...byte) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: b}}
}

func array(values ...*common.AnyValue) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: values}}}
}

func object(pairs ...*common.KeyValue) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: pairs}}}
}

func pair(key string, v *common.AnyValue) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: v}
}

// values are attributes of every type, in no order.
func values() []*common.KeyValue {
	return []*common.KeyValue{
		pair("z.string", kit.Text("plain")), pair("unicode ☂ κλειδί", kit.Text("naïve 漢字 😀 \u2028 <&> \" \\ ' \n\t\x01")),
		pair("int.max", integer(math.MaxInt64)), pair("int.min", integer(math.MinInt64)), pair("int.zero", integer(0)),
		pair("double", double(0.1)), pair("double.whole", double(7)), pair("double.large", double(1e21)), pair("double.small", double(1.5e-7)),
		pair("double.max", double(math.MaxFloat64)), pair("double.least", double(math.SmallestNonzeroFloat64)), pair("double.negative.zero", double(math.Copysign(0, -1))),
		pair("double.nan", double(math.NaN())), pair("double.inf", double(math.Inf(1))), pair("double.-inf", double(math.Inf(-1))),
		pair("true", boolean(true)), pair("false", boolean(false)), pair("bytes", blob(0, 1, 0xfe, 0xff)), pair("bytes.empty", blob()),
		pair("string.empty", kit.Text("")), pair("nothing", nil), pair("no value", &common.AnyValue{}), pair("", kit.Text("under no key")),
		pair("array", array(kit.Text("a<b>&\u2029"), integer(-1), double(2.5), double(1e-9), boolean(true), blob(1, 2), blob(), nil, array(), array(integer(1)), object())),
		pair("map", object(pair("z", integer(1)), pair("a", kit.Text("\x7f\x1f\b\f\r")), pair("m", object(pair("deep", array(object(pair("er", double(1e300))))))))),
		pair("array.empty", array()), pair("map.empty", object()),
	}
}

func resourceWith(pairs ...*common.KeyValue) *resourcepb.Resource {
	return &resourcepb.Resource{Attributes: pairs}
}

func scope() *common.InstrumentationScope {
	return &common.InstrumentationScope{Name: "scope ☂", Version: "1.2.3-é", Attributes: []*common.KeyValue{pair("scope.kind", kit.Text("library")), pair("scope.n", integer(3))}, DroppedAttributesCount: 5}
}

// named is the attribute that tells a log record's row from others.
func named(name string, more ...*common.KeyValue) []*common.KeyValue {
	return append([]*common.KeyValue{pair("case", kit.Text(name))}, more...)
}

func logsOf(at func(int) uint64, future uint64) *logspb.ExportLogsServiceRequest {
	full := &logs.LogRecord{TimeUnixNano: at(1), ObservedTimeUnixNano: at(2), SeverityNumber: logs.SeverityNumber_SEVERITY_NUMBER_WARN2, SeverityText: "Warn ☂",
		Body: kit.Text("body ☂ \n\t' \\ \x01"), Attributes: named("full", values()...), Flags: 1, TraceId: traceA, SpanId: spanA, EventName: "device.app.lifecycle"}
	records := []*logs.LogRecord{full,
		{TimeUnixNano: at(3)}, // the one without a name, or anything else
		{TimeUnixNano: at(4), Attributes: named("ids of zeros"), TraceId: make([]byte, 16), SpanId: make([]byte, 8)},
		{ObservedTimeUnixNano: at(5), Attributes: named("observed only")},
		{Attributes: named("no time")},
		{TimeUnixNano: future, Attributes: named("far future")},
		{TimeUnixNano: 1, Attributes: named("1970")},
		{TimeUnixNano: math.MaxUint64, Attributes: named("end of time")},
		{TimeUnixNano: at(6), Attributes: named("flags and severity beyond"), Flags: 0x1ff, SeverityNumber: 300},
		{TimeUnixNano: at(7), Attributes: named("key twice", pair("twice", kit.Text("first")), pair("other", integer(1)), pair("twice", kit.Text("second")))},
		{TimeUnixNano: at(8), Attributes: named("key twice within", pair("map", object(pair("twice", kit.Text("first")), pair("twice", kit.Text("second")))))},
		{TimeUnixNano: at(9), Attributes: named("not a number within", pair("array", array(integer(1), double(math.NaN()))), pair("map", object(pair("inf", double(math.Inf(-1))))))},
	}
	for i, v := range values() {
		records = append(records, &logs.LogRecord{TimeUnixNano: at(100 + i), Attributes: named("body " + v.Key), Body: v.Value})
	}
	alone := func(name string) []*logs.LogRecord {
		return []*logs.LogRecord{{TimeUnixNano: at(200), Attributes: named(name)}}
	}
	return &logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{
		{Resource: resourceWith(append(values(), pair("service.name", kit.Text("exporter ☂")))...), SchemaUrl: "https://opentelemetry.io/schemas/1.37.0",
			ScopeLogs: []*logs.ScopeLogs{{Scope: scope(), SchemaUrl: "https://opentelemetry.io/schemas/1.36.0", LogRecords: records}, {LogRecords: alone("no scope")}}},
		{ScopeLogs: []*logs.ScopeLogs{{LogRecords: alone("no resource")}}},
		{Resource: resourceWith(pair("service.name", integer(7))), ScopeLogs: []*logs.ScopeLogs{{LogRecords: alone("service of a number")}}},
		{Resource: resourceWith(pair("service.name", kit.Text("one")), pair("service.name", kit.Text("two"))), ScopeLogs: []*logs.ScopeLogs{{LogRecords: alone("service twice")}}},
	}}
}

func tracesOf(at func(int) uint64, future uint64) *tracepb.ExportTraceServiceRequest {
	spans := []*traces.Span{
		{Name: "full ☂", TraceId: traceA, SpanId: spanA, ParentSpanId: spanB, TraceState: "a=1,b=☂", Flags: 0x301, Kind: traces.Span_SPAN_KIND_CLIENT,
			StartTimeUnixNano: at(1), EndTimeUnixNano: at(5) + 7, Attributes: values(), DroppedAttributesCount: 1, DroppedEventsCount: 2, DroppedLinksCount: 3,
			Status: &traces.Status{Code: traces.Status_STATUS_CODE_ERROR, Message: "failed ☂ 'badly'"},
			Events: []*traces.Span_Event{{Name: "exception ☂", TimeUnixNano: at(2), Attributes: values()}, {}, {Name: "end of time", TimeUnixNano: math.MaxUint64},
				{Name: "far future", TimeUnixNano: future, Attributes: []*common.KeyValue{pair("b", integer(1)), pair("a", integer(2))}}},
			Links: []*traces.Span_Link{{TraceId: traceA, SpanId: spanB, TraceState: "c=3", Attributes: values(), Flags: 1}, {},
				{TraceId: make([]byte, 16), SpanId: make([]byte, 8), Attributes: []*common.KeyValue{pair("b", boolean(true)), pair("a", blob(9))}}}},
		{Name: "nothing else", StartTimeUnixNano: at(6)},
		{Name: "ids of zeros", StartTimeUnixNano: at(7), EndTimeUnixNano: at(7), TraceId: make([]byte, 16), SpanId: make([]byte, 8), ParentSpanId: make([]byte, 8)},
		{Name: "ends before it starts", StartTimeUnixNano: at(8), EndTimeUnixNano: at(7)},
		{Name: "no start", EndTimeUnixNano: at(9)},
		{Name: "far future", StartTimeUnixNano: future, EndTimeUnixNano: future + 5},
		{Name: "key twice", StartTimeUnixNano: at(10), EndTimeUnixNano: at(11), Attributes: []*common.KeyValue{pair("twice", kit.Text("first")), pair("twice", kit.Text("second"))}},
		{Name: "status beyond", StartTimeUnixNano: at(12), EndTimeUnixNano: at(13), Status: &traces.Status{Code: 9}},
		{Name: "status ok", StartTimeUnixNano: at(14), EndTimeUnixNano: at(15), Status: &traces.Status{Code: traces.Status_STATUS_CODE_OK, Message: "fine"}},
	}
	for kind := range traces.Span_SpanKind(8) {
		spans = append(spans, &traces.Span{Name: fmt.Sprintf("kind %d", kind), Kind: kind, StartTimeUnixNano: at(20), EndTimeUnixNano: at(21)})
	}
	return &tracepb.ExportTraceServiceRequest{ResourceSpans: []*traces.ResourceSpans{
		{Resource: resourceWith(append(values(), pair("service.name", kit.Text("exporter ☂")))...), SchemaUrl: "https://opentelemetry.io/schemas/1.37.0",
			ScopeSpans: []*traces.ScopeSpans{{Scope: scope(), SchemaUrl: "https://opentelemetry.io/schemas/1.36.0", Spans: spans}}},
		{ScopeSpans: []*traces.ScopeSpans{{Spans: []*traces.Span{{Name: "no resource", StartTimeUnixNano: at(30), EndTimeUnixNano: at(31)}}}}},
	}}
}

func metricsOf(at func(int) uint64) *metricspb.ExportMetricsServiceRequest {
	const cumulative, delta = metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE, metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	exemplars := []*metrics.Exemplar{
		{TimeUnixNano: at(1), Value: &metrics.Exemplar_AsDouble{AsDouble: 2.5}, TraceId: traceA, SpanId: spanA, FilteredAttributes: values()},
		{TimeUnixNano: at(2), Value: &metrics.Exemplar_AsInt{AsInt: math.MaxInt64}, TraceId: traceA, SpanId: spanB},
	}
	bare := []*metrics.Exemplar{{TimeUnixNano: at(3)}, {TraceId: make([]byte, 16), SpanId: make([]byte, 8)}}
	number := func(p *metrics.NumberDataPoint) *metrics.NumberDataPoint {
		p.StartTimeUnixNano, p.TimeUnixNano = at(0), at(4)
		return p
	}
	gauge := func(name string, p *metrics.NumberDataPoint) *metrics.Metric {
		return &metrics.Metric{Name: name, Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: []*metrics.NumberDataPoint{p}}}}
	}
	sum := func(name string, of metrics.AggregationTemporality, monotonic bool, p *metrics.NumberDataPoint) *metrics.Metric {
		return &metrics.Metric{Name: name, Data: &metrics.Metric_Sum{Sum: &metrics.Sum{AggregationTemporality: of, IsMonotonic: monotonic, DataPoints: []*metrics.NumberDataPoint{p}}}}
	}
	histogram := func(name string, of metrics.AggregationTemporality, p *metrics.HistogramDataPoint) *metrics.Metric {
		return &metrics.Metric{Name: name, Data: &metrics.Metric_Histogram{Histogram: &metrics.Histogram{AggregationTemporality: of, DataPoints: []*metrics.HistogramDataPoint{p}}}}
	}
	exponential := func(name string, of metrics.AggregationTemporality, p *metrics.ExponentialHistogramDataPoint) *metrics.Metric {
		return &metrics.Metric{Name: name, Data: &metrics.Metric_ExponentialHistogram{ExponentialHistogram: &metrics.ExponentialHistogram{AggregationTemporality: of, DataPoints: []*metrics.ExponentialHistogramDataPoint{p}}}}
	}
	summary := func(name string, p *metrics.SummaryDataPoint) *metrics.Metric {
		return &metrics.Metric{Name: name, Data: &metrics.Metric_Summary{Summary: &metrics.Summary{DataPoints: []*metrics.SummaryDataPoint{p}}}}
	}
	described := gauge("gauge ☂", number(&metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsDouble{AsDouble: -0.1}, Attributes: values(), Flags: 2, Exemplars: exemplars}))
	described.Description, described.Unit = "how much ☂", "By/{packet}"
	list := []*metrics.Metric{described,
		gauge("gauge int max", number(&metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsInt{AsInt: math.MaxInt64}})),
		gauge("gauge int min", number(&metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsInt{AsInt: math.MinInt64}})),
		gauge("gauge nan", number(&metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsDouble{AsDouble: math.NaN()}})),
		gauge("gauge inf", number(&metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsDouble{AsDouble: math.Inf(1)}})),
		gauge("gauge no recorded value", number(&metrics.NumberDataPoint{Flags: 1})),
		gauge("gauge bare exemplars", number(&metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsInt{AsInt: 1}, Exemplars: bare})),
		gauge("gauge no value", number(&metrics.NumberDataPoint{})),
		gauge("gauge no times", &metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsInt{AsInt: 1}}),
		gauge("gauge key twice", number(&metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsInt{AsInt: 1}, Attributes: []*common.KeyValue{pair("twice", kit.Text("first")), pair("twice", kit.Text("second"))}})),
		{Name: "no points", Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{}}}, // for a metric without a kind the exporter refuses the whole request
		sum("sum cumulative", cumulative, true, number(&metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsInt{AsInt: 42}, Attributes: values(), Exemplars: exemplars})),
		sum("sum delta", delta, false, number(&metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsDouble{AsDouble: 4.2}, Flags: 0xffffffff})),
		sum("sum unspecified", 0, false, number(&metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsDouble{AsDouble: 1e308}, Exemplars: bare})),
		histogram("histogram full", delta, &metrics.HistogramDataPoint{StartTimeUnixNano: at(0), TimeUnixNano: at(4), Attributes: values(), Count: math.MaxUint64, Sum: new(12.5), Min: new(-1.5), Max: new(9.75),
			BucketCounts: []uint64{1, 0, math.MaxUint64}, ExplicitBounds: []float64{-1, 2.5}, Exemplars: exemplars, Flags: 3}),
		histogram("histogram bare", cumulative, &metrics.HistogramDataPoint{TimeUnixNano: at(4), Exemplars: bare}),
		exponential("exponential full", cumulative, &metrics.ExponentialHistogramDataPoint{StartTimeUnixNano: at(0), TimeUnixNano: at(4), Attributes: values(), Count: 21, Sum: new(-12.5), Min: new(-9.75), Max: new(0.0),
			Scale: -10, ZeroCount: 7, ZeroThreshold: 0.5, Positive: &metrics.ExponentialHistogramDataPoint_Buckets{Offset: math.MinInt32, BucketCounts: []uint64{1, 2, 3}},
			Negative: &metrics.ExponentialHistogramDataPoint_Buckets{Offset: math.MaxInt32, BucketCounts: []uint64{4, 0}}, Exemplars: exemplars, Flags: 2}),
		exponential("exponential bare", delta, &metrics.ExponentialHistogramDataPoint{TimeUnixNano: at(4), Exemplars: bare}),
		summary("summary full", &metrics.SummaryDataPoint{StartTimeUnixNano: at(0), TimeUnixNano: at(4), Attributes: values(), Count: 9, Sum: 99.5, Flags: 2,
			QuantileValues: []*metrics.SummaryDataPoint_ValueAtQuantile{{Quantile: 0, Value: -1}, {Quantile: 0.99, Value: 7.5}, {Quantile: 1, Value: math.NaN()}}}),
		summary("summary bare", &metrics.SummaryDataPoint{TimeUnixNano: at(4)}),
	}
	return &metricspb.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{
		{Resource: resourceWith(append(values(), pair("service.name", kit.Text("exporter ☂")))...), SchemaUrl: "https://opentelemetry.io/schemas/1.37.0",
			ScopeMetrics: []*metrics.ScopeMetrics{{Scope: scope(), SchemaUrl: "https://opentelemetry.io/schemas/1.36.0", Metrics: list}}},
		{ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{gauge("no resource", number(&metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsInt{AsInt: 1}}))}}}},
	}}
}
