package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/e2e/kit"
)

// The attributes of every record that say which it is.
const (
	attrRun    = "torture.id"
	attrWriter = "torture.writer"
	attrNumber = "torture.n"
)

// A signal is one of the kinds of requests, and where its records are stored.
type signal struct {
	name       string
	method     string // of gRPC
	path       string // of HTTP
	tables     []string
	attributes string // the column
	request    func(m mark, first uint64, count int, r *rand.Rand) proto.Message
}

var signals = []signal{
	{"logs", logspb.LogsService_Export_FullMethodName, "/v1/logs", []string{"otel_logs"}, "LogAttributes", logsRequest},
	{"traces", tracepb.TraceService_Export_FullMethodName, "/v1/traces", []string{"otel_traces"}, "SpanAttributes", tracesRequest},
	{"metrics", metricspb.MetricsService_Export_FullMethodName, "/v1/metrics", []string{"otel_metrics_gauge", "otel_metrics_sum", "otel_metrics_histogram"}, "Attributes", metricsRequest},
}

// A mark tells records of one writer of one run.
type mark struct{ run, writer string }

func (m mark) attributes(n uint64, more ...*common.KeyValue) []*common.KeyValue {
	return append([]*common.KeyValue{kit.Attr(attrRun, m.run), kit.Attr(attrWriter, m.writer), kit.AttrInt(attrNumber, int64(n))}, more...)
}

func (m mark) resource() *resource.Resource {
	return &resource.Resource{Attributes: []*common.KeyValue{kit.Attr("service.name", m.writer), kit.Attr("deployment.environment.name", "torture")}}
}

func logsRequest(m mark, first uint64, count int, r *rand.Rand) proto.Message {
	records := make([]*logs.LogRecord, count)
	for i := range records {
		n := first + uint64(i)
		records[i] = &logs.LogRecord{TimeUnixNano: now(), SeverityNumber: logs.SeverityNumber_SEVERITY_NUMBER_INFO, SeverityText: "INFO",
			Body: kit.Text(fmt.Sprintf("record %d took %d ms", n, r.IntN(1000))), Attributes: m.attributes(n, kit.Attr("request.id", fmt.Sprintf("%016x", r.Uint64())))}
	}
	return &logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{Resource: m.resource(), ScopeLogs: []*logs.ScopeLogs{{LogRecords: records}}}}}
}

func tracesRequest(m mark, first uint64, count int, r *rand.Rand) proto.Message {
	spans := make([]*trace.Span, count)
	id := kit.ID(r, 16)
	for i := range spans {
		if r.IntN(5) == 0 {
			id = kit.ID(r, 16)
		}
		n, at := first+uint64(i), now()
		spans[i] = &trace.Span{TraceId: id, SpanId: kit.ID(r, 8), Name: fmt.Sprintf("GET /orders/%d", r.IntN(20)), Kind: trace.Span_SPAN_KIND_SERVER,
			StartTimeUnixNano: at, EndTimeUnixNano: at + r.Uint64N(uint64(time.Second)), Attributes: m.attributes(n, kit.AttrInt("http.response.status_code", 200))}
	}
	return &tracepb.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{Resource: m.resource(), ScopeSpans: []*trace.ScopeSpans{{Spans: spans}}}}}
}

// metricsRequest has points of all three kinds; which number is of which kind is random.
func metricsRequest(m mark, first uint64, count int, r *rand.Rand) proto.Message {
	gauge, sum := &metrics.Gauge{}, &metrics.Sum{AggregationTemporality: metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE, IsMonotonic: true}
	histogram := &metrics.Histogram{AggregationTemporality: metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA}
	for i := range count {
		attributes := m.attributes(first + uint64(i))
		switch kind := r.IntN(10); {
		case kind == 0:
			a, b := r.Uint64N(100), r.Uint64N(100)
			histogram.DataPoints = append(histogram.DataPoints, &metrics.HistogramDataPoint{TimeUnixNano: now(), Attributes: attributes,
				Count: a + b, Sum: proto.Float64(float64(a+b) * 0.1), BucketCounts: []uint64{a, b}, ExplicitBounds: []float64{0.1}})
		case kind < 5:
			gauge.DataPoints = append(gauge.DataPoints, &metrics.NumberDataPoint{TimeUnixNano: now(), Attributes: attributes,
				Value: &metrics.NumberDataPoint_AsDouble{AsDouble: r.Float64()}})
		default:
			sum.DataPoints = append(sum.DataPoints, &metrics.NumberDataPoint{TimeUnixNano: now(), Attributes: attributes,
				Value: &metrics.NumberDataPoint_AsInt{AsInt: r.Int64N(1000)}})
		}
	}
	return &metricspb.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{Resource: m.resource(), ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{
		{Name: "torture.level", Data: &metrics.Metric_Gauge{Gauge: gauge}},
		{Name: "torture.requests", Data: &metrics.Metric_Sum{Sum: sum}},
		{Name: "torture.duration", Unit: "s", Data: &metrics.Metric_Histogram{Histogram: histogram}},
	}}}}}}
}

func now() uint64 { return uint64(time.Now().UnixNano()) }
