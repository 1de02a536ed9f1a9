package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// points is a request of that many data points, of a gauge, a sum and a histogram.
func points(n int) *metricspb.ExportMetricsServiceRequest {
	now := uint64(time.Now().UnixNano())
	gauge, sum, histogram := &metrics.Gauge{}, &metrics.Sum{IsMonotonic: true, AggregationTemporality: 2}, &metrics.Histogram{AggregationTemporality: 2}
	for i := range n {
		attributes := []*common.KeyValue{{Key: "http.route", Value: kit.Text(fmt.Sprintf("/api/v1/item/%d", i%50))}, {Key: "http.request.method", Value: kit.Text("GET")}}
		switch {
		case i%10 == 9:
			histogram.DataPoints = append(histogram.DataPoints, &metrics.HistogramDataPoint{TimeUnixNano: now, StartTimeUnixNano: now - 1e10, Count: 10, Attributes: attributes,
				ExplicitBounds: []float64{1, 5, 10, 50, 100}, BucketCounts: []uint64{1, 2, 3, 2, 1, 1}})
		case i%2 == 0:
			gauge.DataPoints = append(gauge.DataPoints, &metrics.NumberDataPoint{TimeUnixNano: now, Value: &metrics.NumberDataPoint_AsDouble{AsDouble: float64(i)}, Attributes: attributes})
		default:
			sum.DataPoints = append(sum.DataPoints, &metrics.NumberDataPoint{TimeUnixNano: now, StartTimeUnixNano: now - 1e10, Value: &metrics.NumberDataPoint_AsInt{AsInt: int64(i)}, Attributes: attributes})
		}
	}
	return &metricspb.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: kit.Text("backlog")}, {Key: "host.name", Value: kit.Text("node-1")}}},
		ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{
			{Name: "queue.depth", Unit: "1", Data: &metrics.Metric_Gauge{Gauge: gauge}},
			{Name: "http.server.requests", Unit: "1", Data: &metrics.Metric_Sum{Sum: sum}},
			{Name: "http.server.request.duration", Unit: "s", Data: &metrics.Metric_Histogram{Histogram: histogram}},
		}}}}}}
}

// One agent delivers what it took while there was no collector, metrics in three tables at a time.
//
//	go test ./e2e -run '^$' -bench Backlog -benchtime 1x
func BenchmarkBacklogOfMetrics(b *testing.B) {
	const backlog, perRequest = 2_000_000, 500
	for b.Loop() {
		b.StopTimer()
		engine := enginetest.Start(b)
		grpcAddr := port(b)
		a := startAgent(b, grpcAddr, "")
		conn, err := grpc.NewClient(a.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		var sending sync.WaitGroup
		for range 4 {
			sending.Go(func() {
				request := points(perRequest)
				for range backlog / perRequest / 4 {
					if _, err := metricspb.NewMetricsServiceClient(conn).Export(context.Background(), request); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		sending.Wait()
		c := startCollectorAt(b, engine.DSN(), grpcAddr)
		c.ready()
		b.StartTimer()
		began := time.Now()
		a.drained()
		b.ReportMetric(backlog/time.Since(began).Seconds(), "points/s")
		b.StopTimer()
		if got := one(b, connect(b, engine.DSN()), "SELECT (SELECT count() FROM otel_metrics_gauge) + (SELECT count() FROM otel_metrics_sum) + (SELECT count() FROM otel_metrics_histogram)"); got != backlog {
			b.Errorf("%d rows, want %d", got, backlog)
		}
		c.kill()
		a.kill()
		b.StartTimer()
	}
}
