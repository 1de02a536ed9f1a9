package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// A goSDK is the OpenTelemetry SDK for Go with one way to send, used by a service of its own.
type goSDK struct {
	service     string
	base        time.Time
	id          uint64 // makes the ids of this service differ from the others'
	temporality metric.TemporalitySelector

	spans   sdktrace.SpanExporter
	logs    sdklog.Exporter
	metrics metric.Exporter

	sent metricdata.ResourceMetrics
}

// What the Go SDK is given arrives in the tables field by field, over gRPC and HTTP, with and
// without compression.
func TestTheGoSDKArrivesWhole(t *testing.T) {
	t.Parallel()
	engine, c, a := both(t, "")
	sdks := []*goSDK{
		overGRPC(t, "go-grpc-none", a.grpc, ""),
		overGRPC(t, "go-grpc-gzip", a.grpc, "gzip"),
		overHTTP(t, "go-http-none", a.http, otlptracehttp.NoCompression, otlploghttp.NoCompression, otlpmetrichttp.NoCompression),
		overHTTP(t, "go-http-gzip", a.http, otlptracehttp.GzipCompression, otlploghttp.GzipCompression, otlpmetrichttp.GzipCompression),
	}
	for i, s := range sdks {
		s.id, s.base, s.temporality = uint64(i)+1, hour(), metric.CumulativeTemporalitySelector
		if i%2 == 1 {
			s.temporality = metric.DeltaTemporalitySelector
		}
		s.sendSpans(t)
		s.sendLogs(t)
		s.sendMetrics(t)
	}
	a.drained()
	c.equation()
	for _, s := range sdks {
		t.Run(s.service, func(t *testing.T) {
			s.checkSpans(t, engine)
			s.checkLogs(t, engine)
			s.checkMetrics(t, engine)
		})
	}
}

func overGRPC(t *testing.T, service, addr, compressor string) *goSDK {
	t.Helper()
	spanOptions := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(addr), otlptracegrpc.WithInsecure()}
	logOptions := []otlploggrpc.Option{otlploggrpc.WithEndpoint(addr), otlploggrpc.WithInsecure()}
	metricOptions := []otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpoint(addr), otlpmetricgrpc.WithInsecure()}
	if compressor != "" {
		spanOptions = append(spanOptions, otlptracegrpc.WithCompressor(compressor))
		logOptions = append(logOptions, otlploggrpc.WithCompressor(compressor))
		metricOptions = append(metricOptions, otlpmetricgrpc.WithCompressor(compressor))
	}
	spans, err1 := otlptrace.New(t.Context(), otlptracegrpc.NewClient(spanOptions...))
	logs, err2 := otlploggrpc.New(t.Context(), logOptions...)
	metrics, err3 := otlpmetricgrpc.New(t.Context(), metricOptions...)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return &goSDK{service: service, spans: spans, logs: logs, metrics: metrics}
}

func overHTTP(t *testing.T, service, addr string, s otlptracehttp.Compression, l otlploghttp.Compression, m otlpmetrichttp.Compression) *goSDK {
	t.Helper()
	spans, err1 := otlptrace.New(t.Context(), otlptracehttp.NewClient(otlptracehttp.WithEndpoint(addr), otlptracehttp.WithInsecure(), otlptracehttp.WithCompression(s)))
	logs, err2 := otlploghttp.New(t.Context(), otlploghttp.WithEndpoint(addr), otlploghttp.WithInsecure(), otlploghttp.WithCompression(l))
	metrics, err3 := otlpmetrichttp.New(t.Context(), otlpmetrichttp.WithEndpoint(addr), otlpmetrichttp.WithInsecure(), otlpmetrichttp.WithCompression(m))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return &goSDK{service: service, spans: spans, logs: logs, metrics: metrics}
}

const (
	resourceSchema = "https://opentelemetry.io/schemas/1.37.0"
	scopeSchema    = "https://opentelemetry.io/schemas/1.36.0"
)

func (s *goSDK) resource() *resource.Resource {
	return resource.NewWithAttributes(resourceSchema, attribute.String("service.name", s.service),
		attribute.String("k8s.pod.name", "shop-0"), attribute.Int("process.pid", 7), attribute.Bool("canary", true),
		attribute.StringSlice("zones", []string{"a", "b"}))
}

// resourceRow is what resource becomes.
func (s *goSDK) resourceRow() row {
	return row{"ServiceName": s.service, "ResourceAttributes": map[string]string{"service.name": s.service,
		"k8s.pod.name": "shop-0", "process.pid": "7", "canary": "true", "zones": `["a","b"]`}}
}

func (s *goSDK) traceID(n uint64) (id trace.TraceID) {
	binary.BigEndian.PutUint64(id[:8], 0xabcdef0000000000|s.id)
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

func spanID(n uint64) (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], n)
	return id
}

// ids hands out span ids 1, 2, ... of trace 1.
type ids struct {
	sdk  *goSDK
	last uint64
}

func (i *ids) NewIDs(context.Context) (trace.TraceID, trace.SpanID) {
	return i.sdk.traceID(1), i.NewSpanID(context.Background(), trace.TraceID{})
}

func (i *ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	i.last++
	return spanID(i.last)
}

func (s *goSDK) at(d time.Duration) time.Time { return s.base.Add(123456789 + d) }

func (s *goSDK) sendSpans(t *testing.T) {
	t.Helper()
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(s.spans), sdktrace.WithResource(s.resource()),
		sdktrace.WithIDGenerator(&ids{sdk: s}), sdktrace.WithSampler(sdktrace.AlwaysSample()))
	tracer := provider.Tracer("shop/checkout", trace.WithInstrumentationVersion("1.2.3"), trace.WithSchemaURL(scopeSchema))

	state, err := trace.ParseTraceState("vendor=one,other=two")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := trace.NewSpanContext(trace.SpanContextConfig{TraceID: s.traceID(99), SpanID: spanID(98), TraceState: state, Remote: true})
	ctx, root := tracer.Start(t.Context(), "POST /orders", trace.WithTimestamp(s.at(0)), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", "POST"), attribute.Int64("http.response.status_code", 500),
			attribute.Float64("ratio", 0.25), attribute.Bool("retried", false), attribute.Int64Slice("sizes", []int64{1, 2}),
			attribute.String("text", "Grüße \"x\"\n")),
		trace.WithLinks(trace.Link{SpanContext: elsewhere, Attributes: []attribute.KeyValue{attribute.String("why", "batch")}},
			trace.Link{SpanContext: elsewhere.WithSpanID(spanID(97))}))
	root.AddEvent("reserved", trace.WithTimestamp(s.at(time.Millisecond)), trace.WithAttributes(attribute.Int("items", 3)))
	root.RecordError(errors.New("card declined"), trace.WithTimestamp(s.at(2*time.Millisecond)))
	root.SetStatus(codes.Error, "card declined")

	kinds := []trace.SpanKind{trace.SpanKindInternal, trace.SpanKindClient, trace.SpanKindProducer, trace.SpanKindConsumer}
	for i, kind := range kinds {
		begins := s.at(time.Duration(i+1) * time.Second)
		_, child := tracer.Start(ctx, "child "+kind.String(), trace.WithTimestamp(begins), trace.WithSpanKind(kind))
		child.SetStatus(codes.Ok, "")
		child.End(trace.WithTimestamp(begins.Add(time.Duration(i))))
	}
	_, follower := tracer.Start(trace.ContextWithRemoteSpanContext(t.Context(), elsewhere), "follower", trace.WithTimestamp(s.at(9*time.Second)))
	follower.End(trace.WithTimestamp(s.at(9*time.Second + 5)))
	root.End(trace.WithTimestamp(s.at(1500 * time.Millisecond)))
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (s *goSDK) checkSpans(t *testing.T, engine *enginetest.Engine) {
	t.Helper()
	none := row{"TraceState": "", "ParentSpanId": "", "StatusMessage": "", "SpanAttributes": row{},
		"Events.Timestamp": []string{}, "Events.Name": []string{}, "Events.Attributes": []row{},
		"Links.TraceId": []string{}, "Links.SpanId": []string{}, "Links.TraceState": []string{}, "Links.Attributes": []row{}}
	of := merge(none, s.resourceRow(), row{"ScopeName": "shop/checkout", "ScopeVersion": "1.2.3"})
	want := []row{merge(of, row{"Timestamp": nanos(s.at(0)), "TraceId": s.traceID(1).String(), "SpanId": spanID(1).String(),
		"SpanName": "POST /orders", "SpanKind": "Server", "Duration": 1500 * time.Millisecond, "StatusCode": "Error", "StatusMessage": "card declined",
		"SpanAttributes": row{"http.request.method": "POST", "http.response.status_code": "500", "ratio": "0.25", "retried": "false",
			"sizes": "[1,2]", "text": "Grüße \"x\"\n"},
		"Events.Timestamp":  []string{nanos(s.at(time.Millisecond)), nanos(s.at(2 * time.Millisecond))},
		"Events.Name":       []string{"reserved", "exception"},
		"Events.Attributes": []row{{"items": "3"}, {"exception.type": "*errors.errorString", "exception.message": "card declined"}},
		"Links.TraceId":     []string{s.traceID(99).String(), s.traceID(99).String()},
		"Links.SpanId":      []string{spanID(98).String(), spanID(97).String()},
		"Links.TraceState":  []string{"", ""}, // the Go exporter leaves it out
		"Links.Attributes":  []row{{"why": "batch"}, {}}})}
	for i, kind := range []string{"Internal", "Client", "Producer", "Consumer"} {
		want = append(want, merge(of, row{"Timestamp": nanos(s.at(time.Duration(i+1) * time.Second)), "TraceId": s.traceID(1).String(),
			"SpanId": spanID(uint64(i) + 2).String(), "ParentSpanId": spanID(1).String(), "SpanName": "child " + lower(kind), "SpanKind": kind,
			"Duration": i, "StatusCode": "Ok"}))
	}
	want = append(want, merge(of, row{"Timestamp": nanos(s.at(9 * time.Second)), "TraceId": s.traceID(99).String(), "SpanId": spanID(6).String(),
		"ParentSpanId": spanID(98).String(), "TraceState": "vendor=one,other=two", "SpanName": "follower", "SpanKind": "Internal",
		"Duration": 5, "StatusCode": "Unset"}))
	same(t, "spans", stored(t, engine, "otel_traces", "ServiceName = '"+s.service+"'", "SpanId"), want)

	day := s.base.Format(time.DateOnly)
	same(t, "times of traces", stored(t, engine, "otel_traces_trace_id_ts FINAL", "startsWith(TraceId, '"+s.traceID(0).String()[:16]+"')", "TraceId"), []row{
		{"TraceId": s.traceID(1).String(), "Start": secs(s.at(0)), "End": secs(s.at(4 * time.Second)), "Day": day},
		{"TraceId": s.traceID(99).String(), "Start": secs(s.at(9 * time.Second)), "End": secs(s.at(9 * time.Second)), "Day": day}})
}

func lower(s string) string { return string(s[0]|0x20) + s[1:] }

func (s *goSDK) sendLogs(t *testing.T) {
	t.Helper()
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(s.logs)), sdklog.WithResource(s.resource()))
	logger := provider.Logger("shop/audit", log.WithInstrumentationVersion("4.5"), log.WithSchemaURL(scopeSchema),
		log.WithInstrumentationAttributes(attribute.String("scope.kind", "audit"), attribute.Int("scope.level", 2)))
	var r log.Record
	r.SetTimestamp(s.at(0))
	r.SetObservedTimestamp(s.at(time.Second))
	r.SetSeverity(log.SeverityWarn2)
	r.SetSeverityText("WARNING")
	r.SetEventName("shop.order.declined")
	r.SetBody(attribute.MapValue(attribute.String("order", "A-1"),
		attribute.Slice("lines", attribute.Int64Value(1), attribute.Float64Value(2.5), attribute.BoolValue(true))))
	r.AddAttributes(attribute.String("s", "x"), attribute.Int64("i", -1<<63), attribute.Float64("f", 0.1), attribute.Bool("b", true),
		attribute.ByteSlice("raw", []byte{0, 255}), attribute.StringSlice("list", []string{"a", "b"}),
		attribute.Map("m", attribute.Int("n", 1)), attribute.KeyValue{Key: "empty"})
	r.SetErr(errors.New("card declined"))
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: s.traceID(1), SpanID: spanID(1), TraceFlags: trace.FlagsSampled}))
	logger.Emit(ctx, r)

	var bare log.Record // the SDK itself sets the time it was observed
	bare.SetTimestamp(s.at(2 * time.Second))
	bare.SetObservedTimestamp(s.at(2 * time.Second))
	bare.SetBody(attribute.StringValue("only a text"))
	logger.Emit(t.Context(), bare)
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (s *goSDK) checkLogs(t *testing.T, engine *enginetest.Engine) {
	t.Helper()
	of := merge(s.resourceRow(), row{"ResourceSchemaUrl": resourceSchema, "ScopeSchemaUrl": scopeSchema, "ScopeName": "shop/audit",
		"ScopeVersion": "4.5", "ScopeAttributes": row{"scope.kind": "audit", "scope.level": "2"}})
	want := []row{
		merge(of, row{"Timestamp": nanos(s.at(0)), "ObservedTimestamp": nanos(s.at(time.Second)), "TraceId": s.traceID(1).String(),
			"SpanId": spanID(1).String(), "TraceFlags": 1, "SeverityText": "WARNING", "SeverityNumber": log.SeverityWarn2,
			"Body": `{"lines":[1,2.5,true],"order":"A-1"}`, "EventName": "shop.order.declined",
			"LogAttributes": row{"s": "x", "i": "-9223372036854775808", "f": "0.1", "b": "true", "raw": "AP8=", "list": `["a","b"]`, "m": `{"n":1}`, "empty": "",
				"exception.type": "*errors.errorString", "exception.message": "card declined"}}),
		merge(of, row{"Timestamp": nanos(s.at(2 * time.Second)), "ObservedTimestamp": nanos(s.at(2 * time.Second)), "TraceId": "", "SpanId": "",
			"TraceFlags": 0, "SeverityText": "", "SeverityNumber": 0, "Body": "only a text", "EventName": "", "LogAttributes": row{}}),
	}
	same(t, "logs", stored(t, engine, "otel_logs", "ServiceName = '"+s.service+"'", "Timestamp"), want)
}
