package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// jsModules installs the SDK for JavaScript as the lock file has it, once, and returns its node_modules.
func jsModules(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: apt-get install nodejs npm (node 20 or later)", err)
		}
	}
	lock := readFile(t, "testdata/js/package-lock.json")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "spillway", fmt.Sprintf("e2e-js-%.8x", sha256.Sum256([]byte(lock))))
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	// It gets its name when it is whole.
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "e2e-js-installing-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	for _, name := range []string{"package.json", "package-lock.json"} {
		if err := os.WriteFile(filepath.Join(fresh, name), []byte(readFile(t, filepath.Join("testdata/js", name))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = fresh
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v: the first run of this test needs a package registry\n%s", err, out)
	}
	if err := os.Rename(fresh, dir); err != nil {
		if _, installed := os.Stat(modules); installed != nil {
			t.Fatal(err)
		}
	}
	return modules
}

// A jsSDK is one run of the OpenTelemetry SDK for JavaScript.
type jsSDK struct {
	transport, compression string
	service, traces        string
	base                   time.Time
	times                  map[string][2]int64 // of metrics, in seconds: start and end
}

// What the JavaScript SDK is given arrives in the tables field by field, over gRPC, HTTP with
// protobuf and HTTP with JSON.
func TestTheJavaScriptSDKArrivesWhole(t *testing.T) {
	t.Parallel()
	modules := jsModules(t)
	engine, c, a := both(t, "")
	dir := t.TempDir()
	script := filepath.Join(dir, "send.mjs")
	if err := os.WriteFile(script, []byte(readFile(t, "testdata/js/send.mjs")), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	sdks := []*jsSDK{
		{transport: "grpc", compression: "none"}, {transport: "grpc", compression: "gzip"},
		{transport: "proto", compression: "none"}, {transport: "proto", compression: "gzip"},
		{transport: "json", compression: "none"}, {transport: "json", compression: "gzip"},
	}
	for i, s := range sdks {
		s.service = "js-" + s.transport + "-" + s.compression
		s.traces, s.base = fmt.Sprintf("%016x", 0xfedcba9800000000+uint64(i)), hour()
		endpoint := a.http
		if s.transport == "grpc" {
			endpoint = a.grpc
		}
		node := exec.CommandContext(t.Context(), "node", script, s.transport, endpoint, s.compression, s.service, secs(s.base), s.traces)
		node.Stderr = os.Stderr
		out, err := node.Output()
		if err != nil {
			t.Fatalf("%s: %v", s.service, err)
		}
		if err := json.Unmarshal(out, &s.times); err != nil {
			t.Fatalf("%s: %v in %q", s.service, err, out)
		}
	}
	a.drained()
	c.equation()
	for _, s := range sdks {
		t.Run(s.service, func(t *testing.T) {
			s.checkSpans(t, engine)
			s.checkLogs(t, engine)
			s.checkMetrics(t, engine)
		})
	}
}

func (s *jsSDK) at(milliseconds int) time.Time {
	return s.base.Add(123456789 + time.Duration(milliseconds)*time.Millisecond)
}

func (s *jsSDK) traceID(n int) string { return fmt.Sprintf("%s%016x", s.traces, n) }

func (s *jsSDK) resourceRow() row {
	return row{"ServiceName": s.service, "ResourceAttributes": row{"service.name": s.service, "process.pid": "7", "canary": "true", "zones": `["a","b"]`}}
}

func (s *jsSDK) checkSpans(t *testing.T, engine *enginetest.Engine) {
	t.Helper()
	of := merge(s.resourceRow(), row{"ScopeName": "shop/checkout", "ScopeVersion": "1.2.3", "TraceId": s.traceID(1), "TraceState": "",
		"ParentSpanId": "", "StatusMessage": "", "SpanAttributes": row{},
		"Events.Timestamp": []string{}, "Events.Name": []string{}, "Events.Attributes": []row{},
		"Links.TraceId": []string{}, "Links.SpanId": []string{}, "Links.TraceState": []string{}, "Links.Attributes": []row{}})
	want := []row{merge(of, row{"Timestamp": nanos(s.at(0)), "SpanId": spanID(1).String(), "SpanName": "POST /orders", "SpanKind": "Server",
		"Duration": 1500 * time.Millisecond, "StatusCode": "Error", "StatusMessage": "card declined",
		"SpanAttributes":   row{"http.request.method": "POST", "status": "500", "ratio": "0.25", "retried": "false", "sizes": "[1,2]", "text": "Grüße \"x\"\n"},
		"Events.Timestamp": []string{nanos(s.at(1)), nanos(s.at(2))}, "Events.Name": []string{"reserved", "charged"},
		"Events.Attributes": []row{{"items": "3"}, {}},
		"Links.TraceId":     []string{s.traceID(99)}, "Links.SpanId": []string{spanID(98).String()},
		"Links.TraceState": []string{"vendor=one,other=two"}, "Links.Attributes": []row{{"why": "batch"}}})}
	for i, kind := range []struct {
		number int // the API's
		name   string
	}{{0, "Internal"}, {2, "Client"}, {3, "Producer"}, {4, "Consumer"}} {
		want = append(want, merge(of, row{"Timestamp": nanos(s.at(10 + kind.number)), "SpanId": spanID(uint64(i) + 2).String(),
			"ParentSpanId": spanID(1).String(), "SpanName": fmt.Sprintf("child %d", kind.number), "SpanKind": kind.name,
			"Duration": 10 * time.Millisecond, "StatusCode": "Ok"}))
	}
	want = append(want, merge(of, row{"Timestamp": nanos(s.at(9000)), "TraceId": s.traceID(99), "SpanId": spanID(6).String(),
		"ParentSpanId": spanID(98).String(), "TraceState": "vendor=one,other=two", "SpanName": "follower", "SpanKind": "Internal",
		"Duration": 5 * time.Millisecond, "StatusCode": "Unset"}))
	same(t, "spans", stored(t, engine, "otel_traces", "ServiceName = '"+s.service+"'", "SpanId"), want)

	day := s.base.Format(time.DateOnly)
	same(t, "times of traces", stored(t, engine, "otel_traces_trace_id_ts FINAL", "startsWith(TraceId, '"+s.traces+"')", "TraceId"), []row{
		{"TraceId": s.traceID(1), "Start": secs(s.at(0)), "End": secs(s.at(14)), "Day": day},
		{"TraceId": s.traceID(99), "Start": secs(s.at(9000)), "End": secs(s.at(9000)), "Day": day}})
}

func (s *jsSDK) checkLogs(t *testing.T, engine *enginetest.Engine) {
	t.Helper()
	same(t, "logs", stored(t, engine, "otel_logs", "ServiceName = '"+s.service+"'", "Timestamp"), []row{merge(s.resourceRow(), row{
		"ResourceSchemaUrl": resourceSchema, "ScopeSchemaUrl": scopeSchema, "ScopeName": "shop/audit", "ScopeVersion": "4.5",
		"ScopeAttributes": row{"scope.kind": "audit"}, "Timestamp": nanos(s.at(0)), "ObservedTimestamp": nanos(s.at(1000)),
		"TraceId": s.traceID(1), "SpanId": spanID(1).String(), "TraceFlags": 1, "SeverityText": "WARNING", "SeverityNumber": 14,
		"Body": `{"lines":[1,2.5,true],"order":"A-1"}`, "EventName": "shop.order.declined",
		"LogAttributes": row{"s": "x", "i": "-7", "f": "0.1", "b": "true", "raw": "AP8=", "list": `["a","b"]`, "m": `{"n":1}`}})})
}

func (s *jsSDK) checkMetrics(t *testing.T, engine *enginetest.Engine) {
	t.Helper()
	const delta, cumulative = 1, 2
	point := func(name, description, unit string, columns row) row {
		times := s.times[name]
		return merge(s.resourceRow(), row{"ResourceSchemaUrl": resourceSchema, "ScopeName": "shop/meter", "ScopeVersion": "6.7",
			"ScopeSchemaUrl": scopeSchema, "ScopeAttributes": row{}, "ScopeDroppedAttrCount": 0, "Flags": 0,
			"MetricName": name, "MetricDescription": description, "MetricUnit": unit, "Attributes": row{},
			"StartTimeUnix": fmt.Sprint(times[0]), "TimeUnix": fmt.Sprint(times[1]),
			// The SDK makes no exemplars.
			"Exemplars.TimeUnix": []string{}, "Exemplars.Value": []float64{}, "Exemplars.FilteredAttributes": []row{},
			"Exemplars.SpanId": []string{}, "Exemplars.TraceId": []string{}}, columns)
	}
	route := row{"route": "/orders", "ok": "true"}
	for table, want := range map[string][]row{
		"otel_metrics_gauge": {point("temperature", "", "Cel", row{"Value": 21.5, "Attributes": route})},
		"otel_metrics_sum": {
			point("active", "", "{request}", row{"Value": -3, "IsMonotonic": false, "AggregationTemporality": cumulative}),
			point("cpu.time", "", "s", row{"Value": 12.5, "IsMonotonic": true, "AggregationTemporality": delta}),
			point("requests", "requests served", "{request}", row{"Value": 42, "IsMonotonic": true, "AggregationTemporality": delta, "Attributes": route})},
		"otel_metrics_histogram": {point("latency", "", "s", row{"Count": 4, "Sum": 55.5625, "Min": 0.0625, "Max": 50, "Attributes": route,
			"BucketCounts": []int{1, 1, 1, 1}, "ExplicitBounds": []float64{0.1, 1, 10}, "AggregationTemporality": delta})},
		"otel_metrics_exponential_histogram": {point("upload.size", "", "By", row{"Count": 4, "Sum": 14, "Min": 0, "Max": 8, "Scale": 0, "ZeroCount": 1,
			"PositiveOffset": 0, "PositiveBucketCounts": []int{1, 1, 1}, "NegativeOffset": 0, "NegativeBucketCounts": []int{},
			"AggregationTemporality": delta})},
	} {
		same(t, table, stored(t, engine, table, "ServiceName = '"+s.service+"'", "MetricName"), want)
	}
}
