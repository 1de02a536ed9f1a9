package schema_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/spillway-io/spillway/schema"
)

// message is a protobuf message in the making.
type message []byte

func (m message) bytes(field protowire.Number, v []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), v)
}

func (m message) fixed64(field protowire.Number, v uint64) message {
	return protowire.AppendFixed64(protowire.AppendTag(m, field, protowire.Fixed64Type), v)
}

func (m message) varint(field protowire.Number, v uint64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), v)
}

// in wraps an item into a request of one resource and one scope.
func (m message) in() []byte {
	return message{}.bytes(1, message{}.bytes(2, message{}.bytes(2, m)))
}

func str(s string) message { return message{}.bytes(1, []byte(s)) }

func attribute(key string, value message) message {
	return message{}.bytes(1, []byte(key)).bytes(2, value)
}

// oneLog decodes a request of one log record into its row.
func oneLog(t *testing.T, body []byte) row {
	t.Helper()
	s := schema.NewSet()
	if _, err := s.AppendLogs(body, origin()); err != nil {
		t.Fatal(err)
	}
	for r := range s.Buckets() {
		if rows := read(t, encode(t, r)); len(rows) == 1 {
			return rows[0]
		}
	}
	t.Fatal("not one row")
	return nil
}

func TestOfEqualKeysTheLastOneCounts(t *testing.T) {
	nested := message{}.bytes(1, attribute("x", str("old"))).bytes(1, attribute("x", str("new")))
	r := oneLog(t, message{}.
		bytes(6, attribute("b", str("1"))).
		bytes(6, attribute("a", str("2"))).
		bytes(6, attribute("b", str("3"))).
		bytes(6, attribute("b", message{}.bytes(6, nested))).
		in())
	want := []kv{{"a", "2"}, {"b", `{"x":"new"}`}}
	if diff := cmp.Diff(want, r["LogAttributes"]); diff != "" {
		t.Error(diff)
	}
}

func TestJSONKeepsWhatItHasNoNumberFor(t *testing.T) {
	l := plog.NewLogs()
	list := l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetEmptySlice()
	for _, f := range []float64{1.5, math.NaN(), math.Inf(1), math.Inf(-1)} {
		list.AppendEmpty().SetDouble(f)
	}
	got := oneLog(t, logsBody(t, l))["Body"]
	if want := `[1.5,"NaN","Infinity","-Infinity"]`; got != want {
		t.Errorf("body %s, want %s", got, want)
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	group := protowire.AppendTag(nil, 77, protowire.StartGroupType)
	group = message(group).varint(1, 5)
	group = protowire.AppendTag(group, 77, protowire.EndGroupType)
	record := message{}.bytes(5, str("hello")).varint(99, 7).fixed64(98, 7).bytes(97, []byte("?"))
	record = append(record, group...)
	record = record.varint(5, 3) // the body's number with another type
	marker := message{}.bytes(1000, []byte("stream and seq"))
	body := append(append(marker, record.in()...), marker...)
	if got := oneLog(t, body)["Body"]; got != "hello" {
		t.Errorf("body %q", got)
	}
}

func TestGarbageIsAnErrorThatSaysWhere(t *testing.T) {
	deep := str("leaf")
	for range 2000 {
		deep = message{}.bytes(5, message{}.bytes(1, deep))
	}
	for _, c := range []struct {
		name string
		body []byte
		want string
	}{
		{"length beyond the end", []byte{1<<3 | 2, 5, 0}, "unexpected EOF"},
		{"field 0", []byte{0, 0}, "field number 0 does not exist"},
		{"varint of 11 bytes", bytes.Repeat([]byte{0xff}, 11), "varint overflows 64 bits"},
		{"trace id of 3 bytes", message{}.bytes(9, []byte("abc")).in(), "resource 0: scope 0: item 0: id of 3 bytes, not 16"},
		{"end of no group", message(protowire.AppendTag(nil, 9, protowire.EndGroupType)).in(), "mismatching end group marker"},
		{"deep nesting", message{}.bytes(5, deep).in(), "values nest deeper than 1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := schema.NewSet().AppendLogs(c.body, origin())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

func TestTimestampsThatClickHouseCannotHoldAreReplaced(t *testing.T) {
	date := func(year int, month time.Month, day int) uint64 {
		return uint64(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).UnixNano())
	}
	acceptedNanos := uint64(accepted.UnixNano())
	for _, c := range []struct {
		name           string
		time, observed uint64
		want           uint64
		original       string
	}{
		{"as sent", date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 20), ""},
		{"absent, observed", 0, date(2026, 11, 21), date(2026, 11, 21), ""},
		{"absent altogether", 0, 0, acceptedNanos, ""},
		{"before 1971", date(1970, 12, 31), 0, acceptedNanos, "31449600000000000"},
		{"the first of 1971", date(1971, 1, 1), 0, date(1971, 1, 1), ""},
		{"a day ahead", acceptedNanos + uint64(24*time.Hour), 0, acceptedNanos + uint64(24*time.Hour), ""},
		{"a day and 1 ns ahead", acceptedNanos + uint64(24*time.Hour) + 1, 0, acceptedNanos, "1795476600123456790"},
		{"after 2262", math.MaxUint64, 0, acceptedNanos, "18446744073709551615"},
		{"observed after 2262", 0, math.MaxUint64, acceptedNanos, "18446744073709551615"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := oneLog(t, message{}.fixed64(1, c.time).fixed64(11, c.observed).in())
			if got := r["Timestamp"]; got != int64(c.want) {
				t.Errorf("timestamp %d, want %d", got, c.want)
			}
			want := []kv{}
			if c.original != "" {
				want = append(want, kv{"spillway.original_timestamp", c.original})
			}
			if diff := cmp.Diff(want, r["LogAttributes"]); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAbsurdAcceptTimeStillHasAPartition(t *testing.T) {
	for _, accepted := range []int64{math.MinInt64, 0, math.MaxInt64} {
		s := schema.NewSet()
		if _, err := s.AppendLogs(message{}.in(), schema.Origin{Accepted: accepted}); err != nil {
			t.Fatal(err)
		}
		for r := range s.Buckets() {
			if p := r.Partition(); p < 365 || p > 50_000 {
				t.Errorf("accepted at %d: partition %d", accepted, p)
			}
		}
	}
}

func TestNoBodyOpensPartitionsWithoutEnd(t *testing.T) {
	l := plog.NewLogs()
	records := l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	const days = 1000
	for i := range days {
		records.AppendEmpty().SetTimestamp(pcommon.NewTimestampFromTime(accepted.AddDate(0, 0, -i)))
	}
	s := schema.NewSet()
	count, err := s.AppendLogs(logsBody(t, l), origin())
	if err != nil || count.Rows != days {
		t.Fatalf("%+v, %v", count, err)
	}
	partitions, noted := 0, 0
	for r := range s.Buckets() {
		partitions++
		for _, row := range read(t, encode(t, r)) {
			noted += len(row["LogAttributes"].([]kv))
		}
	}
	if partitions != 400 || noted != days-400 {
		t.Errorf("%d partitions, %d rows with their original timestamp in an attribute; want 400, 600", partitions, noted)
	}
}

func TestSharedTextsDoNotMultiplyWithoutEnd(t *testing.T) {
	l := plog.NewLogs()
	rl := l.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("huge", strings.Repeat("x", 100_000))
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for range 100_000 {
		records.AppendEmpty()
	}
	s := schema.NewSet()
	if _, err := s.AppendLogs(logsBody(t, l), origin()); !errors.Is(err, schema.ErrTooLarge) {
		t.Fatalf("error %v, want ErrTooLarge", err)
	}
	if n := s.Bytes(); n > 4096 {
		t.Errorf("%d bytes left in the set", n)
	}
}

func TestAPointWithoutValueIsStoredOnlyIfItSaysSo(t *testing.T) {
	m := pmetric.NewMetrics()
	points := m.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints()
	points.AppendEmpty()
	points.AppendEmpty().SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	points.AppendEmpty().SetIntValue(7)
	future := message{}.bytes(1, []byte("of a kind to come")).bytes(13, []byte("?"))
	s := schema.NewSet()
	got, err := s.AppendMetrics(append(metricsBody(t, m), future.in()...), origin())
	if err != nil {
		t.Fatal(err)
	}
	want := schema.Count{Items: 3, Rows: 2, Unstorable: 1, UnknownKinds: 1}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestASpanThatEndsBeforeItStartsLastsNothing(t *testing.T) {
	for _, c := range []struct{ start, end, want uint64 }{
		{0, 5, 0}, {5, 0, 0}, {9, 5, 0}, {5, 9, 4},
	} {
		s := schema.NewSet()
		if _, err := s.AppendTraces(message{}.fixed64(7, c.start).fixed64(8, c.end).in(), origin()); err != nil {
			t.Fatal(err)
		}
		for r := range s.Buckets() {
			if got := read(t, encode(t, r))[0]["Duration"]; got != c.want {
				t.Errorf("from %d to %d: %d, want %d", c.start, c.end, got, c.want)
			}
		}
	}
}

func TestATraceOverMidnightHasATimeRangeOnEachDay(t *testing.T) {
	midnight := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	all := ptrace.NewTraces()
	spans := all.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for _, offset := range []time.Duration{-2 * time.Second, time.Second, -time.Second, 3 * time.Second} {
		sp := spans.AppendEmpty()
		sp.SetTraceID(pcommon.TraceID{1})
		sp.SetStartTimestamp(pcommon.NewTimestampFromTime(midnight.Add(offset)))
	}
	s := schema.NewSet()
	if _, err := s.AppendTraces(tracesBody(t, all), origin()); err != nil {
		t.Fatal(err)
	}
	id, day, sec := "01"+strings.Repeat("0", 30), days(midnight), uint32(midnight.Unix())
	want := map[bucket][]row{
		{"otel_traces_trace_id_ts", day - 1}: {{"TraceId": id, "Start": sec - 2, "End": sec - 1, "Day": uint16(day - 1)}},
		{"otel_traces_trace_id_ts", day}:     {{"TraceId": id, "Start": sec + 1, "End": sec + 3, "Day": uint16(day)}},
	}
	got := buckets(t, s)
	delete(got, bucket{"otel_traces", day - 1})
	delete(got, bucket{"otel_traces", day})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMetricsArePartitionedByMonday(t *testing.T) {
	for _, c := range []struct{ at, want string }{
		{"2026-11-22T23:59:59Z", "2026-11-16"}, // a Sunday
		{"2026-11-23T00:00:00Z", "2026-11-23"},
		{"1971-01-01T00:00:00Z", "1970-12-28"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		p := message{}.fixed64(3, uint64(at.UnixNano())).fixed64(4, 0)
		s := schema.NewSet()
		if _, err := s.AppendMetrics(message{}.bytes(5, message{}.bytes(1, p)).in(), origin()); err != nil {
			t.Fatal(err)
		}
		for r := range s.Buckets() {
			if got := time.Unix(int64(r.Partition())*86400, 0).UTC().Format(time.DateOnly); got != c.want {
				t.Errorf("%s: week of %s, want %s", c.at, got, c.want)
			}
			if first, last := r.Bounds(); first != at.UnixNano() || last != first {
				t.Errorf("%s: bounds %d to %d", c.at, first, last)
			}
		}
	}
}

func TestDictionariesOfEveryWidth(t *testing.T) {
	for _, distinct := range []int{1, 256, 257, 65536, 65537} {
		t.Run(fmt.Sprint(distinct), func(t *testing.T) {
			l := plog.NewLogs()
			records := l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
			for i := range distinct + 1 {
				records.AppendEmpty().SetSeverityText(fmt.Sprint(i % distinct))
			}
			s := schema.NewSet()
			if _, err := s.AppendLogs(logsBody(t, l), origin()); err != nil {
				t.Fatal(err)
			}
			for r := range s.Buckets() {
				for i, row := range read(t, encode(t, r)) {
					if row["SeverityText"] != fmt.Sprint(i%distinct) {
						t.Fatalf("row %d has %q", i, row["SeverityText"])
					}
				}
			}
		})
	}
}

func TestWhatCannotBeSentIsNotEncoded(t *testing.T) {
	var b proto.Buffer
	logs := schema.NewRows(schema.Tables()[2], 20_000)
	if err := schema.Encode(&b, fence, logs); err == nil || len(b.Buf) > 0 {
		t.Errorf("no rows: %v, %d bytes", err, len(b.Buf))
	}
	s := schema.NewSet()
	if _, err := s.AppendLogs(message{}.in(), origin()); err != nil {
		t.Fatal(err)
	}
	for r := range s.Buckets() {
		if err := schema.Encode(&b, 0, r); err == nil || len(b.Buf) > 0 {
			t.Errorf("no fence: %v, %d bytes", err, len(b.Buf))
		}
	}
}

func TestABlockHasTheColumnsOfItsInsertInOrder(t *testing.T) {
	s := schema.NewSet()
	for _, request := range benchRequests(t, benchItems) {
		if _, err := request.add(s, request.body, origin()); err != nil {
			t.Fatal(err)
		}
	}
	for r := range s.Buckets() {
		names, _ := decodeBlock(t, encode(t, r))
		var quoted []string
		for _, name := range names {
			if strings.Contains(name, ".") {
				name = "`" + name + "`"
			}
			quoted = append(quoted, name)
		}
		if got := strings.Join(quoted, ", "); got != r.Table().InsertColumns() {
			t.Errorf("%s:\nblock  %s\ninsert %s", r.Table().Name(), got, r.Table().InsertColumns())
		}
	}
}

func TestDecodingAllocatesNothingForEachRow(t *testing.T) {
	for _, c := range benchRequests(t, benchItems) {
		s := schema.NewSet()
		allocs := testing.AllocsPerRun(20, func() {
			s.Reset()
			if _, err := c.add(s, c.body, origin()); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > 0.1*benchItems {
			t.Errorf("%s: %.0f allocations for %d rows", c.name, allocs, benchItems)
		}
	}
}
