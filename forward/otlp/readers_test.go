package otlp

import (
	"bytes"
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/spillway-io/spillway/forward"
)

func TestAsManyAreReadAtATimeAsFit(t *testing.T) {
	for _, c := range []struct{ hardMiB, sizeMiB, want int }{{48, 16, 1}, {8, 16, 1}, {96, 16, 3}, {1536, 16, 48}, {64 << 10, 16, maxReaders}} {
		l := forward.NewLimiter(int64(c.hardMiB)<<20, 1, forward.Hard, time.Second, quiet)
		if got := cap(newReaders(l, c.sizeMiB<<20).slots); got != c.want {
			t.Errorf("%d MiB and messages of %d: %d, want %d", c.hardMiB, c.sizeMiB, got, c.want)
		}
	}
}

// dribble is a client that begins a message of 1 MiB and never ends it. It returns when that is being read.
func dribble(t *testing.T, server *Server) {
	t.Helper()
	conn, err := net.Dial("tcp", server.ports.GRPC.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/" + services[forward.Logs] + "/Export"}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	framer := http2.NewFramer(conn, conn)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(framer.WriteSettings(),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true}),
		framer.WriteData(1, false, []byte{0, 0, 0x10, 0, 0, 'x'})); err != nil {
		t.Fatal(err)
	}
	for len(server.readers.slots) == 0 {
		runtime.Gosched()
	}
}

func TestWhoNeverEndsAMessageDoesNotKeepOthersOut(t *testing.T) {
	k := &keeper{}
	server, lis := serveServer(t, ServerConfig{}, k, 8) // room for one
	server.readers.slow = 10 * time.Millisecond
	dribble(t, server)
	if err := export(t.Context(), dial(t, lis), forward.Logs, sample(forward.Logs, 3)); err != nil || k.last(t).Items != 3 {
		t.Errorf("somebody else: %v", err)
	}
	if taken, _, _, _ := server.limiter.Usage(); taken != 0 {
		t.Errorf("%d bytes are counted still", taken)
	}
}

func TestWhoCannotBeReadIsToldToComeBack(t *testing.T) {
	server, lis := serveServer(t, ServerConfig{}, &keeper{}, 8)
	server.readers.wait = 10 * time.Millisecond
	dribble(t, server)
	err := export(t.Context(), dial(t, lis), forward.Logs, sample(forward.Logs, 3))
	if st := status.Convert(err); st.Code() != codes.ResourceExhausted || len(st.Details()) != 2 {
		t.Errorf("%v %v", err, st.Details())
	}
}

type nowhere struct{}

func (nowhere) Put(context.Context, forward.Batch) error { return nil }

// BenchmarkExport is a request of 100 records over loopback and back, by eight clients of one connection.
func BenchmarkExport(b *testing.B) {
	l := forward.NewLimiter(1<<30, 1<<30, forward.Hard, time.Second, quiet)
	server := NewServer(ServerConfig{GRPC: ListenerConfig{Endpoint: "127.0.0.1:0"}}, nowhere{}, l, forward.NewCounters(nil, "test"), quiet)
	lis, err := server.Listen()
	if err != nil {
		b.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { lis.Serve(b.Context(), time.Second) })
	b.Cleanup(running.Wait)
	conn, err := grpc.NewClient(lis.GRPC.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	body := sample(forward.Logs, 100)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := export(b.Context(), conn, forward.Logs, body); err != nil {
				b.Error(err)
			}
		}
	})
}
