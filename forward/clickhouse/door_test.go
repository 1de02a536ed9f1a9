package clickhouse

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/otlp"
	"github.com/spillway-io/spillway/schema"
)

// A collector's door only counts, and leaves the rest to the decoder. What the door of a node would
// refuse is refused by the decoder too, or it has one meaning (a field that comes twice, of which
// the last counts) and gives whole rows of valid text: that is what ClickHouse is asked here.
func TestTheDecoderIsDoorEnough(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	attrs := []*common.KeyValue{{Key: "http.route", Value: str("/cart/ä")}, {Key: "n", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: 7}}},
		{Key: "list", Value: &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: []*common.AnyValue{str("ö")}}}}}}
	from := &resource.Resource{Attributes: attrs}
	id := []byte("0123456789abcdef")
	record := &logs.LogRecord{TimeUnixNano: 1e18, SeverityText: "info", Body: str("grüße"), TraceId: id, SpanId: id[:8], Attributes: attrs, EventName: "e"}
	span := &trace.Span{TraceId: id, SpanId: id[:8], Name: "GET", StartTimeUnixNano: 1e18, Attributes: attrs, TraceState: "a=b",
		Events: []*trace.Span_Event{{Name: "x", Attributes: attrs}}, Links: []*trace.Span_Link{{TraceId: id, SpanId: id[:8]}}, Status: &trace.Status{Message: "no"}}
	bodies := map[forward.Signal]proto.Message{
		forward.Logs:   &logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{Resource: from, ScopeLogs: []*logs.ScopeLogs{{LogRecords: []*logs.LogRecord{record, record}, SchemaUrl: "u"}}}}},
		forward.Traces: &tracepb.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{Resource: from, ScopeSpans: []*trace.ScopeSpans{{Spans: []*trace.Span{span, span}}}}}},
	}
	r := rigWith(t, func(o *schema.Options) { o.Retention = schema.Retention{} }) // rows of any time stay
	refused, taken := 0, 0
	for signal, message := range bodies {
		whole, err := proto.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		set := schema.NewSet()
		for range 20_000 {
			body := append([]byte(nil), whole...)
			for range 1 + rnd.IntN(2) {
				body[rnd.IntN(len(body))] = byte(rnd.Uint32())
			}
			if rnd.IntN(8) == 0 {
				body = body[:rnd.IntN(len(body))]
			}
			if _, _, err := otlp.Check(signal, body); err == nil {
				continue
			}
			items, err := otlp.Count(signal, body)
			if err == nil {
				_, err = r.decode(set, forward.Batch{Signal: signal, Items: items, Body: body}, &caller{})
			}
			if err != nil {
				refused++
			} else {
				taken += items
			}
		}
		for _, b := range merge([]*caller{{rows: slices.Collect(set.Buckets()), done: make(chan error, 1)}}) {
			if r.store(t.Context(), b, b.all(), forward.Fence(time.Now().Add(time.Hour))); b.err != nil {
				t.Error(b.err)
			}
		}
	}
	rows := 0
	for table, columns := range map[string]string{
		"otel_logs":   "SeverityText, ServiceName, Body, ScopeSchemaUrl, EventName, toString(LogAttributes), toString(ResourceAttributes)",
		"otel_traces": "SpanName, TraceState, StatusMessage, ServiceName, toString(SpanAttributes), toString(Events.Name), toString(Events.Attributes), toString(ResourceAttributes)",
	} {
		var n, bad int
		if _, err := fmt.Sscan(r.e.SQL("SELECT count(), countIf(NOT isValidUTF8(concat("+columns+"))) FROM "+table), &n, &bad); err != nil || bad > 0 {
			t.Errorf("%s: %d rows are not UTF-8, %v", table, bad, err)
		}
		rows += n
	}
	if rows != taken {
		t.Errorf("%d rows of %d items", rows, taken)
	}
	if refused < 1000 {
		t.Errorf("only %d bodies were refused by both", refused)
	}
}
