package otlp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/spillway-io/spillway/forward"
)

// A peer is a gRPC server that keeps what it gets. It announces a version of markers, or none,
// and says what time it is, or not.
type peer struct {
	addr    string
	version string // "" is a collector that is not ours
	clock   time.Time

	mu      sync.Mutex
	got     [][]byte
	answers func(n int, body []byte) error // n counts from 0; nil: OK
}

func startPeer(t *testing.T, p *peer) *peer {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = lis.Addr().String()
	srv := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		var in raw
		if err := stream.RecvMsg(&in); err != nil {
			return err
		}
		defer in.free()
		body := bytes.Clone(in.in.Materialize())
		if p.version != "" {
			stream.SetHeader(metadata.Pairs(identityHeader, p.version))
		}
		if !p.clock.IsZero() {
			stream.SetTrailer(metadata.Pairs(clockHeader, strconv.FormatInt(p.clock.UnixNano(), 10)))
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		n := len(p.got)
		p.got = append(p.got, body)
		if p.answers != nil {
			if err := p.answers(n, body); err != nil {
				return err
			}
		}
		return stream.SendMsg(&raw{})
	}))
	go srv.Serve(lis)
	t.Cleanup(srv.Stop)
	return p
}

func (p *peer) bodies() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got[:len(p.got):len(p.got)]
}

func newTestClient(t *testing.T, identity string, endpoints ...string) *Client {
	t.Helper()
	c, err := NewClient(ClientConfig{Endpoints: endpoints, Compression: "none", Timeout: 10 * time.Second, Identity: identity}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// marked is one record with fences.
func marked(until uint32) forward.Batch {
	m := forward.Marker{Stream: [16]byte{1}, Seq: 5, Length: 2, Items: 1, Until: until}
	return forward.Batch{Signal: forward.Logs, Items: 1, Body: append(m.Append(nil), 0x0a, 0x00)}
}

// put sends b, when there is a connection.
func (c *Client) mustPut(t *testing.T, b forward.Batch) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		woken := c.Woken()
		err := c.Put(t.Context(), b)
		if err == nil {
			return
		}
		if !errors.Is(err, forward.ErrNotSent) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		select {
		case <-woken:
		case <-time.After(time.Second):
		}
	}
}

// Markers go to who reads them: a peer that is not ours, or of a release that knew none, gets the
// records alone. One of a later release reads ours.
func TestMarkersGoToWhoReadsThem(t *testing.T) {
	for _, c := range []struct {
		identity, version string
		markers           bool
	}{
		{"auto", "", false},
		{"auto", "0", false},
		{"auto", strconv.Itoa(forward.MarkerVersion), true},
		{"auto", strconv.Itoa(forward.MarkerVersion + 1), true},
		{"auto", "no number", false},
		{"on", "", true},
		{"off", "1", false},
	} {
		p := startPeer(t, &peer{version: c.version})
		newTestClient(t, c.identity, p.addr).mustPut(t, marked(77))
		got := p.bodies()
		if has := forward.HasMarker(got[len(got)-1]); has != c.markers {
			t.Errorf("identity: %s, peer announces %q: markers %t", c.identity, c.version, has)
		}
		if asked := len(got) > 1 && len(got[0]) == 0; asked != (c.identity == "auto") {
			t.Errorf("identity: %s: %d requests", c.identity, len(got))
		}
	}
}

// What was not sent is said to be, and only that.
func TestWhatWasNotSent(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := lis.Addr().String()
	lis.Close()
	if err := newTestClient(t, "on", nobody).Put(t.Context(), marked(77)); !forward.NotTaken(err) {
		t.Errorf("nobody listens: %v", err)
	}

	// A peer that dies with the request in its hands.
	var p *peer
	taken := make(chan struct{})
	p = startPeer(t, &peer{answers: func(int, []byte) error {
		close(taken)
		select {} // and never answers
	}})
	c := newTestClient(t, "on", p.addr)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-taken; cancel() }()
	for {
		woken := c.Woken()
		err := c.Put(ctx, marked(77))
		if errors.Is(err, forward.ErrNotSent) && ctx.Err() == nil {
			<-woken
			continue
		}
		if err == nil || forward.NotTaken(err) {
			t.Errorf("a peer that has it: %v", err)
		}
		break
	}
}

// A peer that failed gets an empty request before it gets a batch again.
func TestAPeerThatFailedIsAskedFirst(t *testing.T) {
	p := startPeer(t, &peer{version: "1", answers: func(n int, _ []byte) error {
		if n == 1 || n == 2 {
			return status.Error(codes.Unavailable, "not now")
		}
		return nil
	}})
	c := newTestClient(t, "auto", p.addr)
	for i := range 3 {
		var err error
		for {
			woken := c.Woken()
			if err = c.Put(t.Context(), marked(77)); len(p.bodies()) > 0 {
				break
			}
			<-woken // there was no connection yet
		}
		switch {
		case i == 0 && (err == nil || forward.NotTaken(err)):
			t.Errorf("a batch that failed: %v", err)
		case i == 1 && !forward.NotTaken(err):
			t.Errorf("the question failed: %v", err)
		case i == 2 && err != nil:
			t.Error(err)
		}
	}
	// One that refuses the question has refused no batch.
	odd := startPeer(t, &peer{answers: func(int, []byte) error { return status.Error(codes.InvalidArgument, "empty") }})
	c = newTestClient(t, "auto", odd.addr)
	for len(odd.bodies()) == 0 {
		woken := c.Woken()
		if err := c.Put(t.Context(), marked(77)); forward.Refused(err) != nil || !forward.NotTaken(err) {
			t.Errorf("a peer that refuses the question: %v", err)
		}
		if len(odd.bodies()) == 0 {
			<-woken
		}
	}
	var kinds []bool
	for _, body := range p.bodies() {
		kinds = append(kinds, len(body) > 0)
	}
	if want := []bool{false, true, false, false, true}; len(kinds) != len(want) || kinds[1] != want[1] || kinds[2] || kinds[3] || !kinds[4] {
		t.Errorf("batches %v, want %v", kinds, want)
	}
}

// A batch goes out with fences, or says that it needs them.
func TestABatchWithoutFencesIsNotSent(t *testing.T) {
	there := time.Now().Add(time.Hour)
	p := startPeer(t, &peer{version: "1", clock: there})
	c := newTestClient(t, "auto", p.addr)
	for {
		woken := c.Woken()
		err := c.Put(t.Context(), marked(0))
		if errors.Is(err, forward.ErrUnfenced) {
			break
		}
		if !errors.Is(err, forward.ErrNotSent) {
			t.Fatal(err)
		}
		<-woken
	}
	now, known := c.Clock().Now()
	if off := now.Sub(there); !known || off < 0 || off > time.Minute {
		t.Errorf("it is %s there, and the clock says %s", there, now)
	}
	c.mustPut(t, marked(forward.Fence(now.Add(forward.AttemptTime))))
	if n := len(p.bodies()); n != 2 {
		t.Errorf("%d requests, want the question and the batch", n)
	}
}
