package e2e

import (
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// The queries that people ask: as documented for ClickHouse, and as Grafana's data source writes them.
const (
	slowRequests = `SELECT TraceId, ServiceName, Duration/1000000 AS DurationMs, StatusCode
		FROM otel_traces WHERE Duration > 1000000000 ORDER BY Timestamp DESC`

	traceByID = `WITH '%[1]s' AS trace_id,
			(SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId = trace_id) AS trace_start,
			(SELECT max(End) + 1 FROM otel_traces_trace_id_ts WHERE TraceId = trace_id) AS trace_end
		SELECT TraceId AS traceID, SpanId AS spanID, ParentSpanId AS parentSpanID, ServiceName AS serviceName, SpanName AS operationName,
			Timestamp AS startTime, multiply(Duration, 0.000001) AS duration, StatusCode AS statusCode,
			arrayMap(key -> map('key', key, 'value', SpanAttributes[key]), mapKeys(SpanAttributes)) AS tags
		FROM otel_traces
		WHERE traceID = trace_id AND startTime >= trace_start AND startTime <= trace_end
		ORDER BY startTime LIMIT 1000`

	logsOfTrace = `SELECT Timestamp, SeverityText, ServiceName, SpanId, Body FROM otel_logs
		WHERE TraceId = '%[1]s'
			AND Timestamp >= (SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId = '%[1]s') - INTERVAL 1 HOUR
			AND Timestamp <= (SELECT max(End) FROM otel_traces_trace_id_ts WHERE TraceId = '%[1]s') + INTERVAL 1 HOUR
		ORDER BY Timestamp`
)

// A request is a trace: a span of the gateway, one of the shop below it, and a line of log in each.
type request struct {
	begins       time.Time
	gateway      trace.SpanContext
	shop         trace.SpanContext
	took, inside time.Duration // of the gateway's span and of the shop's
	failed       bool
}

// two are the services' tracers and loggers.
type two struct {
	tracers [2]trace.Tracer
	loggers [2]log.Logger
}

// send makes request i of the test: each third is slow, each fifth fails.
func (s *two) send(t *testing.T, i int, begins time.Time) request {
	t.Helper()
	r := request{begins: begins, took: time.Duration(i+1) * time.Millisecond, failed: i%5 == 4}
	if i%3 == 2 {
		r.took += 2 * time.Second
	}
	r.inside = r.took / 2
	ctx, outer := s.tracers[0].Start(t.Context(), "GET /", trace.WithTimestamp(r.begins), trace.WithAttributes(attribute.Int("n", i)))
	below, inner := s.tracers[1].Start(ctx, "select", trace.WithTimestamp(r.begins.Add(time.Millisecond)))
	if r.failed {
		outer.SetStatus(codes.Error, "")
	}
	var record log.Record
	record.SetTimestamp(r.begins)
	record.SetSeverityText("info")
	record.SetBody(attribute.StringValue(fmt.Sprintf("request %d", i)))
	s.loggers[0].Emit(ctx, record)
	record.SetTimestamp(r.begins.Add(time.Millisecond))
	record.SetBody(attribute.StringValue(fmt.Sprintf("rows of request %d", i)))
	s.loggers[1].Emit(below, record)
	inner.End(trace.WithTimestamp(r.begins.Add(time.Millisecond + r.inside)))
	outer.End(trace.WithTimestamp(r.begins.Add(r.took)))
	r.gateway, r.shop = outer.SpanContext(), inner.SpanContext()
	return r
}

func (r *request) status() string {
	if r.failed {
		return "Error"
	}
	return "Unset"
}

// millis is a duration as the queries show it.
func millis(d time.Duration) float64 { return float64(d) / 1e6 }

func TestTheUsualQueriesAnswerWhatWasSent(t *testing.T) {
	t.Parallel()
	engine, _, a := both(t, "")
	var s two
	var stop []func()
	for i, service := range []string{"gateway", "shop"} {
		spans, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(a.grpc), otlptracegrpc.WithInsecure())
		if err != nil {
			t.Fatal(err)
		}
		logs, err := otlploggrpc.New(t.Context(), otlploggrpc.WithEndpoint(a.grpc), otlploggrpc.WithInsecure())
		if err != nil {
			t.Fatal(err)
		}
		of := resource.NewSchemaless(attribute.String("service.name", service))
		tracing := sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans), sdktrace.WithResource(of))
		logging := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(logs)), sdklog.WithResource(of))
		s.tracers[i], s.loggers[i] = tracing.Tracer("test"), logging.Logger("test")
		stop = append(stop, func() {
			if err := tracing.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if err := logging.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	var sent []request
	begin := hour()
	for i := range 30 {
		sent = append(sent, s.send(t, i, begin.Add(time.Duration(i)*time.Minute/2+987654321)))
	}
	for _, f := range stop {
		f()
	}
	a.drained()

	var slow []row
	for i := len(sent) - 1; i >= 0; i-- { // the newest first
		r := sent[i]
		if r.inside > time.Second {
			slow = append(slow, row{"TraceId": r.shop.TraceID().String(), "ServiceName": "shop", "DurationMs": millis(r.inside), "StatusCode": "Unset"})
		}
		if r.took > time.Second {
			slow = append(slow, row{"TraceId": r.gateway.TraceID().String(), "ServiceName": "gateway", "DurationMs": millis(r.took), "StatusCode": r.status()})
		}
	}
	same(t, "slow requests", selected(t, engine, slowRequests), slow)

	for i, r := range sent {
		id := r.gateway.TraceID().String()
		same(t, "trace "+id, selected(t, engine, fmt.Sprintf(traceByID, id)), []row{
			{"traceID": id, "spanID": r.gateway.SpanID().String(), "parentSpanID": "", "serviceName": "gateway", "operationName": "GET /",
				"startTime": nanos(r.begins), "duration": millis(r.took), "statusCode": r.status(), "tags": []row{{"key": "n", "value": fmt.Sprint(i)}}},
			{"traceID": id, "spanID": r.shop.SpanID().String(), "parentSpanID": r.gateway.SpanID().String(), "serviceName": "shop", "operationName": "select",
				"startTime": nanos(r.begins.Add(time.Millisecond)), "duration": millis(r.inside), "statusCode": "Unset", "tags": []row{}}})
		same(t, "logs of trace "+id, selected(t, engine, fmt.Sprintf(logsOfTrace, id)), []row{
			{"Timestamp": nanos(r.begins), "SeverityText": "info", "ServiceName": "gateway", "SpanId": r.gateway.SpanID().String(), "Body": fmt.Sprintf("request %d", i)},
			{"Timestamp": nanos(r.begins.Add(time.Millisecond)), "SeverityText": "info", "ServiceName": "shop", "SpanId": r.shop.SpanID().String(),
				"Body": fmt.Sprintf("rows of request %d", i)}})
	}
}
