package schema_test

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
	"github.com/spillway-io/spillway/schema"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// A failure prints its seed; it need not leave a file as well.
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		panic(err)
	}
	os.Exit(enginetest.Main(m))
}

func origin() schema.Origin {
	return schema.Origin{Stream: "00112233445566778899aabbccddeeff", Seq: 42, Accepted: accepted.UnixNano()}
}

// compare holds that the set has just the rows of the reference.
func compare(t *rapid.T, tb testing.TB, s *schema.Set, got schema.Count, err error, want *reference) {
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.count, got); diff != "" {
		t.Errorf("count (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.rows, buckets(tb, s), cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("rows (-pdata +ours):\n%s", diff)
	}
}

func TestLogsAreWhatPdataSaysTheyAre(t *testing.T) {
	s := schema.NewSet()
	rapid.Check(t, func(rt *rapid.T) {
		s.Reset()
		all := drawLogs(rt)
		count, err := s.AppendLogs(logsBody(t, all), origin())
		compare(rt, t, s, count, err, newReference(origin()).logs(all))
	})
}

func TestTracesAreWhatPdataSaysTheyAre(t *testing.T) {
	s := schema.NewSet()
	rapid.Check(t, func(rt *rapid.T) {
		s.Reset()
		all := drawTraces(rt)
		count, err := s.AppendTraces(tracesBody(t, all), origin())
		compare(rt, t, s, count, err, newReference(origin()).traces(all))
	})
}

func TestMetricsAreWhatPdataSaysTheyAre(t *testing.T) {
	s := schema.NewSet()
	rapid.Check(t, func(rt *rapid.T) {
		s.Reset()
		all := drawMetrics(rt)
		count, err := s.AppendMetrics(metricsBody(t, all), origin())
		compare(rt, t, s, count, err, newReference(origin()).metrics(all))
	})
}

// appendAny adds a drawn request of any signal to each of the sets.
func appendAny(rt *rapid.T, t testing.TB, o schema.Origin, sets ...*schema.Set) {
	var body []byte
	add := (*schema.Set).AppendLogs
	switch rapid.IntRange(0, 2).Draw(rt, "signal") {
	case 0:
		body = logsBody(t, drawLogs(rt))
	case 1:
		body, add = tracesBody(t, drawTraces(rt)), (*schema.Set).AppendTraces
	case 2:
		body, add = metricsBody(t, drawMetrics(rt)), (*schema.Set).AppendMetrics
	}
	for _, s := range sets {
		lent := slices.Clone(body)
		if _, err := add(s, lent, o); err != nil {
			rt.Fatal(err)
		}
		clear(lent) // whoever still looks at it is found out
	}
}

func TestTheSameBytesGiveTheSameBlocks(t *testing.T) {
	used := schema.NewSet()
	rapid.Check(t, func(rt *rapid.T) {
		fresh := schema.NewSet()
		used.Reset()
		for range 3 {
			appendAny(rt, t, origin(), fresh, used)
		}
		if diff := cmp.Diff(blocks(t, fresh), blocks(t, used)); diff != "" {
			t.Errorf("a new set and a used one differ:\n%s", diff)
		}
	})
}

func TestBucketsComeInInsertOrder(t *testing.T) {
	ordinal := map[string]int{}
	for i, table := range schema.Tables() {
		ordinal[table.Name()] = i
	}
	rapid.Check(t, func(rt *rapid.T) {
		s := schema.NewSet()
		appendAny(rt, t, origin(), s)
		appendAny(rt, t, origin(), s)
		table, partition := -1, int32(0)
		for r := range s.Buckets() {
			if next := ordinal[r.Table().Name()]; next < table || next == table && r.Partition() <= partition {
				rt.Fatalf("%s, partition %d, comes after %s, partition %d",
					r.Table().Name(), r.Partition(), schema.Tables()[table].Name(), partition)
			}
			table, partition = ordinal[r.Table().Name()], r.Partition()
		}
	})
}

func TestAnErrorLeavesTheSetAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := schema.NewSet()
		appendAny(rt, t, origin(), s)
		before := blocks(t, s)

		l, tr, m := drawLogs(rt), drawTraces(rt), drawMetrics(rt)
		cut := rapid.IntRange(1, 8).Draw(rt, "cut")
		for _, bad := range []struct {
			add  func(*schema.Set, []byte, schema.Origin) (schema.Count, error)
			body []byte
		}{
			{(*schema.Set).AppendLogs, logsBody(t, l)},
			{(*schema.Set).AppendTraces, tracesBody(t, tr)},
			{(*schema.Set).AppendMetrics, metricsBody(t, m)},
		} {
			body := corrupt(bad.body, cut)
			count, err := bad.add(s, body, origin())
			if err == nil {
				before = blocks(t, s)
				continue
			}
			if count != (schema.Count{}) {
				rt.Errorf("count %+v of a refused request", count)
			}
			if diff := cmp.Diff(before, blocks(t, s)); diff != "" {
				rt.Fatalf("after %v (-before +after):\n%s", err, diff)
			}
		}
	})
}

// corrupt changes one byte near the end, so that what comes before still decodes.
func corrupt(body []byte, fromEnd int) []byte {
	body = slices.Clone(body)
	if len(body) >= fromEnd {
		body[len(body)-fromEnd] ^= 0xff
	}
	return body
}

func TestMergedRowsAreTheRowsOfBoth(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		merged := map[bucket]*schema.Rows{}
		parts := map[bucket][]*schema.Rows{}
		want := map[bucket][]row{}
		for i := range 3 {
			s := schema.NewSet()
			o := origin()
			o.Seq += uint64(i)
			appendAny(rt, t, o, s)
			for r := range s.Buckets() {
				b := bucket{r.Table().Name(), r.Partition()}
				want[b] = append(want[b], read(t, encode(t, r))...)
				if merged[b] == nil {
					merged[b] = schema.NewRows(r.Table(), r.Partition())
				}
				// In two parts, as when a refused merge is halved.
				half := rapid.IntRange(0, r.Len()).Draw(rt, "half")
				merged[b].AppendRange(r, 0, half)
				merged[b].AppendRange(r, half, r.Len())
				parts[b] = append(parts[b], r)
			}
		}
		for b, r := range merged {
			if diff := cmp.Diff(want[b], read(t, encode(t, r)), cmpopts.EquateNaNs()); diff != "" {
				rt.Errorf("%v (-apart +merged):\n%s", b, diff)
			}
			if !bytes.Equal(encode(t, parts[b]...), encode(t, r)) {
				rt.Errorf("%v: encoded together they are not what they are merged", b)
			}
		}
	})
}
