package schema_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/spillway-io/spillway/schema"
)

// Few keys and values, so that neighbours are alike, take turns, or differ in one thing.
var fewKeys = []string{"service.name", "b", "a", "http.route", "ä", "c"}
var fewValues = []string{"", "x", "yy", "ü", "v1"}

func someAttributes(r *rand.Rand, m pcommon.Map) {
	for range r.IntN(5) {
		k := fewKeys[r.IntN(len(fewKeys))]
		switch r.IntN(8) {
		case 0:
			m.PutInt(k, int64(r.IntN(3)))
		case 1:
			m.PutEmptySlice(k).AppendEmpty().SetStr(fewValues[r.IntN(len(fewValues))])
		default:
			m.PutStr(k, fewValues[r.IntN(len(fewValues))])
		}
	}
}

func someTime(r *rand.Rand, now time.Time) pcommon.Timestamp {
	if r.IntN(20) == 0 {
		return 5
	}
	return pcommon.Timestamp(now.Add(-time.Duration(r.IntN(3)) * 24 * time.Hour).UnixNano())
}

func someBody(t testing.TB, r *rand.Rand, sig int, now time.Time) []byte {
	switch sig {
	case 0:
		l := plog.NewLogs()
		for range r.IntN(4) {
			rl := l.ResourceLogs().AppendEmpty()
			someAttributes(r, rl.Resource().Attributes())
			for range r.IntN(3) {
				sl := rl.ScopeLogs().AppendEmpty()
				someAttributes(r, sl.Scope().Attributes())
				sl.Scope().SetName(fewValues[r.IntN(len(fewValues))])
				for range r.IntN(6) {
					x := sl.LogRecords().AppendEmpty()
					someAttributes(r, x.Attributes())
					x.Body().SetStr(fewValues[r.IntN(len(fewValues))])
					x.SetTimestamp(someTime(r, now))
				}
			}
		}
		return logsBody(t, l)
	case 1:
		l := ptrace.NewTraces()
		for range r.IntN(4) {
			rl := l.ResourceSpans().AppendEmpty()
			someAttributes(r, rl.Resource().Attributes())
			for range r.IntN(3) {
				sl := rl.ScopeSpans().AppendEmpty()
				someAttributes(r, sl.Scope().Attributes())
				for range r.IntN(6) {
					x := sl.Spans().AppendEmpty()
					someAttributes(r, x.Attributes())
					x.SetTraceID([16]byte{byte(r.IntN(3))})
					x.SetStartTimestamp(someTime(r, now))
					for range r.IntN(3) {
						e := x.Events().AppendEmpty()
						e.SetName(fewValues[r.IntN(len(fewValues))])
						someAttributes(r, e.Attributes())
					}
					for range r.IntN(2) {
						someAttributes(r, x.Links().AppendEmpty().Attributes())
					}
				}
			}
		}
		return tracesBody(t, l)
	}
	l := pmetric.NewMetrics()
	for range r.IntN(4) {
		rl := l.ResourceMetrics().AppendEmpty()
		someAttributes(r, rl.Resource().Attributes())
		for range r.IntN(3) {
			sl := rl.ScopeMetrics().AppendEmpty()
			someAttributes(r, sl.Scope().Attributes())
			for range r.IntN(4) {
				m := sl.Metrics().AppendEmpty()
				m.SetName(fewValues[r.IntN(len(fewValues))])
				var ps pmetric.NumberDataPointSlice
				if r.IntN(2) == 0 {
					ps = m.SetEmptyGauge().DataPoints()
				} else {
					ps = m.SetEmptySum().DataPoints()
				}
				for range r.IntN(4) {
					p := ps.AppendEmpty()
					p.SetDoubleValue(1)
					p.SetTimestamp(pcommon.Timestamp(now.Add(-time.Duration(r.IntN(2)) * 7 * 24 * time.Hour).UnixNano()))
					someAttributes(r, p.Attributes())
					for range r.IntN(2) {
						someAttributes(r, p.Exemplars().AppendEmpty().FilteredAttributes())
					}
				}
			}
		}
	}
	return metricsBody(t, l)
}

// A set remembers keys, orders and values of what it decoded before. One that is used again and again,
// with broken bodies in between, makes the same blocks as a new set for each body.
func TestWhatWasSeenBeforeChangesNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	now := time.Now()
	used := schema.NewSet()
	bad, good := 0, 0
	for round := range 1000 {
		sig := r.IntN(3)
		type key struct {
			t *schema.Table
			p int32
		}
		want := map[key]*schema.Rows{}
		for range 1 + r.IntN(6) {
			body := someBody(t, r, sig, now)
			if len(body) > 0 && r.IntN(3) == 0 {
				body = append([]byte(nil), body...)
				if r.IntN(2) == 0 {
					body = body[:r.IntN(len(body))]
				} else {
					body[r.IntN(len(body))] = byte(r.Uint32())
				}
			}
			o := schema.Origin{Stream: fewValues[r.IntN(len(fewValues))], Seq: uint64(r.IntN(3)), Accepted: now.UnixNano()}
			fresh := schema.NewSet()
			f := []func(*schema.Set) (schema.Count, error){
				func(s *schema.Set) (schema.Count, error) { return s.AppendLogs(body, o) },
				func(s *schema.Set) (schema.Count, error) { return s.AppendTraces(body, o) },
				func(s *schema.Set) (schema.Count, error) { return s.AppendMetrics(body, o) }}[sig]
			c1, err1 := f(used)
			c2, err2 := f(fresh)
			if c1 != c2 || (err1 == nil) != (err2 == nil) {
				t.Fatalf("round %d: %v %v, %v %v", round, c1, err1, c2, err2)
			}
			if err1 != nil {
				bad++
				continue
			}
			good++
			for rows := range fresh.Buckets() {
				k := key{rows.Table(), rows.Partition()}
				if want[k] == nil {
					want[k] = schema.NewRows(k.t, k.p)
				}
				want[k].AppendRange(rows, 0, rows.Len())
			}
		}
		n := 0
		for rows := range used.Buckets() {
			n++
			w := want[key{rows.Table(), rows.Partition()}]
			if w == nil || !bytes.Equal(encode(t, rows), encode(t, w)) {
				t.Fatalf("round %d: %s differs", round, rows.Table().Name())
			}
		}
		if n != len(want) {
			t.Fatalf("round %d: %d buckets, want %d", round, n, len(want))
		}
		used.Reset()
	}
	if good == 0 || bad == 0 {
		t.Errorf("%d bodies were decoded and %d were not: both are wanted", good, bad)
	}
}
