package schema_test

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/spillway-io/spillway/schema"
)

// A reference makes rows from pdata's objects, in the plainest way.
type reference struct {
	origin schema.Origin
	rows   map[bucket][]row
	count  schema.Count
}

func newReference(o schema.Origin) *reference {
	return &reference{origin: o, rows: map[bucket][]row{}}
}

// when is the time that a row gets, and the text of the one it replaces.
func (f *reference) when(ts ...pcommon.Timestamp) (time.Time, string) {
	for _, t := range ts {
		if t == 0 {
			continue
		}
		at := t.AsTime()
		if t > math.MaxInt64 || at.Year() < 1971 || at.After(time.Date(2105, 1, 1, 0, 0, 0, 0, time.UTC)) ||
			at.After(time.Unix(0, f.origin.Accepted).Add(24*time.Hour)) {
			return time.Unix(0, f.origin.Accepted).UTC(), strconv.FormatUint(uint64(t), 10)
		}
		return at, ""
	}
	return time.Unix(0, f.origin.Accepted).UTC(), ""
}

func days(at time.Time) int32 { return int32(at.Unix() / 86400) }

func monday(at time.Time) int32 {
	for at.Weekday() != time.Monday {
		at = at.AddDate(0, 0, -1)
	}
	return days(at)
}

func (f *reference) add(table string, partition int32, r row) {
	r["IngestStream"], r["IngestSeq"] = f.origin.Stream, f.origin.Seq
	r["IngestFence"] = fence
	b := bucket{table, partition}
	f.rows[b] = append(f.rows[b], r)
	f.count.Rows++
}

func attributes(m pcommon.Map, original string) []kv {
	all := []kv{}
	for k, v := range m.All() {
		all = append(all, kv{k, v.AsString()})
	}
	if original != "" {
		all = append(all, kv{"spillway.original_timestamp", original})
	}
	slices.SortFunc(all, func(a, b kv) int { return strings.Compare(a[0], b[0]) })
	return all
}

func service(m pcommon.Map) string {
	if v, ok := m.Get("service.name"); ok {
		return v.AsString()
	}
	return ""
}

func saturated(ts pcommon.Timestamp) int64 { return int64(min(ts, math.MaxInt64)) }

func unix(ts pcommon.Timestamp) uint32 { return uint32(min(ts/1e9, math.MaxUint32)) }

func (f *reference) logs(all plog.Logs) *reference {
	for _, rl := range all.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, l := range sl.LogRecords().All() {
				f.count.Items++
				at, original := f.when(l.Timestamp(), l.ObservedTimestamp())
				observed, _ := f.when(l.ObservedTimestamp())
				f.add("otel_logs", days(at), row{
					"Timestamp":          at.UnixNano(),
					"ObservedDelay":      observed.UnixNano() - at.UnixNano(),
					"TraceId":            l.TraceID().String(),
					"SpanId":             l.SpanID().String(),
					"TraceFlags":         uint8(l.Flags()),
					"SeverityText":       l.SeverityText(),
					"SeverityNumber":     uint8(l.SeverityNumber()),
					"ServiceName":        service(rl.Resource().Attributes()),
					"Body":               l.Body().AsString(),
					"ResourceSchemaUrl":  rl.SchemaUrl(),
					"ResourceAttributes": attributes(rl.Resource().Attributes(), ""),
					"ScopeSchemaUrl":     sl.SchemaUrl(),
					"ScopeName":          sl.Scope().Name(),
					"ScopeVersion":       sl.Scope().Version(),
					"ScopeAttributes":    attributes(sl.Scope().Attributes(), ""),
					"LogAttributes":      attributes(l.Attributes(), original),
					"EventName":          l.EventName(),
				})
			}
		}
	}
	return f
}

func (f *reference) traces(all ptrace.Traces) *reference {
	for _, rs := range all.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				f.count.Items++
				at, original := f.when(s.StartTimestamp())
				r := row{
					"Timestamp":          at.UnixNano(),
					"TraceId":            s.TraceID().String(),
					"SpanId":             s.SpanID().String(),
					"ParentSpanId":       s.ParentSpanID().String(),
					"TraceState":         s.TraceState().AsRaw(),
					"SpanName":           s.Name(),
					"SpanKind":           s.Kind().String(),
					"ServiceName":        service(rs.Resource().Attributes()),
					"ResourceAttributes": attributes(rs.Resource().Attributes(), ""),
					"ScopeName":          ss.Scope().Name(),
					"ScopeVersion":       ss.Scope().Version(),
					"SpanAttributes":     attributes(s.Attributes(), original),
					"Duration":           uint64(0),
					"StatusCode":         s.Status().Code().String(),
					"StatusMessage":      s.Status().Message(),
				}
				if s.StartTimestamp() != 0 && s.EndTimestamp() > s.StartTimestamp() {
					r["Duration"] = uint64(s.EndTimestamp() - s.StartTimestamp())
				}
				addEventsAndLinks(r, s)
				f.add("otel_traces", days(at), r)
				if !s.TraceID().IsEmpty() {
					f.addTraceTime(s.TraceID().String(), at)
				}
			}
		}
	}
	return f
}

func addEventsAndLinks(r row, s ptrace.Span) {
	times, names, attrs := []any{}, []any{}, []any{}
	for _, e := range s.Events().All() {
		times = append(times, saturated(e.Timestamp()))
		names = append(names, e.Name())
		attrs = append(attrs, attributes(e.Attributes(), ""))
	}
	r["Events.Timestamp"], r["Events.Name"], r["Events.Attributes"] = times, names, attrs
	traceIDs, spanIDs, states, attrs := []any{}, []any{}, []any{}, []any{}
	for _, l := range s.Links().All() {
		traceIDs = append(traceIDs, l.TraceID().String())
		spanIDs = append(spanIDs, l.SpanID().String())
		states = append(states, l.TraceState().AsRaw())
		attrs = append(attrs, attributes(l.Attributes(), ""))
	}
	r["Links.TraceId"], r["Links.SpanId"], r["Links.TraceState"], r["Links.Attributes"] = traceIDs, spanIDs, states, attrs
}

func (f *reference) addTraceTime(id string, at time.Time) {
	b := bucket{"otel_traces_trace_id_ts", days(at)}
	second := uint32(at.Unix())
	for _, r := range f.rows[b] {
		if r["TraceId"] == id {
			r["Start"] = min(r["Start"].(uint32), second)
			r["End"] = max(r["End"].(uint32), second)
			return
		}
	}
	f.rows[b] = append(f.rows[b], row{"TraceId": id, "Start": second, "End": second, "Day": uint16(days(at))})
}

// point is what all kinds of points have.
type point interface {
	StartTimestamp() pcommon.Timestamp
	Timestamp() pcommon.Timestamp
	Flags() pmetric.DataPointFlags
	Attributes() pcommon.Map
}

func (f *reference) metrics(all pmetric.Metrics) *reference {
	for _, rm := range all.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				add := func(kind string, p point, tail row) {
					f.count.Items++
					at, original := f.when(p.Timestamp())
					r := row{
						"ResourceAttributes":    attributes(rm.Resource().Attributes(), ""),
						"ResourceSchemaUrl":     rm.SchemaUrl(),
						"ScopeName":             sm.Scope().Name(),
						"ScopeVersion":          sm.Scope().Version(),
						"ScopeAttributes":       attributes(sm.Scope().Attributes(), ""),
						"ScopeDroppedAttrCount": sm.Scope().DroppedAttributesCount(),
						"ScopeSchemaUrl":        sm.SchemaUrl(),
						"ServiceName":           service(rm.Resource().Attributes()),
						"MetricName":            m.Name(),
						"MetricDescription":     m.Description(),
						"MetricUnit":            m.Unit(),
						"Attributes":            attributes(p.Attributes(), original),
						"StartTimeUnix":         unix(p.StartTimestamp()),
						"TimeUnix":              uint32(at.Unix()),
						"Flags":                 uint32(p.Flags()),
					}
					for k, v := range tail {
						r[k] = v
					}
					f.add("otel_metrics_"+kind, monday(at), r)
				}
				f.points(m, add)
			}
		}
	}
	return f
}

func (f *reference) points(m pmetric.Metric, add func(string, point, row)) {
	number := func(kind string, p pmetric.NumberDataPoint, tail row) {
		switch p.ValueType() {
		case pmetric.NumberDataPointValueTypeInt:
			tail["Value"] = float64(p.IntValue())
		case pmetric.NumberDataPointValueTypeDouble:
			tail["Value"] = p.DoubleValue()
		default:
			if !p.Flags().NoRecordedValue() {
				f.count.Items++
				f.count.Unstorable++
				return
			}
			tail["Value"] = 0.0
		}
		addExemplars(tail, p.Exemplars())
		add(kind, p, tail)
	}
	switch m.Type() {
	case pmetric.MetricTypeEmpty:
		f.count.UnknownKinds++
	case pmetric.MetricTypeGauge:
		for _, p := range m.Gauge().DataPoints().All() {
			number("gauge", p, row{})
		}
	case pmetric.MetricTypeSum:
		for _, p := range m.Sum().DataPoints().All() {
			number("sum", p, row{
				"AggregationTemporality": int32(m.Sum().AggregationTemporality()),
				"IsMonotonic":            m.Sum().IsMonotonic(),
			})
		}
	case pmetric.MetricTypeHistogram:
		for _, p := range m.Histogram().DataPoints().All() {
			tail := row{
				"Count": p.Count(), "Sum": p.Sum(), "Min": p.Min(), "Max": p.Max(),
				"BucketCounts": list(p.BucketCounts().AsRaw()), "ExplicitBounds": list(p.ExplicitBounds().AsRaw()),
				"AggregationTemporality": int32(m.Histogram().AggregationTemporality()),
			}
			addExemplars(tail, p.Exemplars())
			add("histogram", p, tail)
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, p := range m.ExponentialHistogram().DataPoints().All() {
			tail := row{
				"Count": p.Count(), "Sum": p.Sum(), "Min": p.Min(), "Max": p.Max(),
				"Scale": p.Scale(), "ZeroCount": p.ZeroCount(),
				"PositiveOffset": p.Positive().Offset(), "PositiveBucketCounts": list(p.Positive().BucketCounts().AsRaw()),
				"NegativeOffset": p.Negative().Offset(), "NegativeBucketCounts": list(p.Negative().BucketCounts().AsRaw()),
				"AggregationTemporality": int32(m.ExponentialHistogram().AggregationTemporality()),
			}
			addExemplars(tail, p.Exemplars())
			add("exponential_histogram", p, tail)
		}
	case pmetric.MetricTypeSummary:
		for _, p := range m.Summary().DataPoints().All() {
			quantiles, values := []any{}, []any{}
			for _, q := range p.QuantileValues().All() {
				quantiles, values = append(quantiles, q.Quantile()), append(values, q.Value())
			}
			add("summary", p, row{
				"Count": p.Count(), "Sum": p.Sum(),
				"ValueAtQuantiles.Quantile": quantiles, "ValueAtQuantiles.Value": values,
			})
		}
	}
}

func addExemplars(r row, all pmetric.ExemplarSlice) {
	attrs, times, values, spanIDs, traceIDs := []any{}, []any{}, []any{}, []any{}, []any{}
	for _, e := range all.All() {
		attrs = append(attrs, attributes(e.FilteredAttributes(), ""))
		times = append(times, unix(e.Timestamp()))
		value := e.DoubleValue()
		if e.ValueType() == pmetric.ExemplarValueTypeInt {
			value = float64(e.IntValue())
		}
		values = append(values, value)
		spanIDs = append(spanIDs, e.SpanID().String())
		traceIDs = append(traceIDs, e.TraceID().String())
	}
	r["Exemplars.FilteredAttributes"], r["Exemplars.TimeUnix"], r["Exemplars.Value"] = attrs, times, values
	r["Exemplars.SpanId"], r["Exemplars.TraceId"] = spanIDs, traceIDs
}

func list[T any](s []T) []any {
	all := []any{}
	for _, v := range s {
		all = append(all, v)
	}
	return all
}
