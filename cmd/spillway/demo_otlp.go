package main

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// sendDemoTelemetry plays a service that traces its requests and measures itself.
func sendDemoTelemetry(ctx context.Context, addr string) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return // addr is our own listener's
	}
	defer conn.Close()
	traces, meters := tracepb.NewTraceServiceClient(conn), metricspb.NewMetricsServiceClient(conn)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var requests int64
	started := time.Now()
	for n := uint64(1); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		spans, count := demoSpans(n)
		requests += count
		// Whoever answers with an error has said so in its own log; a demo has nothing to add.
		traces.Export(ctx, spans)
		if n%5 == 0 {
			meters.Export(ctx, demoMetrics(started, requests))
		}
	}
}

func demoResource() *resource.Resource {
	return &resource.Resource{Attributes: []*common.KeyValue{attr("service.name", "ops-backend"), attr("deployment.environment.name", "demo")}}
}

func attr(k, v string) *common.KeyValue {
	return &common.KeyValue{Key: k, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}}
}

// demoSpans is ten requests with a database call each; one in ten is slow, and fails.
func demoSpans(n uint64) (*tracepb.ExportTraceServiceRequest, int64) {
	const perTick = 10
	var spans []*trace.Span
	for i := range uint64(perTick) {
		id := make([]byte, 16)
		binary.BigEndian.PutUint64(id, uint64(time.Now().UnixNano()))
		binary.BigEndian.PutUint64(id[8:], n*perTick+i)
		took := time.Duration(5+rand.IntN(200)) * time.Millisecond
		status := &trace.Status{Code: trace.Status_STATUS_CODE_OK}
		if i == 0 {
			took = time.Second + time.Duration(rand.IntN(1500))*time.Millisecond
			status = &trace.Status{Code: trace.Status_STATUS_CODE_ERROR, Message: "payment timed out"}
		}
		end := time.Now()
		start := end.Add(-took)
		root := &trace.Span{TraceId: id, SpanId: id[8:16], Name: "POST /orders", Kind: trace.Span_SPAN_KIND_SERVER,
			StartTimeUnixNano: uint64(start.UnixNano()), EndTimeUnixNano: uint64(end.UnixNano()), Status: status,
			Attributes: []*common.KeyValue{attr("http.request.method", "POST"), attr("url.path", "/orders")}}
		child := proto.CloneOf(root)
		child.SpanId, child.ParentSpanId, child.Name, child.Kind = append([]byte{0xdb}, id[9:16]...), root.SpanId, "SELECT orders", trace.Span_SPAN_KIND_CLIENT
		spans = append(spans, root, child)
	}
	return &tracepb.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{Resource: demoResource(),
		ScopeSpans: []*trace.ScopeSpans{{Scope: &common.InstrumentationScope{Name: "demo"}, Spans: spans}}}}}, perTick
}

func demoMetrics(started time.Time, requests int64) *metricspb.ExportMetricsServiceRequest {
	start, now := uint64(started.UnixNano()), uint64(time.Now().UnixNano())
	return &metricspb.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{Resource: demoResource(),
		ScopeMetrics: []*metrics.ScopeMetrics{{Scope: &common.InstrumentationScope{Name: "demo"}, Metrics: []*metrics.Metric{
			{Name: "http.server.requests", Unit: "1", Data: &metrics.Metric_Sum{Sum: &metrics.Sum{AggregationTemporality: metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE, IsMonotonic: true,
				DataPoints: []*metrics.NumberDataPoint{{StartTimeUnixNano: start, TimeUnixNano: now, Value: &metrics.NumberDataPoint_AsInt{AsInt: requests}}}}}},
			{Name: "queue.depth", Unit: "1", Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{
				DataPoints: []*metrics.NumberDataPoint{{TimeUnixNano: now, Value: &metrics.NumberDataPoint_AsDouble{AsDouble: float64(rand.IntN(40))}}}}}},
		}}}}}}
}
