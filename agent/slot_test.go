package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/spillway-io/spillway/forward"
)

// acting is a source that counts those that run, itself among them.
type acting struct {
	running *atomic.Int32
	most    *atomic.Int32
	err     error // to end with
}

func (a acting) Run(ctx context.Context, _ forward.Sink) error {
	a.most.Store(max(a.most.Load(), a.running.Add(1)))
	defer a.running.Add(-1)
	if a.err != nil {
		return a.err
	}
	<-ctx.Done()
	return nil
}

func TestASlotRunsOneSourceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		slot := NewSlot(acting{&running, &most, nil})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- slot.Run(ctx, nil) }()
		for _, next := range []Source{acting{&running, &most, nil}, nil, Together{acting{&running, &most, nil}}} {
			synctest.Wait()
			err := slot.Exchange(ctx, func() (Source, error) {
				if n := running.Load(); n != 0 {
					t.Errorf("%d sources run while the next one is made", n)
				}
				return next, nil
			})
			if err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if got, want := running.Load() == 1, next != nil; got != want {
				t.Errorf("running: %v, want %v", got, want)
			}
		}
		broken := errors.New("broken")
		if err := slot.Exchange(ctx, func() (Source, error) { return nil, broken }); !errors.Is(err, broken) {
			t.Errorf("a source that cannot be made: %v", err)
		}
		synctest.Wait()
		if n := running.Load(); n != 0 {
			t.Errorf("%d sources run after that", n)
		}
		if n := most.Load(); n != 1 {
			t.Errorf("%d sources ran at a time", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := slot.Exchange(t.Context(), nil); !errors.Is(err, ErrEnded) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestASlotEndsWithItsSource(t *testing.T) {
	var running, most atomic.Int32
	broken := errors.New("broken")
	slot := NewSlot(acting{&running, &most, broken})
	if err := slot.Run(t.Context(), nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestAnExchangeThatNobodyWaitsForEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewSlot(nil).Exchange(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
