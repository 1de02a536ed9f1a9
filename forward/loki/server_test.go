package loki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/agent"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/otlp"
)

var quiet = slog.New(slog.DiscardHandler)

const (
	asProtobuf = "application/x-protobuf"
	asJSON     = "application/json"
)

// keeper is a Sink that keeps what it is given, or answers what it is told to.
type keeper struct {
	mu     sync.Mutex
	got    []forward.Batch
	answer error
}

func (k *keeper) Put(_ context.Context, b forward.Batch) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.answer != nil {
		return k.answer
	}
	b.Body = bytes.Clone(b.Body)
	k.got = append(k.got, b)
	return nil
}

// taken is what arrived since the last call.
func (k *keeper) taken() []forward.Batch {
	k.mu.Lock()
	defer k.mu.Unlock()
	got := k.got
	k.got = nil
	return got
}

// A door is a server on a port of its own.
type door struct {
	url     string
	limiter *forward.Limiter
}

func serve(t *testing.T, cfg otlp.ListenerConfig, next forward.Sink, hardMiB int64) door {
	t.Helper()
	cfg.Endpoint = "127.0.0.1:0"
	l := forward.NewLimiter(hardMiB<<20, hardMiB<<20*4/5, forward.Hard, time.Second, quiet)
	listening := &otlp.Listening{}
	addr, err := NewServer(cfg, l.Before(next), l, forward.NewCounters(nil, "test"), quiet).Beside(listening)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- listening.Serve(ctx, time.Second) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if taken, _, _, _ := l.Usage(); taken != 0 {
			t.Errorf("%d bytes not given back", taken)
		}
	})
	return door{"http://" + addr.String() + "/loki/api/v1/push", l}
}

// post sends body and returns the status, the answer and Retry-After. headers are names and values.
func (d door) post(t *testing.T, kind string, body []byte, headers ...string) (status int, answer, after string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header.Get("Retry-After")
}

// packed is a request as promtail sends it.
func packed(t testing.TB, streams ...push.Stream) []byte {
	t.Helper()
	return snappy.Encode(nil, marshal(t, streams...))
}

func marshal(t testing.TB, streams ...push.Stream) []byte {
	t.Helper()
	req := push.PushRequest{Streams: streams}
	b, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// numbered is a stream of count entries a second apart.
func numbered(labels string, count int) push.Stream {
	s := push.Stream{Labels: labels}
	for i := range count {
		s.Entries = append(s.Entries, push.Entry{Timestamp: base.Add(time.Duration(i) * time.Second), Line: fmt.Sprintf("line %d", i)})
	}
	return s
}

var base = time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)

// decode reads what arrived, after the walk that is at every door.
func decode(t testing.TB, body []byte, items int) *logspb.ExportLogsServiceRequest {
	t.Helper()
	if n, _, err := otlp.Check(forward.Logs, body); err != nil || n != items {
		t.Fatalf("the walk counts %d records, want %d: %v\n%x", n, items, err, body)
	}
	var r logspb.ExportLogsServiceRequest
	if err := proto.Unmarshal(body, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// shown writes attributes as key=value.
func shown(attributes []*common.KeyValue) string {
	var all []string
	for _, a := range attributes {
		all = append(all, a.Key+"="+a.Value.GetStringValue())
	}
	return strings.Join(all, " ")
}

// described writes a request for people to read.
func described(r *logspb.ExportLogsServiceRequest) string {
	var b strings.Builder
	for _, rl := range r.ResourceLogs {
		fmt.Fprintf(&b, "%s\n", shown(rl.Resource.Attributes))
		for _, sl := range rl.ScopeLogs {
			for _, lr := range sl.LogRecords {
				fmt.Fprintf(&b, "  %d %d %q %q", lr.TimeUnixNano, lr.SeverityNumber, lr.SeverityText, lr.Body.GetStringValue())
				if len(lr.TraceId) > 0 {
					fmt.Fprintf(&b, " %x %x", lr.TraceId, lr.SpanId)
				}
				fmt.Fprintf(&b, " %s\n", shown(lr.Attributes))
			}
		}
	}
	return b.String()
}

const (
	trace = "0af7651916cd43dd8448eb211c80319c"
	span  = "b7ad6b7169203331"
)

// However it is sent, the same request becomes the same records.
func TestARequestBecomesRecords(t *testing.T) {
	inJSON := []byte(`{"streams": [
		{"stream": {"namespace": "shop", "pod": "web-0", "app": "web", "level": "warn", "stream": "stderr"}, "values": [
			["1714979289123456789", "plain text", {"trace_id": "` + trace + `", "span_id": "` + span + `", "user": "7", "detected_level": "warn"}],
			["1714979289123456790", "{\"event\": \"in JSON\", \"level\": \"error\", \"trace_id\": \"` + trace + `\", \"timestamp\": \"2024-05-06T07:08:09.123456Z\"}"]]},
		{"values": [["1714979289123456791", "early", {}]], "unknown": [{"a": null}], "stream": {"job": "cron"}},
		{"stream": {"job": "idle"}, "values": []}], "more": 1}`)
	inProtobuf := marshal(t,
		push.Stream{Labels: `{namespace="shop", pod="web-0",app="web" , level="warn",stream="stderr",}`, Hash: 7, Entries: []push.Entry{
			{Timestamp: base, Line: "plain text", Parsed: push.LabelsAdapter{{Name: "not", Value: "kept"}},
				StructuredMetadata: push.LabelsAdapter{{Name: "trace_id", Value: trace}, {Name: "span_id", Value: span}, {Name: "user", Value: "7"}, {Name: "detected_level", Value: "warn"}}},
			{Timestamp: base.Add(1), Line: `{"event": "in JSON", "level": "error", "trace_id": "` + trace + `", "timestamp": "2024-05-06T07:08:09.123456Z"}`}}},
		push.Stream{Labels: `{job="cron"}`, Entries: []push.Entry{{Timestamp: base.Add(2), Line: "early"}}},
		push.Stream{Labels: `{job="idle"}`})
	const want = `k8s.namespace.name=shop k8s.pod.name=web-0 app=web service.name=web loki.tenant=team-a
  1714979289123456789 13 "warn" "plain text" 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 user=7 log.iostream=stderr
  1714979289123456790 17 "error" "in JSON" 0af7651916cd43dd8448eb211c80319c  timestamp=2024-05-06T07:08:09.123456Z level=warn log.iostream=stderr
job=cron service.name=cron loki.tenant=team-a
  1714979289123456791 0 "" "early" 
`
	k := &keeper{}
	d := serve(t, otlp.ListenerConfig{}, k, 100)
	for name, c := range map[string]struct {
		kind, encoding string
		body           []byte
	}{
		"JSON":                        {asJSON + "; charset=utf-8", "", inJSON},
		"JSON in gzip":                {asJSON, "gzip", zipped(t, "gzip", inJSON)},
		"JSON in deflate":             {asJSON, "deflate", zipped(t, "deflate", inJSON)},
		"JSON in zlib":                {asJSON, "deflate", zipped(t, "zlib", inJSON)},
		"protobuf":                    {asProtobuf, "", snappy.Encode(nil, inProtobuf)},
		"protobuf, snappy named":      {asProtobuf, "snappy", snappy.Encode(nil, inProtobuf)},
		"protobuf, in gzip":           {asProtobuf, "gzip", zipped(t, "gzip", snappy.Encode(nil, inProtobuf))},
		"protobuf without being told": {"", "", snappy.Encode(nil, inProtobuf)},
	} {
		headers := []string{"X-Scope-OrgID", "team-a"}
		if c.encoding != "" {
			headers = append(headers, "Content-Encoding", c.encoding)
		}
		if status, answer, _ := d.post(t, c.kind, c.body, headers...); status != http.StatusNoContent || answer != "" {
			t.Errorf("%s: %d %q", name, status, answer)
		}
		got := k.taken()
		if len(got) != 1 || got[0].Items != 3 || got[0].Signal != forward.Logs {
			t.Fatalf("%s: %+v", name, got)
		}
		if text := described(decode(t, got[0].Body, 3)); text != want {
			t.Errorf("%s: got\n%swant\n%s", name, text, want)
		}
	}
}

func zipped(t *testing.T, encoding string, body []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "zlib":
		w = zlib.NewWriter(&buf)
	default:
		w, _ = flate.NewWriter(&buf, flate.DefaultCompression)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return buf.Bytes()
}

// An entry without a time has that of its line, or none; nobody's tenant is no attribute.
func TestAnEntryWithoutATime(t *testing.T) {
	k := &keeper{}
	d := serve(t, otlp.ListenerConfig{}, k, 100)
	body := []byte(`{"streams": [{"stream": null, "values": [["0", "x"], ["0", "{\"event\": \"x\", \"ts\": \"2024-05-06T07:08:09Z\"}"]]}]}`)
	if status, answer, _ := d.post(t, asJSON, body); status != http.StatusNoContent {
		t.Fatal(status, answer)
	}
	const want = `service.name=unknown_service
  0 0 "" "x" 
  1714979289000000000 0 "" "x" 
`
	if text := described(decode(t, k.taken()[0].Body, 2)); text != want {
		t.Errorf("got\n%swant\n%s", text, want)
	}
}

// What is wrong is named with its place, and nothing of the request is taken.
func TestABadRequestIsRefusedWhole(t *testing.T) {
	k := &keeper{}
	d := serve(t, otlp.ListenerConfig{MaxRecvMsgSizeMiB: 1}, k, 100)
	good := numbered(`{a="b"}`, 1)
	bad := func(labels string) []byte { return packed(t, good, numbered(labels, 1)) }
	entry := func(e push.Entry) []byte {
		s := numbered(`{a="b"}`, 1)
		s.Entries = append(s.Entries, e)
		return packed(t, good, s)
	}
	inJSON := func(stream string) []byte {
		return []byte(`{"streams": [{"stream": {"a": "b"}, "values": [["1", "x"]]}, ` + stream + `]}`)
	}
	many := push.Entry{Timestamp: base}
	for i := range maxMetadata + 1 {
		many.StructuredMetadata = append(many.StructuredMetadata, push.LabelAdapter{Name: fmt.Sprint("k", i), Value: "v"})
	}
	labels := `{a="b"`
	for i := range maxLabels {
		labels += fmt.Sprintf(`, l%d="v"`, i)
	}
	type refusal struct {
		status int
		text   string
		kind   string
		body   []byte
		header []string
	}
	for name, c := range map[string]refusal{
		"labels":           {400, `streams[1]: labels at byte 5: no value in double quotes: write {name="value", ...}`, asProtobuf, bad(`{a=  b}`), nil},
		"label twice":      {400, `streams[1]: label "a" comes twice`, asProtobuf, bad(`{a="b",a="c"}`), nil},
		"many labels":      {400, "streams[1]: more than 128 labels", asProtobuf, bad(labels + "}"), nil},
		"large labels":     {400, "streams[1]: more than 128 labels or 32768 bytes of them: send fewer with a stream", asProtobuf, bad(`{a="` + strings.Repeat("x", maxLabelBytes) + `"}`), nil},
		"early time":       {400, "streams[1], entry 1: timestamp: -1 s and 0 ns are not a time from 1970 to 2262", asProtobuf, entry(push.Entry{Timestamp: time.Unix(-1, 0)}), nil},
		"late time":        {400, "streams[1], entry 1: timestamp", asProtobuf, entry(push.Entry{Timestamp: time.Date(2263, 1, 1, 0, 0, 0, 0, time.UTC)}), nil},
		"much metadata":    {400, "streams[1], entry 1: more than 128 pairs or 65536 bytes of structured metadata", asProtobuf, entry(many), nil},
		"large metadata":   {400, "streams[1], entry 1: more than 128 pairs or 65536 bytes of structured metadata: send less with an entry", asProtobuf, entry(push.Entry{StructuredMetadata: push.LabelsAdapter{{Name: "a", Value: strings.Repeat("x", maxMetadataBytes)}}}), nil},
		"nameless":         {400, "streams[1], entry 1: structured metadata without a name", asProtobuf, entry(push.Entry{StructuredMetadata: push.LabelsAdapter{{Value: "x"}}}), nil},
		"cut off":          {400, "byte 1: field 1: unexpected EOF", asProtobuf, snappy.Encode(nil, marshal(t, good)[:5]), nil},
		"wire type":        {400, "streams[0]: byte 0: field 1: wrong wire type", asProtobuf, snappy.Encode(nil, []byte{1<<3 | 2, 2, 1 << 3, 7}), nil},
		"no snappy":        {400, "snappy", asProtobuf, marshal(t, good), nil},
		"framed snappy":    {400, "send one block, not the framing format", asProtobuf, append([]byte("\x06\xff\x06\x00\x00sNaPpY"), make([]byte, 64)...), nil},
		"a lie of a block": {400, "11 bytes cannot hold the 1000000 that they promise", asProtobuf, append([]byte{0xc0, 0x84, 0x3d}, "12345678"...), nil},
		"no JSON":          {400, "JSON at byte 0", asJSON, []byte("streams"), nil},
		"empty JSON":       {400, "JSON at byte 0: ends too early", asJSON, nil, nil},
		"cut JSON":         {400, "ends too early", asJSON, []byte(`{"streams": [{"stream": {"a": "b"}, "values": [["1", "x"`), nil},
		"behind JSON":      {400, "something behind the object", asJSON, append(inJSON(`{"values": []}`), 'x'), nil},
		"other JSON":       {400, "JSON without streams", asJSON, []byte(`{"stream": {}}`), nil},
		"not an object":    {400, "want an object, not [", asJSON, []byte(`[]`), nil},
		"legacy JSON":      {400, "streams[1]: JSON at byte 99: no values", asJSON, inJSON(`{"labels": "{a=\"b\"}", "entries": []}`), nil},
		"label in JSON":    {400, `streams[1]: label "a.b": write a name of letters`, asJSON, inJSON(`{"stream": {"a.b": "x"}, "values": []}`), nil},
		"number as label":  {400, `streams[1]: JSON at byte 79: want a string as value of "a", not a number`, asJSON, inJSON(`{"stream": {"a": 7}, "values": []}`), nil},
		"stream twice":     {400, "streams[1]: JSON at byte 92: stream comes twice", asJSON, inJSON(`{"stream": {"a": "b"}, "stream": {}, "values": []}`), nil},
		"time in JSON":     {400, `streams[1], entry 1: JSON at byte 113: timestamp "now": write nanoseconds since 1970`, asJSON, inJSON(`{"stream": {"a": "b"}, "values": [["1", "x"], ["now", "y"]]}`), nil},
		"number as time":   {400, "want nanoseconds since 1970 in quotes, not a number", asJSON, inJSON(`{"stream": {}, "values": [[1, "x"]]}`), nil},
		"negative time":    {400, `timestamp "-1" is not a time from 1970 to 2262`, asJSON, inJSON(`{"stream": {}, "values": [["-1", "x"]]}`), nil},
		"early value":      {400, "streams[1], entry 0: JSON at byte 78: want nanoseconds", asJSON, inJSON(`{"values": [[true, "x"]], "stream": {}}`), nil},
		"no line":          {400, "streams[1], entry 0: JSON at byte 92: no time and line", asJSON, inJSON(`{"stream": {}, "values": [["1"]]}`), nil},
		"more in a value":  {400, "more than time, line and structured metadata", asJSON, inJSON(`{"stream": {}, "values": [["1", "x", {}, 7]]}`), nil},
		"metadata in JSON": {400, `want a string as value of "n", not {`, asJSON, inJSON(`{"stream": {}, "values": [["1", "x", {"n": {}}]]}`), nil},
		"deep JSON":        {400, "exceeded max depth", asJSON, inJSON(`{"deep": ` + strings.Repeat("[", 100000)), nil},
		"tenant":           {400, "X-Scope-OrgID of 151 bytes: send at most 150", asProtobuf, packed(t, good), []string{"X-Scope-OrgID", strings.Repeat("x", 151)}},
		"too large":        {413, "larger than 1 MiB", asJSON, make([]byte, 2<<20), nil},
		"too large inside": {413, "larger than 1 MiB", asProtobuf, snappy.Encode(nil, make([]byte, 2<<20)), nil},
		"deflated bomb":    {413, "larger than 1 MiB", asJSON, zipped(t, "deflate", make([]byte, 64<<20)), []string{"Content-Encoding", "deflate"}},
		"entries":          {413, "streams[0], entry 131071: refused (too_large): more than 131072 streams and entries: send smaller batches", asProtobuf, snappy.Encode(nil, empties(maxEntries)), nil},
		"streams":          {413, "streams[131072]: refused (too_large): more than 131072 streams and entries", asProtobuf, snappy.Encode(nil, bytes.Repeat([]byte{requestStreams<<3 | 2, 0}, maxEntries+1)), nil},
		"content type":     {415, "use application/x-protobuf (in Snappy) or application/json", "text/plain", packed(t, good), nil},
		"bad content type": {415, "use application/x-protobuf (in Snappy) or application/json", ";", packed(t, good), nil},
		"encoding":         {415, `encoding "br": use gzip, deflate, zstd or none`, asJSON, nil, []string{"Content-Encoding", "br"}},
	} {
		status, answer, after := d.post(t, c.kind, c.body, c.header...)
		if status != c.status || !strings.Contains(answer, c.text) || after != "" || len(answer) > 400 {
			t.Errorf("%s: %d %.400q, Retry-After %q; want %d with %s", name, status, answer, after, c.status, c.text)
		}
		if got := k.taken(); len(got) != 0 {
			t.Errorf("%s: %d batches were taken", name, len(got))
		}
	}
	resp, err := http.Get(d.url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %s", resp.Status)
	}
	if status, answer, _ := d.post(t, asProtobuf, packed(t, good)); status != http.StatusNoContent || len(k.taken()) != 1 {
		t.Errorf("a good request behind them: %d %s", status, answer)
	}
}

// empties is a request of entries that say nothing.
func empties(count int) []byte {
	entries := bytes.Repeat([]byte{streamEntries<<3 | 2, 0}, count)
	return append(append([]byte{requestStreams<<3 | 2}, varint(len(entries))...), entries...)
}

func varint(n int) (b []byte) {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func TestAFullSinkIsWorthATryLater(t *testing.T) {
	k := &keeper{answer: &forward.BusyError{After: 7 * time.Second, Err: errors.New("log full")}}
	d := serve(t, otlp.ListenerConfig{}, k, 100)
	body := packed(t, numbered(`{a="b"}`, 10))
	if status, answer, after := d.post(t, asProtobuf, body); status != http.StatusTooManyRequests || after != "7" || !strings.Contains(answer, "log full") {
		t.Errorf("%d %q, Retry-After %q", status, answer, after)
	}
	k.answer = errors.New("disk on fire")
	if status, answer, after := d.post(t, asProtobuf, body); status != http.StatusServiceUnavailable || after == "" || !strings.Contains(answer, "disk on fire") {
		t.Errorf("%d %q, Retry-After %q", status, answer, after)
	}
	k.answer = &forward.PartialError{Items: 1, Reason: forward.ReasonUnstorable, Err: errors.New("no place")}
	if status, answer, _ := d.post(t, asProtobuf, body); status != http.StatusNoContent {
		t.Errorf("taken but for one: %d %q", status, answer)
	}
}

// A label is on every record, so that a few bytes could become gigabytes; they do not.
func TestLabelsDoNotMultiply(t *testing.T) {
	labels := "{"
	for name := range subjects {
		if !strings.Contains(name, ".") {
			labels += fmt.Sprintf("%s=%q,", name, strings.Repeat("x", maxLabelBytes/40))
		}
	}
	body := empties(maxEntries - 1)
	entries := body[len(body)-2*(maxEntries-1):]
	stream := append(append([]byte{streamLabels<<3 | 2}, varint(len(labels)+1)...), labels+"}"...)
	stream = append(stream, entries...)
	out := converted(t, (*converter).protobuf, append(append([]byte{requestStreams<<3 | 2}, varint(len(stream))...), stream...))
	if out.items != maxEntries-1 || len(out.body) > 10<<20 {
		t.Errorf("%d records, %d bytes", out.items, len(out.body))
	}
}

// Neither a body nor what it becomes is taken when there is no memory for it.
func TestWithoutMemoryClientsAreToldToWait(t *testing.T) {
	k := &keeper{}
	d := serve(t, otlp.ListenerConfig{}, k, 1)
	for name, body := range map[string][]byte{"large": []byte(strings.Repeat(" ", 2<<20)), "large as OTLP": packed(t, push.Stream{}, numbered(`{a="b"}`, 25000))} {
		kind := asJSON
		if name != "large" {
			kind = asProtobuf
		}
		status, answer, after := d.post(t, kind, body)
		if status != http.StatusTooManyRequests || after != "1" || !strings.Contains(answer, "memory limit") {
			t.Errorf("%s: %d %q, Retry-After %q", name, status, answer, after)
		}
	}
	if got := k.taken(); len(got) != 0 {
		t.Errorf("%d batches were taken", len(got))
	}
}

func TestTokensAreAskedFor(t *testing.T) {
	d := serve(t, otlp.ListenerConfig{Auth: otlp.Auth{Tokens: []string{"one", "two"}}}, &keeper{}, 100)
	body := packed(t, numbered(`{a="b"}`, 1))
	for header, want := range map[string]int{"Bearer two": 204, "one": 204, "Bearer three": 401, "": 401} {
		if status, answer, _ := d.post(t, asProtobuf, body, "Authorization", header); status != want {
			t.Errorf("%q: %d %s, want %d", header, status, answer, want)
		}
	}
}

func TestALargeRequestBecomesSeveralRecordsOfTheLog(t *testing.T) {
	k := &keeper{}
	d := serve(t, otlp.ListenerConfig{}, k, 100)
	var streams []push.Stream
	for i := range 10 {
		streams = append(streams, numbered(fmt.Sprintf(`{app="web", shard="%d"}`, i), 5000))
	}
	if status, answer, _ := d.post(t, asProtobuf, packed(t, streams...)); status != http.StatusNoContent {
		t.Fatal(status, answer)
	}
	b := k.taken()[0]
	if b.Items != 50000 || len(b.Parts) < 2 {
		t.Fatalf("%d items in %d parts of %d bytes", b.Items, len(b.Parts), len(b.Body))
	}
	from, items := 0, 0
	for _, p := range b.Parts {
		if p.End-from > otlp.MaxRecord {
			t.Errorf("a part of %d bytes", p.End-from)
		}
		for _, rl := range decode(t, b.Body[from:p.End], p.Items).ResourceLogs {
			if got := shown(rl.Resource.Attributes); !strings.HasPrefix(got, "app=web shard=") {
				t.Errorf("resource %s", got)
			}
		}
		from, items = p.End, items+p.Items
	}
	if items != b.Items {
		t.Errorf("%d items in the parts", items)
	}
}

// In front of a real log, what was answered 204 is what the node holds, and nothing else.
func TestWhatIsAcknowledgedIsWhatTheNodeHolds(t *testing.T) {
	wal := agent.DefaultWALConfig()
	wal.Dir, wal.MinFreeMiB = t.TempDir(), 1
	l := forward.NewLimiter(100<<20, 80<<20, forward.Hard, time.Second, quiet)
	a, err := agent.Open(agent.Config{WAL: wal, Batch: forward.DefaultBatchConfig(), Retry: forward.DefaultRetryConfig(), Parallel: 1, ShutdownTimeout: time.Second}, l, nil, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	d := serve(t, otlp.ListenerConfig{MaxRecvMsgSizeMiB: 1}, a.Entrance(), 100)
	var clients sync.WaitGroup
	var acknowledged [4]int
	for client := range acknowledged {
		clients.Go(func() {
			for i := range 20 {
				count := i * (client + 1)
				body := packed(t, numbered(fmt.Sprintf(`{client="%d"}`, client), count), push.Stream{Labels: "{}"})
				switch i % 4 {
				case 2: // whole but for a label at the end
					body = packed(t, numbered(`{a="b"}`, count), push.Stream{Labels: "{"})
				case 3: // whole but for its last byte
					body = body[:len(body)-1]
				}
				if status, _, _ := d.post(t, asProtobuf, body); status == http.StatusNoContent {
					acknowledged[client] += count
				} else if i%4 < 2 {
					t.Errorf("client %d, request %d: %d", client, i, status)
				}
			}
		})
	}
	clients.Wait()
	want := acknowledged[0] + acknowledged[1] + acknowledged[2] + acknowledged[3]
	if _, held, _, _ := a.Totals(); want == 0 || held != uint64(want) {
		t.Errorf("acknowledged %d, held %d", want, held)
	}
}
