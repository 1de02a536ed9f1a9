package schema_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/spillway-io/spillway/schema"
)

// Requests like those of a Kubernetes node: 500 items of one resource.
const benchItems = 500

func fillResource(r pcommon.Resource) {
	for _, kv := range [][2]string{
		{"service.name", "checkout"}, {"service.version", "1.42.0"}, {"k8s.namespace.name", "shop"},
		{"k8s.pod.name", "checkout-7c9f6d5b8-x2x7k"}, {"k8s.node.name", "node-17"}, {"k8s.container.name", "app"},
		{"k8s.cluster.name", "eu-west"}, {"deployment.environment.name", "prod"}, {"host.name", "node-17"},
	} {
		r.Attributes().PutStr(kv[0], kv[1])
	}
}

func fillAttributes(m pcommon.Map, i int) {
	m.PutStr("http.request.method", "GET")
	m.PutStr("http.route", "/cart/{id}")
	m.PutInt("http.response.status_code", int64(200+i%5))
	m.PutStr("user.id", fmt.Sprintf("u-%06d", i*7919%100000))
	m.PutDouble("duration_ms", float64(i)*1.25)
	m.PutBool("cache.hit", i%3 == 0)
}

func stamp(i int) pcommon.Timestamp {
	return pcommon.NewTimestampFromTime(accepted.Add(time.Duration(i) * time.Microsecond))
}

func benchLogs(items int) plog.Logs {
	all := plog.NewLogs()
	rl := all.ResourceLogs().AppendEmpty()
	fillResource(rl.Resource())
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName("shop/checkout")
	for i := range items {
		l := sl.LogRecords().AppendEmpty()
		l.SetTimestamp(stamp(i))
		l.SetObservedTimestamp(stamp(i))
		l.SetSeverityNumber(plog.SeverityNumberInfo)
		l.SetSeverityText("INFO")
		l.SetTraceID(pcommon.TraceID{1, 2, byte(i >> 8), byte(i)})
		l.SetSpanID(pcommon.SpanID{1, byte(i)})
		l.Body().SetStr(fmt.Sprintf("request completed: cart %d has %d items, total %d.%02d EUR", i, i%9, i%400, i%100))
		fillAttributes(l.Attributes(), i)
	}
	return all
}

func benchTraces(items int) ptrace.Traces {
	all := ptrace.NewTraces()
	rs := all.ResourceSpans().AppendEmpty()
	fillResource(rs.Resource())
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("shop/checkout")
	for i := range items {
		s := ss.Spans().AppendEmpty()
		s.SetStartTimestamp(stamp(i))
		s.SetEndTimestamp(stamp(i + 1000))
		s.SetTraceID(pcommon.TraceID{1, 2, byte(i >> 11), byte(i >> 3)})
		s.SetSpanID(pcommon.SpanID{1, byte(i)})
		s.SetParentSpanID(pcommon.SpanID{2, byte(i)})
		s.SetName([]string{"GET /cart/{id}", "SELECT carts", "redis.get"}[i%3])
		s.SetKind(ptrace.SpanKind(1 + i%3))
		fillAttributes(s.Attributes(), i)
		if i%10 == 0 {
			e := s.Events().AppendEmpty()
			e.SetName("exception")
			e.SetTimestamp(stamp(i))
			e.Attributes().PutStr("exception.type", "Timeout")
		}
	}
	return all
}

func benchMetrics(items int) pmetric.Metrics {
	all := pmetric.NewMetrics()
	rm := all.ResourceMetrics().AppendEmpty()
	fillResource(rm.Resource())
	sm := rm.ScopeMetrics().AppendEmpty()
	sm.Scope().SetName("shop/checkout")
	for i := range items / 10 {
		m := sm.Metrics().AppendEmpty()
		m.SetName(fmt.Sprintf("http.server.%02d", i))
		m.SetDescription("Duration of HTTP server requests.")
		m.SetUnit("ms")
		if i%2 == 0 {
			h := m.SetEmptyHistogram()
			h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			for j := range 10 {
				p := h.DataPoints().AppendEmpty()
				p.SetTimestamp(stamp(i))
				p.SetStartTimestamp(stamp(0))
				p.SetCount(uint64(i * j))
				p.SetSum(float64(i) * 1.5)
				p.BucketCounts().FromRaw([]uint64{1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144})
				p.ExplicitBounds().FromRaw([]float64{5, 10, 25, 50, 75, 100, 250, 500, 750, 1000})
				fillAttributes(p.Attributes(), j)
			}
			continue
		}
		s := m.SetEmptySum()
		s.SetIsMonotonic(true)
		for j := range 10 {
			p := s.DataPoints().AppendEmpty()
			p.SetTimestamp(stamp(i))
			p.SetStartTimestamp(stamp(0))
			p.SetIntValue(int64(i * j))
			fillAttributes(p.Attributes(), j)
		}
	}
	return all
}

type request struct {
	name string
	body []byte
	add  func(*schema.Set, []byte, schema.Origin) (schema.Count, error)
}

func benchRequests(t testing.TB, items int) []request {
	return []request{
		{"logs", logsBody(t, benchLogs(items)), (*schema.Set).AppendLogs},
		{"traces", tracesBody(t, benchTraces(items)), (*schema.Set).AppendTraces},
		{"metrics", metricsBody(t, benchMetrics(items)), (*schema.Set).AppendMetrics},
	}
}

// benchmark decodes one request again and again. When there are 10 000 rows they are
// encoded, a block for each table, as the writer does.
func benchmark(b *testing.B, request request) {
	const mergeRows = 10_000
	var sets []*schema.Set
	var block proto.Buffer
	rows, waiting, n := 0, 0, 0
	b.ReportAllocs()
	b.SetBytes(int64(len(request.body)))
	for b.Loop() {
		if n == len(sets) {
			sets = append(sets, schema.NewSet())
		}
		count, err := request.add(sets[n], request.body, origin())
		if err != nil {
			b.Fatal(err)
		}
		n++
		rows += count.Rows
		if waiting += count.Rows; waiting < mergeRows {
			continue
		}
		merge := map[*schema.Table][]*schema.Rows{}
		for _, s := range sets {
			for r := range s.Buckets() {
				merge[r.Table()] = append(merge[r.Table()], r)
			}
		}
		for _, all := range merge {
			block.Reset()
			if err := schema.Encode(&block, fence, all...); err != nil {
				b.Fatal(err)
			}
		}
		for _, s := range sets {
			s.Reset()
		}
		waiting, n = 0, 0
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
}

func BenchmarkAppend(b *testing.B) {
	for _, r := range benchRequests(b, benchItems) {
		b.Run(r.name, func(b *testing.B) { benchmark(b, r) })
	}
}
