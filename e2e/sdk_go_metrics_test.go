package e2e

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	metricapi "go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// sendMetrics records with every kind of instrument, collects once, and exports what was collected.
func (s *goSDK) sendMetrics(t *testing.T) {
	t.Helper()
	reader := metric.NewManualReader(metric.WithTemporalitySelector(s.temporality))
	provider := metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(s.resource()), metric.WithView(
		metric.NewView(metric.Instrument{Name: "upload.size"}, metric.Stream{Aggregation: metric.AggregationBase2ExponentialHistogram{MaxSize: 20, MaxScale: 20}}),
		metric.NewView(metric.Instrument{Name: "requests"}, metric.Stream{AttributeFilter: attribute.NewAllowKeysFilter("route", "ok")})))
	meter := provider.Meter("shop/meter", metricapi.WithInstrumentationVersion("6.7"), metricapi.WithSchemaURL(scopeSchema),
		metricapi.WithInstrumentationAttributes(attribute.String("scope.kind", "meter")))

	// A sampled span in the context makes exemplars.
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: s.traceID(1), SpanID: spanID(1), TraceFlags: trace.FlagsSampled}))
	with := metricapi.WithAttributes(attribute.String("route", "/orders"), attribute.Bool("ok", true))
	requests, err1 := meter.Int64Counter("requests", metricapi.WithDescription("requests served"), metricapi.WithUnit("{request}"))
	active, err2 := meter.Int64UpDownCounter("active", metricapi.WithUnit("{request}"))
	latency, err3 := meter.Float64Histogram("latency", metricapi.WithUnit("s"), metricapi.WithExplicitBucketBoundaries(0.1, 1, 10))
	size, err4 := meter.Int64Histogram("upload.size", metricapi.WithUnit("By"))
	heat, err5 := meter.Float64Gauge("temperature", metricapi.WithUnit("Cel"))
	_, err6 := meter.Float64ObservableCounter("cpu.time", metricapi.WithUnit("s"), metricapi.WithFloat64Callback(
		func(_ context.Context, o metricapi.Float64Observer) error { o.Observe(12.5); return nil }))
	_, err7 := meter.Int64ObservableGauge("queue.length", metricapi.WithInt64Callback(
		func(_ context.Context, o metricapi.Int64Observer) error { o.Observe(-4); return nil }))
	for _, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
		if err != nil {
			t.Fatal(err)
		}
	}
	requests.Add(ctx, 41, metricapi.WithAttributes(attribute.String("route", "/orders"), attribute.Bool("ok", true), attribute.String("user", "u-1")))
	requests.Add(t.Context(), 1, with)
	active.Add(t.Context(), -3)
	for _, seconds := range []float64{0.05, 0.5, 5, 50} {
		latency.Record(t.Context(), seconds, with)
	}
	latency.Record(ctx, 0.75, with)
	for _, bytes := range []int64{0, 0, 1, 2, 4, 1 << 20, -8} {
		size.Record(t.Context(), bytes, with)
	}
	heat.Record(t.Context(), 21.5, with)

	if err := reader.Collect(t.Context(), &s.sent); err != nil {
		t.Fatal(err)
	}
	if err := s.metrics.Export(t.Context(), &s.sent); err != nil {
		t.Fatal(err)
	}
}

// checkMetrics holds the tables against what the SDK had collected, and that against what was recorded.
func (s *goSDK) checkMetrics(t *testing.T, engine *enginetest.Engine) {
	t.Helper()
	want := make(map[string][]row)
	for _, scope := range s.sent.ScopeMetrics {
		of := merge(s.resourceRow(), row{"ResourceSchemaUrl": resourceSchema, "ScopeName": "shop/meter", "ScopeVersion": "6.7",
			"ScopeSchemaUrl": scopeSchema, "ScopeAttributes": row{"scope.kind": "meter"}, "ScopeDroppedAttrCount": 0})
		for _, m := range scope.Metrics {
			of := merge(of, row{"MetricName": m.Name, "MetricDescription": m.Description, "MetricUnit": m.Unit, "Flags": 0})
			table, rows := metricRows(t, m.Data)
			for _, r := range rows {
				want[table] = append(want[table], merge(of, r))
			}
		}
	}
	for table, names := range map[string][]string{
		"otel_metrics_gauge":                 {"temperature", "queue.length"},
		"otel_metrics_sum":                   {"requests", "active", "cpu.time"},
		"otel_metrics_histogram":             {"latency"},
		"otel_metrics_exponential_histogram": {"upload.size"},
	} {
		if len(want[table]) != len(names) {
			t.Errorf("%s: the SDK collected %d points, one of each of %q was recorded", table, len(want[table]), names)
		}
		order := "indexOf(['requests', 'active', 'latency', 'upload.size', 'temperature', 'cpu.time', 'queue.length'], MetricName)"
		same(t, table, stored(t, engine, table, "ServiceName = '"+s.service+"'", order), want[table])
	}
	spot := "SELECT Value, IsMonotonic, Attributes, length(`Exemplars.Value`) AS exemplars, `Exemplars.FilteredAttributes`[1]['user'] AS user FROM otel_metrics_sum WHERE MetricName = 'requests' AND ServiceName = '" + s.service + "'"
	same(t, "the counter", selected(t, engine, spot), []row{{"Value": 42, "IsMonotonic": true,
		"Attributes": row{"route": "/orders", "ok": "true"}, "exemplars": 1, "user": "u-1"}})
}

// metricRows is the table of a metric, and the columns that are different from point to point.
func metricRows(t *testing.T, data metricdata.Aggregation) (table string, rows []row) {
	t.Helper()
	switch data := data.(type) {
	case metricdata.Gauge[int64]:
		return "otel_metrics_gauge", numberRows(data.DataPoints)
	case metricdata.Gauge[float64]:
		return "otel_metrics_gauge", numberRows(data.DataPoints)
	case metricdata.Sum[int64]:
		return "otel_metrics_sum", sumRows(data)
	case metricdata.Sum[float64]:
		return "otel_metrics_sum", sumRows(data)
	case metricdata.Histogram[float64]:
		return "otel_metrics_histogram", histogramRows(data)
	case metricdata.ExponentialHistogram[int64]:
		return "otel_metrics_exponential_histogram", expHistogramRows(data)
	}
	t.Fatalf("no table for %T", data)
	return "", nil
}

func numberRows[N int64 | float64](points []metricdata.DataPoint[N]) (rows []row) {
	for _, p := range points {
		rows = append(rows, merge(point(p.Attributes, p.StartTime, p.Time), exemplars(p.Exemplars), row{"Value": p.Value}))
	}
	return rows
}

func sumRows[N int64 | float64](data metricdata.Sum[N]) (rows []row) {
	for _, r := range numberRows(data.DataPoints) {
		rows = append(rows, merge(r, row{"AggregationTemporality": temporality(data.Temporality), "IsMonotonic": data.IsMonotonic}))
	}
	return rows
}

func histogramRows(data metricdata.Histogram[float64]) (rows []row) {
	for _, p := range data.DataPoints {
		least, _ := p.Min.Value()
		most, _ := p.Max.Value()
		rows = append(rows, merge(point(p.Attributes, p.StartTime, p.Time), exemplars(p.Exemplars), row{"Count": p.Count, "Sum": p.Sum,
			"Min": least, "Max": most, "BucketCounts": p.BucketCounts, "ExplicitBounds": p.Bounds,
			"AggregationTemporality": temporality(data.Temporality)}))
	}
	return rows
}

func expHistogramRows(data metricdata.ExponentialHistogram[int64]) (rows []row) {
	for _, p := range data.DataPoints {
		least, _ := p.Min.Value()
		most, _ := p.Max.Value()
		rows = append(rows, merge(point(p.Attributes, p.StartTime, p.Time), exemplars(p.Exemplars), row{"Count": p.Count, "Sum": p.Sum,
			"Min": least, "Max": most, "Scale": p.Scale, "ZeroCount": p.ZeroCount,
			"PositiveOffset": p.PositiveBucket.Offset, "PositiveBucketCounts": p.PositiveBucket.Counts,
			"NegativeOffset": p.NegativeBucket.Offset, "NegativeBucketCounts": p.NegativeBucket.Counts,
			"AggregationTemporality": temporality(data.Temporality)}))
	}
	return rows
}

// point is what every kind of point has. A time that is not set is stored as 0.
func point(set attribute.Set, start, at time.Time) row {
	r := row{"Attributes": texts(set.ToSlice()), "StartTimeUnix": "0", "TimeUnix": secs(at)}
	if !start.IsZero() {
		r["StartTimeUnix"] = secs(start)
	}
	return r
}

func exemplars[N int64 | float64](list []metricdata.Exemplar[N]) row {
	at, values, spans, traces, filtered := []string{}, []N{}, []string{}, []string{}, []map[string]string{}
	for _, e := range list {
		at, values, filtered = append(at, secs(e.Time)), append(values, e.Value), append(filtered, texts(e.FilteredAttributes))
		spans, traces = append(spans, trace.SpanID(e.SpanID).String()), append(traces, trace.TraceID(e.TraceID).String())
	}
	return row{"Exemplars.TimeUnix": at, "Exemplars.Value": values, "Exemplars.FilteredAttributes": filtered,
		"Exemplars.SpanId": spans, "Exemplars.TraceId": traces}
}

func texts(list []attribute.KeyValue) map[string]string {
	all := make(map[string]string)
	for _, kv := range list {
		all[string(kv.Key)] = kv.Value.String()
	}
	return all
}

// temporality is OTLP's number, which is not the SDK's.
func temporality(of metricdata.Temporality) int {
	if of == metricdata.DeltaTemporality {
		return 1
	}
	return 2
}

// The SDKs make no summaries, but bridges from Prometheus do.
func TestASummaryArrivesWhole(t *testing.T) {
	t.Parallel()
	engine, _, a := both(t, "")
	conn, err := grpc.NewClient(a.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	at := hour()
	request := &metricspb.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{
		Resource:  &resourcepb.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: kit.Text("bridge")}}},
		SchemaUrl: resourceSchema,
		ScopeMetrics: []*metrics.ScopeMetrics{{
			Scope: &common.InstrumentationScope{Name: "prometheus", Version: "2", DroppedAttributesCount: 3,
				Attributes: []*common.KeyValue{{Key: "job", Value: kit.Text("shop")}}},
			SchemaUrl: scopeSchema,
			Metrics: []*metrics.Metric{{Name: "rpc.seconds", Description: "time of calls", Unit: "s",
				Data: &metrics.Metric_Summary{Summary: &metrics.Summary{DataPoints: []*metrics.SummaryDataPoint{{
					Attributes:        []*common.KeyValue{{Key: "code", Value: kit.Text("200")}},
					StartTimeUnixNano: uint64(at.UnixNano()), TimeUnixNano: uint64(at.Add(time.Minute).UnixNano()),
					Count: 7, Sum: 1.25, Flags: 1,
					QuantileValues: []*metrics.SummaryDataPoint_ValueAtQuantile{{Quantile: 0.5, Value: 0.1}, {Quantile: 0.99, Value: 0.9}},
				}}}}}},
		}},
	}}}
	if _, err := metricspb.NewMetricsServiceClient(conn).Export(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	a.drained()
	same(t, "summary", stored(t, engine, "otel_metrics_summary", "1", "MetricName"), []row{{
		"ServiceName": "bridge", "ResourceAttributes": row{"service.name": "bridge"}, "ResourceSchemaUrl": resourceSchema,
		"ScopeName": "prometheus", "ScopeVersion": "2", "ScopeAttributes": row{"job": "shop"}, "ScopeDroppedAttrCount": 3, "ScopeSchemaUrl": scopeSchema,
		"MetricName": "rpc.seconds", "MetricDescription": "time of calls", "MetricUnit": "s", "Attributes": row{"code": "200"},
		"StartTimeUnix": secs(at), "TimeUnix": secs(at.Add(time.Minute)), "Count": 7, "Sum": 1.25, "Flags": 1,
		"ValueAtQuantiles.Quantile": []float64{0.5, 0.99}, "ValueAtQuantiles.Value": []float64{0.1, 0.9}}})
}
