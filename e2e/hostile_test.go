package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// hostileFor is how long the abuse lasts. SPILLWAY_LONG=1 makes it the full minute.
func hostileFor() time.Duration {
	if os.Getenv("SPILLWAY_LONG") != "" {
		return time.Minute
	}
	return 20 * time.Second
}

// bytesCodec sends bytes as they are, which no generated client would.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (bytesCodec) Unmarshal(b []byte, v any) error { *v.(*[]byte) = bytes.Clone(b); return nil }
func (bytesCodec) Name() string                    { return "proto" }

// bombCompressor claims to be gzip, and sends what it is told to.
type bombCompressor struct{ wire []byte }

func (c bombCompressor) Name() string { return "gzip" }
func (c bombCompressor) Compress(w io.Writer) (io.WriteCloser, error) {
	return bombWriter{w, c.wire}, nil
}
func (c bombCompressor) Decompress(r io.Reader) (io.Reader, error) { return r, nil }

type bombWriter struct {
	w    io.Writer
	wire []byte
}

func (b bombWriter) Write(p []byte) (int, error) { return len(p), nil }
func (b bombWriter) Close() error                { _, err := b.w.Write(b.wire); return err }

func zeros(t *testing.T, kind string, size int) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&buf)
	if kind == "zstd" {
		w, _ = zstd.NewWriter(&buf)
	}
	block := make([]byte, 1<<20)
	for range size >> 20 {
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	return buf.Bytes()
}

// Everything bad at once: each gets the right status, memory stays where it was, and a good
// client beside it notices nothing.
func TestHostileInputHarmsNobody(t *testing.T) {
	engine := enginetest.Start(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	a := startAgent(t, c.grpc, "")
	good, err := proto.Marshal(numbered("hostile", span{0, 50}))
	if err != nil {
		t.Fatal(err)
	}
	gzipBomb, zstdBomb := zeros(t, "gzip", 256<<20), zeros(t, "zstd", 256<<20)
	honest := encoding.GetCompressor("gzip")
	encoding.RegisterCompressor(bombCompressor{gzipBomb})
	t.Cleanup(func() { encoding.RegisterCompressor(honest) }) // the registry is one for the process

	l := newLoad(t, a.grpc, "good", 50)
	ctx, stop := context.WithCancel(t.Context()) // not a deadline: it would travel with the calls
	defer stop()
	warm, cool := context.WithTimeout(t.Context(), 2*time.Second)
	defer cool()
	l.run(warm, 2, 10*time.Millisecond) // so that what is measured is the abuse, not the warming up
	before := a.rss()

	var all sync.WaitGroup
	var attacks atomic.Int64
	attack := func(f func(r *rand.Rand)) {
		seed := rand.Uint64()
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, 0))
			for ctx.Err() == nil {
				f(r)
				attacks.Add(1)
			}
		})
	}
	conn, err := grpc.NewClient(a.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const method = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
	overGRPC := func(want codes.Code, body []byte, opts ...grpc.CallOption) {
		var out []byte
		err := conn.Invoke(ctx, method, &body, &out, append(opts, grpc.ForceCodec(bytesCodec{}))...)
		if ctx.Err() == nil && status.Code(err) != want {
			t.Errorf("gRPC answered %v, want %s", err, want)
		}
	}
	overHTTP := func(want int, kind, enc string, body []byte) {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.http+"/v1/logs", bytes.NewReader(body))
		req.Header.Set("Content-Type", kind)
		if enc != "" {
			req.Header.Set("Content-Encoding", enc)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return // the server may hang up on a body that it refuses
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		if ctx.Err() == nil && resp.StatusCode != want {
			t.Errorf("HTTP answered %s to %s %s, want %d", resp.Status, kind, enc, want)
		}
	}
	const protobuf = "application/x-protobuf"
	attack(func(r *rand.Rand) { overGRPC(codes.InvalidArgument, good[:1+r.IntN(len(good)-1)]) })
	attack(func(r *rand.Rand) { overHTTP(400, protobuf, "", good[:1+r.IntN(len(good)-1)]) })
	attack(func(r *rand.Rand) {
		junk := make([]byte, 1+r.IntN(64<<10))
		for i := range junk {
			junk[i] = byte(r.Uint32())
		}
		junk[0] = 0x0b // a group, which nothing of OTLP is
		overGRPC(codes.InvalidArgument, junk)
		overHTTP(400, protobuf, "", junk)
		overHTTP(400, "application/json", "", junk)
		overHTTP(415, "text/html", "", junk)
	})
	attack(func(*rand.Rand) { overGRPC(codes.ResourceExhausted, good, grpc.UseCompressor("gzip")) })
	attack(func(*rand.Rand) { overHTTP(413, protobuf, "gzip", gzipBomb) })
	attack(func(*rand.Rand) { overHTTP(413, protobuf, "zstd", zstdBomb) })
	attack(func(*rand.Rand) { overHTTP(413, protobuf, "", make([]byte, 17<<20)) })
	attack(func(*rand.Rand) { overGRPC(codes.ResourceExhausted, make([]byte, 17<<20)) })
	for _, addr := range []string{a.grpc, a.http} {
		var held []net.Conn
		attack(func(r *rand.Rand) { // connects, says half a sentence, and keeps the line
			half, err := net.DialTimeout("tcp", addr, time.Second)
			if err == nil {
				half.Write([]byte("POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nContent-Type: application/x-protobuf\r\n\r\nPRI"))
				held = append(held, half)
			}
			if len(held) > 100 {
				held[0].Close()
				held = held[1:]
			}
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		})
	}
	all.Go(func() { l.run(ctx, 2, 10*time.Millisecond) })

	time.AfterFunc(hostileFor(), stop)
	peak := before
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		<-tick.C
		peak = max(peak, a.rss())
	}
	all.Wait()
	t.Logf("%d attacks in %s; RSS %d MiB before, %d MiB at most; the good client had %d records acknowledged", attacks.Load(), hostileFor(), before, peak, l.ackedCount())
	if peak-before >= 64 {
		t.Errorf("RSS grew by %d MiB", peak-before)
	}
	if l.lastE != nil && status.Code(l.lastE) != codes.Canceled {
		t.Errorf("the good client was told %v", l.lastE)
	}
	a.drained()
	conn2 := connect(t, engine.DSN())
	if lost, _ := l.verify(conn2); lost > 0 {
		t.Errorf("the good client lost %d records", lost)
	}
	if n := one(t, conn2, "SELECT count() FROM otel_logs WHERE LogAttributes['test'] != 'good'"); n != 0 {
		t.Errorf("%d rows came of bad input", n)
	}
}
