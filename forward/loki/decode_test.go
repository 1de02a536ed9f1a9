package loki

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/otlp"
)

// try converts a body, and holds that the limiter gets back what was taken.
func try(t testing.TB, decode func(*converter, []byte) error, body []byte) (output, error) {
	t.Helper()
	l := forward.NewLimiter(1<<40, 1<<39, forward.Hard, time.Second, quiet)
	out, err := NewServer(otlp.ListenerConfig{}, nil, l, nil, quiet).convert(body, decode, "")
	l.Give(out.taken)
	if taken, _, _, _ := l.Usage(); taken != 0 {
		t.Fatalf("%d bytes not given back", taken)
	}
	return out, err
}

func converted(t testing.TB, decode func(*converter, []byte) error, body []byte) output {
	t.Helper()
	out, err := try(t, decode, body)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// records are what a request becomes, one text for each entry.
func records(t testing.TB, out output) (all []string) {
	t.Helper()
	for _, rl := range decode(t, out.body, out.items).ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			for _, r := range sl.LogRecords {
				all = append(all, fmt.Sprintf("%s at %d: %q %s", shown(rl.Resource.Attributes), r.TimeUnixNano, r.Body.GetStringValue(), shown(r.Attributes)))
			}
		}
	}
	return all
}

// expected are the same of a request as Loki's own types have it, as long as lines are plain.
func expected(req *push.PushRequest) (all []string) {
	for _, s := range req.Streams {
		for _, e := range s.Entries {
			at, metadata := e.Timestamp.UnixNano(), ""
			for i, m := range e.StructuredMetadata {
				if i > 0 {
					metadata += " "
				}
				metadata += m.Name + "=" + m.Value
			}
			all = append(all, fmt.Sprintf("x=%s service.name=unknown_service at %d: %q %s", strings.Trim(s.Labels, `{x="}`), at, e.Line, metadata))
		}
	}
	return all
}

// random is a request whose labels are one label x of any value.
func random(r *rand.Rand) *push.PushRequest {
	text := func() string {
		runes := []rune("aé😀 \"\\\n=,}")
		out := make([]rune, 1+r.IntN(12))
		for i := range out {
			out[i] = runes[r.IntN(len(runes))]
		}
		return string(out)
	}
	req := &push.PushRequest{}
	for range r.IntN(4) {
		s := push.Stream{Labels: fmt.Sprintf(`{x="%d"}`, r.IntN(10)), Hash: r.Uint64()}
		for range r.IntN(5) {
			e := push.Entry{Timestamp: time.Unix(1+r.Int64N(1<<33), r.Int64N(1e9)), Line: "- " + text()}
			for i := range r.IntN(3) {
				e.StructuredMetadata = append(e.StructuredMetadata, push.LabelAdapter{Name: fmt.Sprint(i, text()), Value: text()})
			}
			for range r.IntN(2) {
				e.Parsed = append(e.Parsed, push.LabelAdapter{Name: text(), Value: text()})
			}
			s.Entries = append(s.Entries, e)
		}
		req.Streams = append(req.Streams, s)
	}
	return req
}

// What Loki's own types write is read as what it is. A damaged request is refused or read as they
// read it.
func TestProtobufIsReadAsLokisTypesDo(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	damaged := 0
	for i := range 3000 {
		req := random(r)
		body, err := req.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		want := expected(req)
		if got := records(t, converted(t, (*converter).protobuf, body)); !slices.Equal(got, want) {
			t.Fatalf("%d: got\n%q\nwant\n%q", i, got, want)
		}
		if len(body) == 0 {
			continue
		}
		for range 3 {
			bad := bytes.Clone(body)
			switch r.IntN(3) {
			case 0:
				bad = bad[:r.IntN(len(bad))]
			case 1:
				bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
			case 2:
				bad[r.IntN(len(bad))] = byte(r.Uint32())
			}
			compare(t, bad)
			damaged++
		}
	}
	t.Logf("%d damaged requests", damaged)
}

// compare holds that Loki's types read a body that is taken, and that what they read becomes the
// same when they write it again; and that nothing is refused then that a record could hold.
func compare(t *testing.T, body []byte) {
	t.Helper()
	out, err := try(t, (*converter).protobuf, body)
	var theirs push.PushRequest
	if refused := theirs.Unmarshal(body); refused != nil {
		if err == nil {
			t.Fatalf("%x is taken, which Loki's types refuse: %v", body, refused)
		}
		return
	}
	clean, marshalErr := theirs.Marshal()
	if marshalErr != nil {
		return // a time that they read and do not write
	}
	again, errAgain := try(t, (*converter).protobuf, clean)
	switch {
	case errAgain != nil && (err == nil || holdable(&theirs)):
		t.Fatalf("%x is refused, which Loki's types made of %x: %v", clean, body, errAgain)
	case err == nil && !slices.Equal(records(t, out), records(t, again)):
		t.Fatalf("%x becomes\n%q\nand %x, which Loki's types made of it,\n%q", body, records(t, out), clean, records(t, again))
	}
}

// holdable says that there is no reason to refuse a request that Loki's types can read.
func holdable(req *push.PushRequest) bool {
	for _, s := range req.Streams {
		labels := 0
		if err := parseLabels(s.Labels, func(pair) error { labels++; return nil }); err != nil || labels > 1 {
			return false
		}
		for _, e := range s.Entries {
			if at := e.Timestamp; !at.IsZero() && (at.Unix() < 0 || at.Year() > 2261) {
				return false
			}
			for _, m := range e.StructuredMetadata {
				if m.Name == "" {
					return false
				}
			}
		}
	}
	return true
}

// Whatever arrives, what becomes of it is OTLP.
func FuzzProtobuf(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		body, err := random(r).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add(marshal(f, push.Stream{Labels: `{app="web", level="info", a="\xff"}`, Entries: []push.Entry{{Timestamp: base, Line: `{"event": "x", "level": "error"}`}}}))
	f.Fuzz(func(t *testing.T, body []byte) {
		compare(t, body)
	})
}

// A request that is taken is what encoding/json reads, too.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"streams":[{"stream":{"a":"b","level":"info"},"values":[["1","x",{"k":"v"}],["2","{\"event\":\"y\"}"]]}]}`))
	f.Add([]byte(`{"streams":[{"values":[["1","x"]],"stream":null,"other":[{}]},{"values":null}],"more":"\ud800"}`))
	f.Add([]byte(`{"streams":[{"values":[["01","\u0000\ud83d\ude00"]]}]} `))
	f.Fuzz(func(t *testing.T, body []byte) {
		out, err := try(t, (*converter).json, body)
		if err != nil {
			return
		}
		decode(t, out.body, out.items)
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatalf("taken, which encoding/json refuses: %v", err)
		}
		var streams []map[string]json.RawMessage
		if err := json.Unmarshal(members["streams"], &streams); err != nil {
			t.Fatalf("taken, which encoding/json refuses: %v", err)
		}
		entries := 0
		for _, s := range streams {
			var values [][]any
			if err := json.Unmarshal(s["values"], &values); err != nil {
				t.Fatalf("taken, which encoding/json refuses: %v", err)
			}
			entries += len(values)
		}
		// Of members that come twice encoding/json has the last only.
		once := bytes.Count(body, []byte(`"streams"`)) == 1 && bytes.Count(body, []byte(`"values"`)) == len(streams)
		if entries > out.items || once && entries != out.items {
			t.Fatalf("%d entries, %d records", entries, out.items)
		}
	})
}

// BenchmarkConvert reads requests of 1000 entries.
func BenchmarkConvert(b *testing.B) {
	const entries = 1000
	line := `{"user_id": "u-48151623", "path": "/api/v1/orders/8812", "status": 201, "duration_ms": 12.847, "trace_id": "` + trace +
		`", "event": "request finished for a customer whose name is not told", "logger": "ops.orders", "level": "info", "timestamp": "2024-05-06T07:08:09.123456Z"}`
	s := push.Stream{Labels: `{namespace="shop", pod="web-0", container="web", app="web"}`}
	var values [][]any
	for i := range entries {
		at := base.Add(time.Duration(i))
		s.Entries = append(s.Entries, push.Entry{Timestamp: at, Line: line, StructuredMetadata: push.LabelsAdapter{{Name: "trace_id", Value: trace}}})
		values = append(values, []any{fmt.Sprint(at.UnixNano()), line, map[string]string{"trace_id": trace}})
	}
	inJSON, err := json.Marshal(map[string]any{"streams": []any{map[string]any{"stream": map[string]string{"namespace": "shop", "pod": "web-0", "container": "web", "app": "web"}, "values": values}}})
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]struct {
		decode func(*converter, []byte) error
		body   []byte
	}{"Protobuf": {(*converter).protobuf, marshal(b, s)}, "JSON": {(*converter).json, inJSON}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			for b.Loop() {
				converted(b, c.decode, c.body)
			}
			b.ReportMetric(float64(b.N)*entries/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
