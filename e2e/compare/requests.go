package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/e2e/kit"
)

// A signal is one of the kinds of requests.
type signal struct {
	name       string
	method     string   // of gRPC
	table      string   // has a row for each item
	tables     []string // all that it is stored in
	perRequest int      // items
	make       func(w workload, n int) []byte
}

var signals = []signal{
	{"logs", "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
		"otel_logs", []string{"otel_logs"}, perLogs, workload.logs},
	{"traces", "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
		"otel_traces", []string{"otel_traces", "otel_traces_trace_id_ts"}, perTraces, workload.traces},
}

// A workload makes OTLP requests. Request n is a function of the seed and n alone.
type workload struct {
	seed  uint64
	start time.Time
}

// yesterday is noon, so that hours of rows are of one day.
func yesterday() time.Time {
	return time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
}

const (
	services   = 60
	perLogs    = 1000 // records of a request
	perTraces  = 500  // spans of a request
	rowsPerSec = 5000 // of the time that the rows tell, not of the time they take

	// Services that take part in a trace: that many requests in a row share their trace ids.
	perTrace = 4
)

// rng is the source of request n, or of what several requests share.
func (w workload) rng(kind string, n int) *rand.Rand {
	var seed [32]byte
	copy(seed[:8], kind)
	binary.LittleEndian.PutUint64(seed[8:], w.seed)
	binary.LittleEndian.PutUint64(seed[16:], uint64(n))
	return rand.New(rand.NewChaCha8(seed))
}

// instant is when row of request n happened, give or take some milliseconds.
func (w workload) instant(n, perRequest, row int, r *rand.Rand) uint64 {
	at := time.Duration(n*perRequest+row) * (time.Second / rowsPerSec)
	return uint64(w.start.Add(at).UnixNano() + r.Int64N(int64(20*time.Millisecond)))
}

// logs is request n, of perLogs records of about 340 bytes with eight attributes, two of which
// differ from record to record.
func (w workload) logs(n int) []byte {
	r := w.rng("logs", n)
	records := make([]*logs.LogRecord, perLogs)
	var traceID, spanID []byte
	for i := range records {
		if i%3 == 0 {
			traceID, spanID = kit.ID(r, 16), kit.ID(r, 8)
		}
		at := w.instant(n, perLogs, i, r)
		severity, name := logs.SeverityNumber_SEVERITY_NUMBER_INFO, "INFO"
		if p := r.IntN(100); p < 2 {
			severity, name = logs.SeverityNumber_SEVERITY_NUMBER_ERROR, "ERROR"
		} else if p < 10 {
			severity, name = logs.SeverityNumber_SEVERITY_NUMBER_WARN, "WARN"
		}
		source := r.IntN(len(bodies))
		records[i] = &logs.LogRecord{
			TimeUnixNano: at, ObservedTimeUnixNano: at + 1000 + r.Uint64N(20_000), SeverityNumber: severity, SeverityText: name,
			TraceId: traceID, SpanId: spanID, Flags: 1, Body: kit.Text(bodies[source](r)),
			Attributes: []*common.KeyValue{
				kit.Attr("code.filepath", fmt.Sprintf("/app/internal/handler%d.go", source)), kit.AttrInt("code.lineno", int64(40+source*17)),
				kit.Attr("code.function", "handle"), kit.Attr("http.method", "POST"), kit.Attr("logger", "app.requests"), kit.Attr("thread.name", "worker-3"),
				kit.Attr("request_id", fmt.Sprintf("%016x", r.Uint64())), kit.AttrInt("user_id", int64(zipf(r, 200_000))),
			},
		}
	}
	return marshal(&logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource:  resourceOf(r),
		ScopeLogs: []*logs.ScopeLogs{{Scope: &common.InstrumentationScope{Name: "app", Version: "1.4.2"}, LogRecords: records}}}}})
}

// traces is request n, of perTraces spans of about 500 bytes with seven attributes, and two events
// with three each.
func (w workload) traces(n int) []byte {
	r, shared := w.rng("traces", n), w.rng("trace", n/perTrace)
	spans := make([]*trace.Span, 0, perTraces)
	for len(spans) < perTraces {
		traceID := kit.ID(shared, 16)
		parent := kit.ID(r, 8)
		route := zipf(r, 40)
		for part := range 1 + shared.IntN(4) {
			if len(spans) == perTraces {
				break
			}
			start := w.instant(n, perTraces, len(spans), r)
			took := 200_000 + uint64(r.ExpFloat64()*30e6)
			s := &trace.Span{
				TraceId: traceID, SpanId: kit.ID(r, 8), ParentSpanId: parent, Name: fmt.Sprintf("POST /api/v1/resource%d", route), Kind: trace.Span_SPAN_KIND_SERVER,
				StartTimeUnixNano: start, EndTimeUnixNano: start + took, Flags: 1, Status: &trace.Status{},
				Attributes: []*common.KeyValue{
					kit.Attr("http.request.method", "POST"), kit.Attr("http.route", fmt.Sprintf("/api/v1/resource%d", route)), kit.AttrInt("http.response.status_code", 200),
					kit.Attr("network.protocol.version", "1.1"), kit.Attr("server.address", "gateway.internal"), kit.AttrInt("server.port", 8443),
					kit.Attr("request_id", fmt.Sprintf("%016x", r.Uint64())),
				},
				Events: []*trace.Span_Event{
					{TimeUnixNano: start + took/3, Name: "cache.lookup", Attributes: []*common.KeyValue{
						kit.Attr("cache.name", "sessions"), kit.Attr("cache.hit", "true"), kit.AttrInt("cache.size", int64(1000+r.IntN(500)))}},
					{TimeUnixNano: start + took/2, Name: "db.query", Attributes: []*common.KeyValue{
						kit.Attr("db.system", "postgresql"), kit.Attr("db.operation", "SELECT"), kit.AttrInt("db.rows", int64(zipf(r, 1000)))}},
				},
			}
			if part > 0 {
				s.Kind, s.Name = trace.Span_SPAN_KIND_CLIENT, fmt.Sprintf("SELECT table%d", route)
			}
			if r.IntN(50) == 0 {
				s.Status = &trace.Status{Code: trace.Status_STATUS_CODE_ERROR, Message: "upstream timed out"}
			}
			parent = s.SpanId
			spans = append(spans, s)
		}
	}
	return marshal(&tracepb.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
		Resource:   resourceOf(r),
		ScopeSpans: []*trace.ScopeSpans{{Scope: &common.InstrumentationScope{Name: "app", Version: "1.4.2"}, Spans: spans}}}}})
}

// bodies are what the sources of log records say.
var bodies = []func(*rand.Rand) string{
	func(r *rand.Rand) string {
		return fmt.Sprintf("request completed status=%d duration_ms=%d bytes=%d", []int{200, 200, 200, 201, 404, 500}[r.IntN(6)], r.IntN(900), r.IntN(60_000))
	},
	func(r *rand.Rand) string {
		return fmt.Sprintf("order %d accepted for customer %d, total %d.%02d EUR", r.IntN(9_000_000), zipf(r, 200_000), r.IntN(900), r.IntN(100))
	},
	func(r *rand.Rand) string {
		return fmt.Sprintf("cache miss for key session:%08x, loading from primary", r.Uint32())
	},
	func(r *rand.Rand) string {
		return fmt.Sprintf("connection to 10.2.%d.%d:5432 took %d ms, pool has %d idle", r.IntN(4), r.IntN(256), r.IntN(300), r.IntN(20))
	},
	func(r *rand.Rand) string { return "health check passed" },
	func(r *rand.Rand) string {
		return fmt.Sprintf("retrying message %d on partition %d after timeout, attempt %d of 5", r.IntN(1_000_000), r.IntN(32), 1+r.IntN(5))
	},
	func(r *rand.Rand) string {
		return fmt.Sprintf("job %08x-%04x finished in %d.%03d s with %d warnings", r.Uint32(), r.IntN(1<<16), r.IntN(90), r.IntN(1000), zipf(r, 10))
	},
	func(r *rand.Rand) string {
		return fmt.Sprintf("user %d signed in from 203.0.%d.%d with token expiring in %d seconds", zipf(r, 200_000), r.IntN(256), r.IntN(256), 60*r.IntN(60))
	},
}

// resourceOf is one of the pods of one of the services; a few services say most.
func resourceOf(r *rand.Rand) *resource.Resource {
	service := zipf(r, services)
	pod := r.IntN(3)
	return &resource.Resource{Attributes: []*common.KeyValue{
		kit.Attr("service.name", fmt.Sprintf("service-%02d", service)), kit.Attr("service.version", fmt.Sprintf("2.%d.1", service%7)),
		kit.Attr("deployment.environment.name", "production"), kit.Attr("k8s.namespace.name", fmt.Sprintf("team-%d", service%9)),
		kit.Attr("k8s.pod.name", fmt.Sprintf("service-%02d-7d9f8b6c5-%05x", service, service*31+pod)), kit.Attr("host.name", fmt.Sprintf("node-%02d", (service+pod)%24)),
	}}
}

// zipf is a number below n; small ones are much more frequent.
func zipf(r *rand.Rand, n int) int {
	u := r.Float64()
	return int(float64(n) * u * u * u)
}

func marshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err) // nothing here can fail to marshal
	}
	return b
}
