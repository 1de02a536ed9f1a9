package clickhouse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/pierrec/lz4/v4"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/spillway-io/spillway/schema"
)

// The other end of each test is a decoder that shares no code with ours.
func checkLZ4(t interface {
	Helper()
	Fatalf(string, ...any)
}, src []byte) {
	t.Helper()
	block := appendLZ4(make([]byte, 0, lz4Bound(len(src))), src, new(lz4Table))
	if len(block) > lz4Bound(len(src)) {
		t.Fatalf("%d bytes take %d, more than %d", len(src), len(block), lz4Bound(len(src)))
	}
	back := make([]byte, len(src)+1)
	n, err := lz4.UncompressBlock(block, back)
	if err != nil || !bytes.Equal(back[:n], src) {
		t.Fatalf("%d bytes come back as %d: %v", len(src), n, err)
	}
}

func TestLZ4ComesBack(t *testing.T) {
	for n := range 64 {
		checkLZ4(t, bytes.Repeat([]byte{'x'}, n))
		checkLZ4(t, []byte("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_")[:n])
	}
	for _, n := range []int{lz4MaxOffset - 1, lz4MaxOffset, lz4MaxOffset + 1, 1 << 20} {
		noise := make([]byte, n)
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		checkLZ4(t, noise)
		checkLZ4(t, append(bytes.Clone(noise), noise[:min(n, 4096)]...)) // a match at that distance
	}
	rapid.Check(t, func(t *rapid.T) {
		var src []byte
		for range rapid.IntRange(0, 40).Draw(t, "pieces") {
			if len(src) > 0 && rapid.Bool().Draw(t, "again") {
				from := rapid.IntRange(0, len(src)-1).Draw(t, "from")
				src = append(src, src[from:from+rapid.IntRange(0, len(src)-from).Draw(t, "n")]...)
			} else {
				src = append(src, rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "new")...)
			}
		}
		checkLZ4(t, src)
	})
}

func FuzzLZ4(f *testing.F) {
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"))
	f.Fuzz(func(t *testing.T, src []byte) { checkLZ4(t, src) })
}

// What is sent is what ClickHouse's own client library would read.
func TestFramesComeBack(t *testing.T) {
	block := bytes.Repeat([]byte("a column of a block, and another "), 100_000)
	for _, method := range []compress.Method{compress.LZ4, compress.ZSTD} {
		f := newFrames(block, method)
		got, err := io.ReadAll(compress.NewReader(f))
		if err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(got, block) {
			t.Errorf("%v: %d bytes come back as %d: %v", method, len(block), len(got), err)
		}
		f.free()
		if _, err := f.Read(make([]byte, 1)); err != io.ErrClosedPipe {
			t.Errorf("%v: after free: %v", method, err)
		}
	}
}

// benchBlock is a block of 10 000 log records.
func benchBlock(b *testing.B) []byte {
	b.Helper()
	at := time.Now()
	scope := &logs.ScopeLogs{}
	for i := range 10_000 {
		r := &logs.LogRecord{TimeUnixNano: uint64(at.UnixNano()) + uint64(i), SeverityText: "INFO", SeverityNumber: 9,
			TraceId: fmt.Appendf(nil, "%016d", rand.Uint64N(1e16)), SpanId: fmt.Appendf(nil, "%08d", rand.Uint64N(1e8)),
			Body: str(fmt.Sprintf("request completed: cart %d has %d items, total %d.%02d EUR", i, i%9, i%400, i%100))}
		for k, v := range map[string]string{"http.request.method": "GET", "http.route": "/cart/{id}", "user.id": fmt.Sprint(i * 7919 % 100000), "cache.hit": "true"} {
			r.Attributes = append(r.Attributes, &common.KeyValue{Key: k, Value: str(v)})
		}
		scope.LogRecords = append(scope.LogRecords, r)
	}
	from := &resource.Resource{}
	for k, v := range map[string]string{"service.name": "checkout", "k8s.namespace.name": "shop", "k8s.pod.name": "checkout-7c9f6d5b8-x2x7k", "k8s.node.name": "node-17"} {
		from.Attributes = append(from.Attributes, &common.KeyValue{Key: k, Value: str(v)})
	}
	body, err := proto.Marshal(&logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{Resource: from, ScopeLogs: []*logs.ScopeLogs{scope}}}})
	if err != nil {
		b.Fatal(err)
	}
	set := schema.NewSet()
	if _, err := set.AppendLogs(body, schema.Origin{Accepted: at.UnixNano()}); err != nil {
		b.Fatal(err)
	}
	var buf chproto.Buffer
	for rows := range set.Buckets() {
		if err := schema.Encode(&buf, uint32(at.Unix()+60), rows); err != nil {
			b.Fatal(err)
		}
	}
	return buf.Buf
}

func str(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func BenchmarkLZ4(b *testing.B) {
	block := benchBlock(b)
	for _, c := range []struct {
		name  string
		frame func([]byte) int
	}{
		{"ours", func() func([]byte) int {
			z := new(lz4Framer)
			return func(p []byte) int { f, _ := z.Frame(p); return len(f) }
		}()},
		{"pierrec", func() func([]byte) int {
			w := compress.NewWriter(compress.LevelZero, compress.LZ4)
			return func(p []byte) int { _ = w.Compress(p); return len(w.Data) }
		}()},
	} {
		b.Run(c.name, func(b *testing.B) {
			size := 0
			b.SetBytes(int64(len(block)))
			b.ReportAllocs()
			for b.Loop() {
				size = 0
				for rest := block; len(rest) > 0; rest = rest[min(frameBytes, len(rest)):] {
					size += c.frame(rest[:min(frameBytes, len(rest))])
				}
			}
			b.ReportMetric(float64(len(block))/float64(size), "ratio")
		})
	}
}
