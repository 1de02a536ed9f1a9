package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
)

// taker takes batches while it is open.
type taker struct {
	t    *testing.T
	mu   sync.Mutex
	shut bool
	said chan struct{} // a batch was refused
	got  []string
}

func (s *taker) Put(ctx context.Context, b forward.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.shut {
		select {
		case s.said <- struct{}{}:
		default:
		}
		return &forward.BusyError{Err: errors.New("full")}
	}
	for _, r := range records(s.t, b.Body) {
		s.got = append(s.got, r.Body.GetStringValue())
	}
	return nil
}

func (s *taker) set(shut bool) { s.mu.Lock(); s.shut = shut; s.mu.Unlock() }

func readStdin(t *testing.T, ctx context.Context, next forward.Sink, log *said) (w *os.File, ended chan error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ended = make(chan error, 1)
	s := NewStdin(r, tail.DefaultConfig(), lines.Options{}, nil, time.Second, slog.New(slog.NewTextHandler(log, nil)))
	go func() { ended <- s.Run(ctx, next); r.Close() }()
	t.Cleanup(func() { w.Close() })
	return w, ended
}

func numbered(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint("line ", i))
	}
	return all
}

func TestAFullLogHoldsUpWhoWritesToStdin(t *testing.T) {
	next, log := &taker{t: t, shut: true, said: make(chan struct{}, 1)}, new(said)
	w, ended := readStdin(t, t.Context(), next, log)
	all := numbered(0, 200_000)
	written := make(chan error, 1)
	go func() {
		_, err := w.WriteString(strings.Join(all, "\n"))
		written <- errors.Join(err, w.Close())
	}()
	<-next.said
	select {
	case <-written:
		t.Error("a full log did not hold up the program")
	case <-ended:
		t.Error("it gave up")
	case <-next.said: // tried again
	}
	next.set(false)
	if err := errors.Join(<-written, <-ended); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, next.got); diff != "" {
		t.Errorf("lines (-want +got):\n%.1000s", diff)
	}
	if log.count("reading pauses") != 1 || log.count("reading goes on") != 1 {
		t.Errorf("said %s", log.buf.String())
	}
}

// What is in the pipe when the stop comes is read, what a program that goes on writes is not.
func TestAStopReadsWhatIsInThePipe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	next, log := &taker{t: t, shut: true, said: make(chan struct{}, 1)}, new(said)
	w, ended := readStdin(t, ctx, next, log)
	w.WriteString("line 0\n")
	<-next.said // its reader waits for the log
	all := numbered(0, 1000)
	w.WriteString(strings.Join(all[1:], "\n") + "\nhalf")
	stop()
	next.set(false)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(all, "half"), next.got); diff != "" {
		t.Errorf("lines (-want +got):\n%.1000s", diff)
	}
	if _, err := w.WriteString("late\n"); !errors.Is(err, syscall.EPIPE) && err != nil {
		t.Error(err)
	}
}

func TestALogThatStaysFullIsGivenUpAtAStopAndSaid(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	next, log := &taker{t: t, shut: true, said: make(chan struct{}, 1)}, new(said)
	w, ended := readStdin(t, ctx, next, log)
	w.WriteString("line 0\n")
	<-next.said
	stop()
	if err := <-ended; err != nil || log.count("lines of stdin are lost") != 1 {
		t.Errorf("ended with %v and said %s", err, log.buf.String())
	}
}
