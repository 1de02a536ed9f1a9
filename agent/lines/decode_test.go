package lines_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/otlp"
)

// observed is when the lines of the tests are seen.
var observed = time.Date(2024, 5, 6, 7, 8, 10, 0, time.UTC)

var resource = lines.NewResource("/var/log/shop.log", nil)

// decode reads a body as everyone downstream does: the strict walk at the door, google protobuf
// and pdata, which must agree.
func decode(t testing.TB, body []byte, items int) *logspb.ExportLogsServiceRequest {
	t.Helper()
	if n, _, err := otlp.Check(forward.Logs, body); err != nil || n != items {
		t.Fatalf("the door counts %d records, want %d: %v\n%x", n, items, err, body)
	}
	var request, again logspb.ExportLogsServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		t.Fatalf("google protobuf: %v\n%x", err, body)
	}
	collector := plogotlp.NewExportRequest()
	if err := collector.UnmarshalProto(body); err != nil {
		t.Fatalf("pdata: %v\n%x", err, body)
	}
	marshalled, err := collector.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(marshalled, &again); err != nil {
		t.Fatal(err)
	}
	for _, rl := range again.ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			if proto.Size(sl.Scope) == 0 { // pdata always has one
				sl.Scope = nil
			}
		}
	}
	if !proto.Equal(&request, &again) {
		t.Fatalf("pdata reads it differently:\n%s", cmp.Diff(&request, &again, protocmp.Transform()))
	}
	return &request
}

// one encodes a line by itself.
func one(t testing.TB, o lines.Options, line string) (scope string, record *logs.LogRecord) {
	t.Helper()
	e := lines.NewEncoder(o)
	e.Begin(resource)
	e.Add([]byte(line), time.Time{}, observed, "", false, false)
	request := decode1(t, e)
	scoped := request.ResourceLogs[0].ScopeLogs[0]
	return scoped.GetScope().GetName(), scoped.LogRecords[0]
}

func decode1(t testing.TB, e *lines.Encoder) *logspb.ExportLogsServiceRequest {
	t.Helper()
	body, items := e.Finish()
	return decode(t, body, items)
}

// attributes are a record's, by key; no two may have the same.
func attributes(t testing.TB, record *logs.LogRecord) map[string]*common.AnyValue {
	t.Helper()
	m := make(map[string]*common.AnyValue)
	for _, a := range record.Attributes {
		if m[a.Key] != nil {
			t.Errorf("attribute %q comes twice", a.Key)
		}
		m[a.Key] = a.Value
	}
	return m
}

// describe writes a record for people to read, what is not set left out.
func describe(scope string, r *logs.LogRecord) string {
	var b strings.Builder
	if r.TimeUnixNano != 0 {
		fmt.Fprintf(&b, "  time      %s\n", time.Unix(0, int64(r.TimeUnixNano)).UTC().Format(time.RFC3339Nano))
	}
	if r.SeverityNumber != 0 || r.SeverityText != "" {
		fmt.Fprintf(&b, "  severity  %d %q\n", r.SeverityNumber, r.SeverityText)
	}
	if scope != "" {
		fmt.Fprintf(&b, "  scope     %s\n", scope)
	}
	if len(r.TraceId) > 0 || len(r.SpanId) > 0 || r.Flags != 0 {
		fmt.Fprintf(&b, "  trace     %x %x %02x\n", r.TraceId, r.SpanId, r.Flags)
	}
	fmt.Fprintf(&b, "  body      %s\n", show(r.Body))
	for _, a := range r.Attributes {
		fmt.Fprintf(&b, "  %s = %s\n", a.Key, show(a.Value))
	}
	if r.DroppedAttributesCount != 0 {
		fmt.Fprintf(&b, "  dropped   %d\n", r.DroppedAttributesCount)
	}
	return b.String()
}

// show writes a value so that its type can be seen.
func show(v *common.AnyValue) string {
	var parts []string
	switch v := v.GetValue().(type) {
	case nil:
		return "null"
	case *common.AnyValue_StringValue:
		if strings.Contains(v.StringValue, "\n") {
			return "|\n      " + strings.ReplaceAll(v.StringValue, "\n", "\n      ")
		}
		return fmt.Sprintf("%q", v.StringValue)
	case *common.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	case *common.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *common.AnyValue_DoubleValue:
		return fmt.Sprintf("double(%g)", v.DoubleValue)
	case *common.AnyValue_ArrayValue:
		for _, element := range v.ArrayValue.Values {
			parts = append(parts, show(element))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *common.AnyValue_KvlistValue:
		for _, entry := range v.KvlistValue.Values {
			parts = append(parts, entry.Key+": "+show(entry.Value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprintf("%T", v)
}
