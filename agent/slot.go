package agent

import (
	"context"
	"errors"

	"github.com/spillway-io/spillway/forward"
)

// A Slot is a Source that runs another one, which can be exchanged meanwhile. The one that leaves
// has ended before the next one is made: two never read the same files or the same journal.
type Slot struct {
	source  Source // nil: none
	changes chan exchange
	ended   chan struct{} // closed when Run has returned
}

type exchange struct {
	make func() (Source, error)
	done chan error
}

// ErrEnded says that a Slot runs nothing any more.
var ErrEnded = errors.New("the sources have stopped")

// NewSlot runs s first; nil is nothing. Run is called once.
func NewSlot(s Source) *Slot {
	return &Slot{source: s, changes: make(chan exchange), ended: make(chan struct{})}
}

// Run is a Source's. It returns when ctx is done, or the source of the time has ended.
func (s *Slot) Run(ctx context.Context, next forward.Sink) error {
	defer close(s.ended)
	for {
		running, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- run(running, s.source, next) }()
		select {
		case err := <-ended:
			stop()
			return err
		case c := <-s.changes:
			stop()
			if err := <-ended; err != nil {
				c.done <- err
				return err
			}
			var err error
			s.source, err = c.make()
			c.done <- err
		}
	}
}

func run(ctx context.Context, s Source, next forward.Sink) error {
	if s == nil {
		<-ctx.Done()
		return nil
	}
	return s.Run(ctx, next)
}

// Exchange ends the source and runs what next makes, which may be nil, in its place. After an
// error of next, which it returns, the slot runs nothing. It waits for Run, until ctx is done;
// the error is the cause of that, ErrEnded, or that of the source that left.
func (s *Slot) Exchange(ctx context.Context, next func() (Source, error)) error {
	c := exchange{make: next, done: make(chan error, 1)}
	select {
	case s.changes <- c:
		return <-c.done
	case <-s.ended:
		return ErrEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Together is sources that run side by side. The first that fails ends all.
type Together []Source

// Run is a Source's.
func (t Together) Run(ctx context.Context, next forward.Sink) error { return runAll(ctx, t, next) }
