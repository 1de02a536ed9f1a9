package schema_test

import (
	"math"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"pgregory.net/rapid"
)

// accepted is when the tests' requests were taken in: a Sunday, late.
var accepted = time.Date(2026, 11, 22, 23, 30, 0, 123456789, time.UTC)

var (
	texts = rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "GET /", "checkout", "ops-backend", "naïve ☂", "<&>\u2028\"\\\n\x01"}),
		rapid.String(),
	)
	keys = rapid.OneOf(
		rapid.SampledFrom([]string{"service.name", "k8s.pod.name", "http.route", "z", "a", ""}),
		rapid.StringN(1, 8, 16),
	)
	finite = rapid.OneOf(
		rapid.SampledFrom([]float64{0, 1, -1, 0.1, 1e21, 1e-7, math.MaxFloat64, math.SmallestNonzeroFloat64, 123456789.125}),
		rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) }),
	)
	anyFloat = rapid.OneOf(finite, rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1)}))

	// Mostly of these days, sometimes absent or absurd.
	timestamps = rapid.Custom(func(t *rapid.T) pcommon.Timestamp {
		switch rapid.IntRange(0, 9).Draw(t, "time") {
		case 0:
			return 0
		case 1:
			return pcommon.Timestamp(rapid.Uint64().Draw(t, "anytime"))
		default:
			ago := rapid.Int64Range(-int64(25*time.Hour), int64(10*24*time.Hour)).Draw(t, "ago")
			return pcommon.Timestamp(accepted.UnixNano() - ago)
		}
	})
)

func some(t *rapid.T, name string, most int, add func()) {
	for range rapid.IntRange(0, most).Draw(t, name) {
		add()
	}
}

func drawTraceID(t *rapid.T) (id pcommon.TraceID) {
	id[15] = rapid.Byte().Draw(t, "trace id")
	return id
}

func drawSpanID(t *rapid.T) (id pcommon.SpanID) {
	id[0] = rapid.Byte().Draw(t, "span id")
	return id
}

func drawAttributes(t *rapid.T, to pcommon.Map) {
	some(t, "attributes", 4, func() {
		drawValue(t, to.PutEmpty(keys.Draw(t, "key")), 0)
	})
}

func drawValue(t *rapid.T, to pcommon.Value, depth int) {
	floats := anyFloat
	if depth > 0 {
		floats = finite // there pdata empties the whole value
	}
	kinds := 8
	if depth == 3 {
		kinds = 6
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0: // no value
	case 1:
		to.SetBool(rapid.Bool().Draw(t, "bool"))
	case 2:
		to.SetInt(rapid.Int64().Draw(t, "int"))
	case 3:
		to.SetDouble(floats.Draw(t, "double"))
	case 4:
		to.SetEmptyBytes().FromRaw(rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "bytes"))
	case 5:
		to.SetStr(texts.Draw(t, "str"))
	case 6:
		s := to.SetEmptySlice()
		some(t, "elements", 3, func() { drawValue(t, s.AppendEmpty(), depth+1) })
	case 7:
		m := to.SetEmptyMap()
		some(t, "entries", 3, func() { drawValue(t, m.PutEmpty(keys.Draw(t, "key")), depth+1) })
	}
}

func drawScope(t *rapid.T, to pcommon.InstrumentationScope) {
	to.SetName(texts.Draw(t, "scope"))
	to.SetVersion(texts.Draw(t, "version"))
	to.SetDroppedAttributesCount(rapid.Uint32().Draw(t, "dropped"))
	drawAttributes(t, to.Attributes())
}

func drawLogs(t *rapid.T) plog.Logs {
	all := plog.NewLogs()
	some(t, "resources", 3, func() {
		rl := all.ResourceLogs().AppendEmpty()
		drawAttributes(t, rl.Resource().Attributes())
		rl.SetSchemaUrl(texts.Draw(t, "resource url"))
		some(t, "scopes", 3, func() {
			sl := rl.ScopeLogs().AppendEmpty()
			drawScope(t, sl.Scope())
			sl.SetSchemaUrl(texts.Draw(t, "scope url"))
			some(t, "records", 4, func() {
				l := sl.LogRecords().AppendEmpty()
				l.SetTimestamp(timestamps.Draw(t, "timestamp"))
				l.SetObservedTimestamp(timestamps.Draw(t, "observed"))
				l.SetSeverityNumber(plog.SeverityNumber(rapid.Int32Range(0, 24).Draw(t, "severity")))
				l.SetSeverityText(rapid.SampledFrom([]string{"", "info", "ERROR"}).Draw(t, "severity text"))
				l.SetFlags(plog.LogRecordFlags(rapid.Uint32().Draw(t, "flags")))
				l.SetTraceID(drawTraceID(t))
				l.SetSpanID(drawSpanID(t))
				l.SetEventName(texts.Draw(t, "event"))
				drawValue(t, l.Body(), 0)
				drawAttributes(t, l.Attributes())
			})
		})
	})
	return all
}

func drawTraces(t *rapid.T) ptrace.Traces {
	all := ptrace.NewTraces()
	some(t, "resources", 3, func() {
		rs := all.ResourceSpans().AppendEmpty()
		drawAttributes(t, rs.Resource().Attributes())
		some(t, "scopes", 3, func() {
			ss := rs.ScopeSpans().AppendEmpty()
			drawScope(t, ss.Scope())
			some(t, "spans", 4, func() { drawSpan(t, ss.Spans().AppendEmpty()) })
		})
	})
	return all
}

func drawSpan(t *rapid.T, s ptrace.Span) {
	s.SetStartTimestamp(timestamps.Draw(t, "start"))
	s.SetEndTimestamp(timestamps.Draw(t, "end"))
	s.SetTraceID(drawTraceID(t))
	s.SetSpanID(drawSpanID(t))
	s.SetParentSpanID(drawSpanID(t))
	s.TraceState().FromRaw(texts.Draw(t, "state"))
	s.SetName(texts.Draw(t, "name"))
	s.SetKind(ptrace.SpanKind(rapid.Int32Range(-1, 7).Draw(t, "kind")))
	s.Status().SetCode(ptrace.StatusCode(rapid.Int32Range(-1, 4).Draw(t, "status")))
	s.Status().SetMessage(texts.Draw(t, "message"))
	drawAttributes(t, s.Attributes())
	some(t, "events", 3, func() {
		e := s.Events().AppendEmpty()
		e.SetTimestamp(timestamps.Draw(t, "event time"))
		e.SetName(texts.Draw(t, "event"))
		drawAttributes(t, e.Attributes())
	})
	some(t, "links", 3, func() {
		l := s.Links().AppendEmpty()
		l.SetTraceID(drawTraceID(t))
		l.SetSpanID(drawSpanID(t))
		l.TraceState().FromRaw(texts.Draw(t, "link state"))
		drawAttributes(t, l.Attributes())
	})
}

func drawMetrics(t *rapid.T) pmetric.Metrics {
	all := pmetric.NewMetrics()
	some(t, "resources", 2, func() {
		rm := all.ResourceMetrics().AppendEmpty()
		drawAttributes(t, rm.Resource().Attributes())
		rm.SetSchemaUrl(texts.Draw(t, "resource url"))
		some(t, "scopes", 2, func() {
			sm := rm.ScopeMetrics().AppendEmpty()
			drawScope(t, sm.Scope())
			sm.SetSchemaUrl(texts.Draw(t, "scope url"))
			some(t, "metrics", 3, func() { drawMetric(t, sm.Metrics().AppendEmpty()) })
		})
	})
	return all
}

func drawMetric(t *rapid.T, m pmetric.Metric) {
	m.SetName(texts.Draw(t, "metric"))
	m.SetDescription(texts.Draw(t, "description"))
	m.SetUnit(texts.Draw(t, "unit"))
	temporality := pmetric.AggregationTemporality(rapid.Int32Range(0, 2).Draw(t, "temporality"))
	switch rapid.IntRange(0, 5).Draw(t, "data") {
	case 0: // of no kind
	case 1:
		m.SetEmptyGauge()
		some(t, "points", 3, func() { drawNumber(t, m.Gauge().DataPoints().AppendEmpty()) })
	case 2:
		m.SetEmptySum().SetAggregationTemporality(temporality)
		m.Sum().SetIsMonotonic(rapid.Bool().Draw(t, "monotonic"))
		some(t, "points", 3, func() { drawNumber(t, m.Sum().DataPoints().AppendEmpty()) })
	case 3:
		m.SetEmptyHistogram().SetAggregationTemporality(temporality)
		some(t, "points", 3, func() { drawHistogram(t, m.Histogram().DataPoints().AppendEmpty()) })
	case 4:
		m.SetEmptyExponentialHistogram().SetAggregationTemporality(temporality)
		some(t, "points", 3, func() { drawExpHistogram(t, m.ExponentialHistogram().DataPoints().AppendEmpty()) })
	case 5:
		m.SetEmptySummary()
		some(t, "points", 3, func() { drawSummary(t, m.Summary().DataPoints().AppendEmpty()) })
	}
}

// pointHead is what all kinds of points have.
type pointHead interface {
	SetStartTimestamp(pcommon.Timestamp)
	SetTimestamp(pcommon.Timestamp)
	SetFlags(pmetric.DataPointFlags)
	Attributes() pcommon.Map
}

func drawPoint(t *rapid.T, p pointHead) {
	p.SetStartTimestamp(timestamps.Draw(t, "start"))
	p.SetTimestamp(timestamps.Draw(t, "time"))
	p.SetFlags(pmetric.DataPointFlags(rapid.Uint32Range(0, 3).Draw(t, "flags")))
	drawAttributes(t, p.Attributes())
}

func drawNumber(t *rapid.T, p pmetric.NumberDataPoint) {
	drawPoint(t, p)
	switch rapid.IntRange(0, 4).Draw(t, "value") {
	case 0: // none
	case 1, 2:
		p.SetIntValue(rapid.Int64().Draw(t, "int"))
	default:
		p.SetDoubleValue(anyFloat.Draw(t, "double"))
	}
	drawExemplars(t, p.Exemplars())
}

func drawHistogram(t *rapid.T, p pmetric.HistogramDataPoint) {
	drawPoint(t, p)
	p.SetCount(rapid.Uint64().Draw(t, "count"))
	if rapid.Bool().Draw(t, "with sum") {
		p.SetSum(anyFloat.Draw(t, "sum"))
		p.SetMin(anyFloat.Draw(t, "min"))
		p.SetMax(anyFloat.Draw(t, "max"))
	}
	p.BucketCounts().FromRaw(rapid.SliceOfN(rapid.Uint64(), 0, 4).Draw(t, "counts"))
	p.ExplicitBounds().FromRaw(rapid.SliceOfN(anyFloat, 0, 4).Draw(t, "bounds"))
	drawExemplars(t, p.Exemplars())
}

func drawExpHistogram(t *rapid.T, p pmetric.ExponentialHistogramDataPoint) {
	drawPoint(t, p)
	p.SetCount(rapid.Uint64().Draw(t, "count"))
	p.SetZeroCount(rapid.Uint64().Draw(t, "zero count"))
	p.SetScale(rapid.Int32().Draw(t, "scale"))
	if rapid.Bool().Draw(t, "with sum") {
		p.SetSum(anyFloat.Draw(t, "sum"))
		p.SetMin(anyFloat.Draw(t, "min"))
		p.SetMax(anyFloat.Draw(t, "max"))
	}
	p.Positive().SetOffset(rapid.Int32().Draw(t, "positive"))
	p.Positive().BucketCounts().FromRaw(rapid.SliceOfN(rapid.Uint64(), 0, 4).Draw(t, "positive counts"))
	p.Negative().SetOffset(rapid.Int32().Draw(t, "negative"))
	p.Negative().BucketCounts().FromRaw(rapid.SliceOfN(rapid.Uint64(), 0, 4).Draw(t, "negative counts"))
	drawExemplars(t, p.Exemplars())
}

func drawSummary(t *rapid.T, p pmetric.SummaryDataPoint) {
	drawPoint(t, p)
	p.SetCount(rapid.Uint64().Draw(t, "count"))
	p.SetSum(anyFloat.Draw(t, "sum"))
	some(t, "quantiles", 3, func() {
		q := p.QuantileValues().AppendEmpty()
		q.SetQuantile(finite.Draw(t, "quantile"))
		q.SetValue(anyFloat.Draw(t, "value"))
	})
}

func drawExemplars(t *rapid.T, to pmetric.ExemplarSlice) {
	some(t, "exemplars", 2, func() {
		e := to.AppendEmpty()
		e.SetTimestamp(timestamps.Draw(t, "exemplar time"))
		if rapid.Bool().Draw(t, "exemplar int") {
			e.SetIntValue(rapid.Int64().Draw(t, "int"))
		} else {
			e.SetDoubleValue(anyFloat.Draw(t, "double"))
		}
		e.SetTraceID(drawTraceID(t))
		e.SetSpanID(drawSpanID(t))
		drawAttributes(t, e.FilteredAttributes())
	})
}

func logsBody(t testing.TB, l plog.Logs) []byte {
	t.Helper()
	body, err := plogotlp.NewExportRequestFromLogs(l).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func tracesBody(t testing.TB, traces ptrace.Traces) []byte {
	t.Helper()
	body, err := ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func metricsBody(t testing.TB, m pmetric.Metrics) []byte {
	t.Helper()
	body, err := pmetricotlp.NewExportRequestFromMetrics(m).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return body
}
