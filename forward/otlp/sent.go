package otlp

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/stats"
)

// A call fails in the same words whether its connection broke under it or there never was one.
// Only a call of which something went out may have arrived, and gRPC tells its statistics when
// that is: headers go first.

type sentKey struct{}

// watchSent returns a context for one call, and what says whether anything of it was sent.
func watchSent(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	return context.WithValue(ctx, sentKey{}, sent), sent
}

type sentHandler struct{}

func (sentHandler) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (sentHandler) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutHeader); ok {
		if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
			sent.Store(true)
		}
	}
}

func (sentHandler) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (sentHandler) HandleConn(context.Context, stats.ConnStats)                       {}
