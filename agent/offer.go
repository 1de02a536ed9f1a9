package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/spillway-io/spillway/forward"
)

// offer puts b until the log has it, or ctx is done. A source that can wait has no reason to give up.
func offer(ctx context.Context, next forward.Sink, b forward.Batch, source string, log *slog.Logger) error {
	back := forward.NewBackoff(forward.RetryConfig{InitialInterval: 100 * time.Millisecond, MaxInterval: 5 * time.Second})
	var waiting time.Time
	for {
		err := next.Put(ctx, b)
		if err == nil {
			if !waiting.IsZero() {
				log.Info("reading goes on", "source", source, "after", time.Since(waiting).Round(time.Millisecond))
			}
			return nil
		}
		if waiting.IsZero() {
			waiting = time.Now()
			log.Warn("reading pauses, what is not read yet stays where it is", "source", source, "err", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(back.After(err)):
		}
	}
}
