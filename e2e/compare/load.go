package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// rawCodec sends bytes that are protobuf already, and does not look at the answer.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

// A load sends requests in a closed loop: each caller waits for the answer before it sends the next.
type load struct {
	signal  signal
	count   int                // requests
	request func(n int) []byte // called by several goroutines
	conns   int
	callers int // on each connection
}

func (l load) rows() int { return l.count * l.signal.perRequest }

// send returns when all requests were answered OK. One that the server has no room for is sent
// again; any other error ends it.
func (l load) send(ctx context.Context, addr string) error {
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range l.conns {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
		if err != nil {
			return err
		}
		defer conn.Close()
		for range l.callers {
			g.Go(func() error {
				for {
					n := int(next.Add(1)) - 1
					if n >= l.count {
						return nil
					}
					if ctx.Err() != nil {
						return context.Cause(ctx)
					}
					if err := l.one(ctx, conn, l.request(n)); err != nil {
						return fmt.Errorf("request %d: %w", n, err)
					}
				}
			})
		}
	}
	return g.Wait()
}

// refusedWait is how long a caller waits that was told to come again.
const refusedWait = 20 * time.Millisecond

func (l load) one(ctx context.Context, conn *grpc.ClientConn, request []byte) error {
	for {
		err := conn.Invoke(ctx, l.signal.method, request, nil)
		if code := status.Code(err); code != codes.Unavailable && code != codes.ResourceExhausted {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(refusedWait):
		}
	}
}
