package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A capped handler bounds our own log volume: each message, by its text, may come a number of
// times a minute; then it is counted, and the count is told when the minute is over. A fault
// that repeats itself cannot fill a disk that way.
type capped struct {
	next  slog.Handler
	state *cappedState
}

const (
	linesPerMinute = 20
	// maxMessages bounds what is remembered; message texts are constants, so it is never reached.
	maxMessages = 1024
)

type cappedState struct {
	mu      sync.Mutex
	minute  time.Time
	counts  map[string]int
	dropped int
}

func newCapped(next slog.Handler) *capped {
	return &capped{next: next, state: &cappedState{counts: make(map[string]int)}}
}

func (c *capped) Enabled(ctx context.Context, l slog.Level) bool { return c.next.Enabled(ctx, l) }

func (c *capped) Handle(ctx context.Context, r slog.Record) error {
	s := c.state
	s.mu.Lock()
	dropped := 0
	if r.Time.Sub(s.minute) >= time.Minute {
		s.minute, dropped = r.Time, s.dropped
		s.dropped = 0
		clear(s.counts)
	}
	keep := s.counts[r.Message] < linesPerMinute && len(s.counts) < maxMessages
	if keep {
		s.counts[r.Message]++
	} else {
		s.dropped++
	}
	s.mu.Unlock()
	if dropped > 0 {
		note := slog.NewRecord(r.Time, slog.LevelWarn, "log lines left out in the minute before", 0)
		note.AddAttrs(slog.Int("lines", dropped))
		if err := c.next.Handle(ctx, note); err != nil {
			return err
		}
	}
	if !keep {
		return nil
	}
	return c.next.Handle(ctx, r)
}

func (c *capped) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &capped{next: c.next.WithAttrs(attrs), state: c.state}
}

func (c *capped) WithGroup(name string) slog.Handler {
	return &capped{next: c.next.WithGroup(name), state: c.state}
}
