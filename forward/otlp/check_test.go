package otlp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/spillway-io/spillway/forward"
)

// The tables of message.go against the protocol's own descriptors, both ways.
func TestMessagesMatchTheProtocol(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var compare func(m *message, d protoreflect.MessageDescriptor)
	compare = func(m *message, d protoreflect.MessageDescriptor) {
		if seen[d.FullName()] {
			return
		}
		seen[d.FullName()] = true
		if m.name != string(d.Name()) {
			t.Errorf("%s is called %s", d.Name(), m.name)
		}
		for n := 1; n < len(m.fields); n++ {
			f, fd := m.fields[n], d.Fields().ByNumber(protoreflect.FieldNumber(n))
			if fd == nil {
				if f.kind != unknown {
					t.Errorf("%s has no field %d", d.Name(), n)
				}
				continue
			}
			if got, want := f.kind, kindOf(fd); got != want {
				t.Errorf("%s.%s: kind %d, want %d", d.Name(), fd.Name(), got, want)
			}
			if f.repeated != fd.IsList() {
				t.Errorf("%s.%s: repeated %v", d.Name(), fd.Name(), f.repeated)
			}
			if oneof := fd.ContainingOneof(); (f.oneof != 0) != (oneof != nil && !oneof.IsSynthetic()) {
				t.Errorf("%s.%s: oneof %d", d.Name(), fd.Name(), f.oneof)
			}
			if f.kind == inner {
				compare(f.msg, fd.Message())
			}
		}
		for i := range d.Fields().Len() {
			if n := int(d.Fields().Get(i).Number()); n >= len(m.fields) {
				t.Errorf("%s has a field %d", d.Name(), n)
			}
		}
	}
	compare(logsRequest, (&logspb.ExportLogsServiceRequest{}).ProtoReflect().Descriptor())
	compare(tracesRequest, (&tracepb.ExportTraceServiceRequest{}).ProtoReflect().Descriptor())
	compare(metricsRequest, (&metricspb.ExportMetricsServiceRequest{}).ProtoReflect().Descriptor())
}

func kindOf(fd protoreflect.FieldDescriptor) kind {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return text
	case protoreflect.BytesKind:
		switch {
		case strings.HasSuffix(string(fd.Name()), "trace_id"):
			return id16
		case strings.HasSuffix(string(fd.Name()), "span_id"):
			return id8
		}
		return blob
	case protoreflect.MessageKind:
		return inner
	case protoreflect.Fixed32Kind:
		return fixed32
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		if fd.IsList() {
			return packedFixed64
		}
		return fixed64
	}
	if fd.IsList() {
		return packedVarint
	}
	return varint
}

func str(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func attrs(n int) (kvs []*common.KeyValue) {
	keys := []string{"http.request.method", "url.path", "http.response.status_code", "user.id", "thread.name", "code.function.name", "retry", "tenant"}
	for i := range n {
		kvs = append(kvs, &common.KeyValue{Key: keys[i%len(keys)], Value: str("value of the attribute")})
	}
	return kvs
}

// sample is a request of s with n items, like what a service sends.
func sample(s forward.Signal, n int) []byte {
	res := &resourcepb.Resource{Attributes: attrs(6)}
	scope := &common.InstrumentationScope{Name: "app", Version: "1.2.3"}
	id16, id8 := bytes.Repeat([]byte{7}, 16), bytes.Repeat([]byte{9}, 8)
	var m proto.Message
	switch s {
	case forward.Logs:
		sl := &logs.ScopeLogs{Scope: scope}
		for range n {
			sl.LogRecords = append(sl.LogRecords, &logs.LogRecord{TimeUnixNano: 1e18, ObservedTimeUnixNano: 1e18, SeverityNumber: 9, SeverityText: "info",
				Body: str("request finished for a customer with an ordinary message length"), Attributes: attrs(8), TraceId: id16, SpanId: id8})
		}
		m = &logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{Resource: res, ScopeLogs: []*logs.ScopeLogs{sl}}}}
	case forward.Traces:
		ss := &trace.ScopeSpans{Scope: scope}
		for range n {
			ss.Spans = append(ss.Spans, &trace.Span{TraceId: id16, SpanId: id8, ParentSpanId: id8, Name: "GET /orders", Kind: 2, StartTimeUnixNano: 1e18, EndTimeUnixNano: 1e18 + 5,
				Attributes: attrs(7), Events: []*trace.Span_Event{{Name: "exception", TimeUnixNano: 1e18, Attributes: attrs(3)}}, Links: []*trace.Span_Link{{TraceId: id16, SpanId: id8}},
				Status: &trace.Status{Code: 2, Message: "boom"}})
		}
		m = &tracepb.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{Resource: res, ScopeSpans: []*trace.ScopeSpans{ss}}}}
	case forward.Metrics:
		g, h := &metrics.Gauge{}, &metrics.Histogram{AggregationTemporality: 2}
		for i := range n {
			if i%2 == 0 {
				g.DataPoints = append(g.DataPoints, &metrics.NumberDataPoint{TimeUnixNano: 1e18, Attributes: attrs(4), Value: &metrics.NumberDataPoint_AsDouble{AsDouble: 1.5}})
			} else {
				h.DataPoints = append(h.DataPoints, &metrics.HistogramDataPoint{TimeUnixNano: 1e18, Count: 5, Sum: proto.Float64(3), BucketCounts: []uint64{1, 2, 2}, ExplicitBounds: []float64{1, 2},
					Attributes: attrs(4), Exemplars: []*metrics.Exemplar{{TraceId: id16, SpanId: id8, Value: &metrics.Exemplar_AsInt{AsInt: 4}}}})
			}
		}
		m = &metricspb.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{Resource: res, ScopeMetrics: []*metrics.ScopeMetrics{{Scope: scope, Metrics: []*metrics.Metric{
			{Name: "queue.depth", Unit: "1", Data: &metrics.Metric_Gauge{Gauge: g}}, {Name: "latency", Unit: "s", Data: &metrics.Metric_Histogram{Histogram: h}}}}}}}}
	}
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func TestCheckCountsItems(t *testing.T) {
	for _, s := range forward.Signals {
		for _, n := range []int{0, 1, 2, 777} {
			items, parts, err := Check(s, sample(s, n))
			if err != nil || items != n || parts != nil {
				t.Errorf("%s: %d items, %v, %v; want %d", s, items, parts, err, n)
			}
		}
	}
}

func TestCheckNamesThePlace(t *testing.T) {
	f := func(s forward.Signal, body []byte, want string) {
		t.Helper()
		_, _, err := Check(s, body)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want ...%s", err, want)
		}
	}
	wrap := func(field protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), b)
	}
	record := func(b []byte) []byte { return wrap(1, wrap(2, wrap(2, b))) }

	f(forward.Logs, []byte{0x0a}, "[1]: cut off")
	f(forward.Logs, []byte{0x0a, 5, 1}, "[1]: cut off")
	f(forward.Logs, []byte{0x08, 1}, "[1]: wrong wire type")
	f(forward.Logs, []byte{0x00}, "bad field tag")
	f(forward.Logs, []byte{0x0b, 0x0c}, "wrong wire type") // a group
	f(forward.Logs, record(wrap(3, []byte{0xff})), "[1] ResourceLogs[2] ScopeLogs[2] LogRecord[3]: not valid UTF-8")
	f(forward.Logs, record(wrap(9, make([]byte, 15))), "[9]: id of 15 bytes, want 16 or none")
	f(forward.Logs, record(append(wrap(3, nil), wrap(3, nil)...)), "field 3 comes twice")
	f(forward.Logs, record(wrap(5, append(wrap(1, nil), wrap(7, nil)...))), "field 7 comes twice") // two members of a oneof
	f(forward.Metrics, wrap(1, wrap(2, wrap(2, append(wrap(5, nil), wrap(7, nil)...)))), "field 7 comes twice")
	f(forward.Logs, wrap(forward.MarkerField+1, nil)[:2], ": cut off")
	f(forward.Logs, append(wrap(1, nil), wrap(forward.MarkerField, nil)...), "reserved for record markers")
	f(forward.Signal(9), nil, "is not a signal")

	deep := wrap(1, nil)
	for range 60 {
		deep = wrap(5, wrap(1, deep))
	}
	f(forward.Logs, record(wrap(5, deep)), "nested too deep")
}

func TestMarkedBodiesAreCheckedRecordByRecord(t *testing.T) {
	one, two := sample(forward.Logs, 3), sample(forward.Logs, 2)
	mark := func(items, length int, body []byte) []byte {
		return append(forward.Marker{Seq: 7, Items: uint32(items), Length: uint32(length)}.Append(nil), body...)
	}
	good := append(mark(3, len(one), one), mark(2, len(two), two)...)
	items, parts, err := Check(forward.Logs, good)
	if err != nil || items != 5 || len(parts) != 2 || parts[0].Items != 3 || parts[1].End != len(good) {
		t.Errorf("%d items, %v, %v", items, parts, err)
	}
	for name, bad := range map[string][]byte{
		"wrong items":   mark(4, len(one), one),
		"wrong length":  mark(3, len(one)-1, one),
		"beyond":        mark(3, len(one)+1, one),
		"unmarked tail": append(mark(3, len(one), one), two...),
		"cut marker":    forward.Marker{}.Append(nil)[:20],
	} {
		if _, _, err := Check(forward.Logs, bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Other decoders skip the markers.
	req := plogotlp.NewExportRequest()
	if err := req.UnmarshalProto(good); err != nil || req.Logs().LogRecordCount() != 5 {
		t.Errorf("pdata: %d records, %v", req.Logs().LogRecordCount(), err)
	}
}

// decoders are the strict decoders that a merged batch may meet: what Check lets through must
// pass them and hold as many items.
func decode(s forward.Signal, body []byte) (items int, google, pdata error) {
	switch s {
	case forward.Logs:
		google = proto.Unmarshal(body, &logspb.ExportLogsServiceRequest{})
		r := plogotlp.NewExportRequest()
		pdata = r.UnmarshalProto(body)
		items = r.Logs().LogRecordCount()
	case forward.Traces:
		google = proto.Unmarshal(body, &tracepb.ExportTraceServiceRequest{})
		r := ptraceotlp.NewExportRequest()
		pdata = r.UnmarshalProto(body)
		items = r.Traces().SpanCount()
	case forward.Metrics:
		google = proto.Unmarshal(body, &metricspb.ExportMetricsServiceRequest{})
		r := pmetricotlp.NewExportRequest()
		pdata = r.UnmarshalProto(body)
		items = r.Metrics().DataPointCount()
	}
	return items, google, pdata
}

func compareDecoders(t *testing.T, s forward.Signal, body []byte) {
	t.Helper()
	items, _, err := Check(s, body)
	if err != nil {
		return
	}
	n, google, pdata := decode(s, body)
	if google != nil || pdata != nil || n != items {
		t.Fatalf("%s %x: Check lets it through with %d items; pdata %v with %d, google %v", s, body, items, pdata, n, google)
	}
}

// Every single-byte change of a valid request: never let through what a decoder refuses.
func TestNothingPassesThatADecoderRefuses(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, s := range forward.Signals {
		good := sample(s, 2)
		compareDecoders(t, s, good)
		for i := range good {
			for range 6 {
				bad := bytes.Clone(good)
				bad[i] = byte(r.Uint32())
				compareDecoders(t, s, bad)
			}
			compareDecoders(t, s, good[:i])
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range forward.Signals {
		f.Add(uint8(s), sample(s, 2))
	}
	f.Fuzz(func(t *testing.T, s uint8, body []byte) {
		if !forward.HasMarker(body) {
			compareDecoders(t, forward.Signal(s%3+1), body)
		}
	})
}

func TestCutKeepsEveryItemAndTheLimit(t *testing.T) {
	for _, s := range forward.Signals {
		body := sample(s, 3000)
		const limit = 64 << 10
		b := Cut(s, body, 3000, limit)
		if len(b.Parts) < len(body)/limit {
			t.Fatalf("%s: %d parts of %d bytes", s, len(b.Parts), len(body))
		}
		from, items := 0, 0
		for i, p := range b.Parts {
			n, _, err := Check(s, b.Body[from:p.End])
			if err != nil || n != p.Items || p.End-from > limit {
				t.Errorf("%s: part %d: %d bytes, %d items of %d, %v", s, i, p.End-from, n, p.Items, err)
			}
			from, items = p.End, items+n
		}
		if items != 3000 || from != len(b.Body) || b.Items != 3000 {
			t.Errorf("%s: %d items in %d bytes of %d", s, items, from, len(b.Body))
		}
	}
}

func TestCutDoesNotBlowUpAHugeResource(t *testing.T) {
	m := &logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource:  &resourcepb.Resource{Attributes: []*common.KeyValue{{Key: "big", Value: str(strings.Repeat("x", 80<<10))}}},
		ScopeLogs: []*logs.ScopeLogs{{LogRecords: make([]*logs.LogRecord, 5000)}},
	}}}
	for i := range m.ResourceLogs[0].ScopeLogs[0].LogRecords {
		m.ResourceLogs[0].ScopeLogs[0].LogRecords[i] = &logs.LogRecord{Body: str("0123456789")}
	}
	body, _ := proto.Marshal(m)
	b := Cut(forward.Logs, body, 5000, 64<<10)
	if len(b.Body) > 2*len(body) {
		t.Errorf("%d bytes became %d", len(body), len(b.Body))
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, s := range forward.Signals {
		b.Run(s.String(), func(b *testing.B) {
			body := sample(s, 1000)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Check(s, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
