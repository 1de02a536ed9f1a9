package clickhouse

import (
	"context"
	"sync"
	"time"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/schema"
)

// A flight is a merge of what several callers brought for one signal. It takes along all rows
// of its callers, of every table: a caller waits for one flight only.
type flight struct {
	signal  forward.Signal
	born    time.Time
	callers []*caller
	rows    int           // of the fullest bucket, at most
	changed chan struct{} // something that may let it leave has happened
}

// A caller is one Put that waits. It has rows.
type caller struct {
	ctx       context.Context
	deadline  time.Time
	rows      []*schema.Rows // of its set, or copies
	pieces    []*schema.Rows // each a unit of which some rows are stored
	fullest   int            // how many rows the largest of them has
	items     int            // that have a row here
	anonymous bool           // some rows have no identity
	done      chan error

	runs  runs              // the records that have an identity
	again map[name]struct{} // those that may have been stored before
	until uint32            // the earliest fence of all, on the server's clock; 0: none

	left  chan struct{} // closed when it has ended, and how is known
	ended error

	outcome
}

func (f *flight) poke() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// fly has c's rows inserted with those of others. It returns when nothing looks into the
// caller's set any more.
func (w *Writer) fly(ctx context.Context, signal forward.Signal, c *caller) error {
	c.ctx = ctx
	c.deadline = time.Now().Add(defaultDeadline)
	if d, ok := ctx.Deadline(); ok {
		c.deadline = earlier(c.deadline, d)
	}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return &forward.BusyError{NotTaken: true, Err: errClosed}
	}
	f := w.open[signal]
	if f == nil {
		f = &flight{signal: signal, born: time.Now(), changed: make(chan struct{}, 1)}
		w.open[signal] = f
		w.flying.Go(func() { w.run(f) })
	}
	f.callers = append(f.callers, c)
	f.rows += c.fullest
	w.mu.Unlock()
	f.poke()
	return <-c.done
}

// run waits until f may leave, and inserts it.
func (w *Writer) run(f *flight) {
	for {
		wait := w.due(f)
		if wait <= 0 {
			break
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-f.changed:
		}
		t.Stop()
	}
	w.depart(f)
}

// due is how long f may still wait for company; it is taken off the ramp when that is nothing.
func (w *Writer) due(f *flight) time.Duration {
	patient := w.patient(f.signal)
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	leave := f.born.Add(w.cfg.Batch.Timeout)
	margin := 2 * w.latency.p99()
	for _, c := range f.callers {
		if c.anonymous {
			leave = earlier(leave, f.born.Add(anonymousLinger))
		}
		leave = earlier(leave, c.deadline.Add(-margin))
		if c.until > 0 {
			leave = earlier(leave, w.ends(c.until).Add(-margin))
		}
	}
	full := w.cfg.Batch.SendBatchSize
	if patient {
		full *= patientFactor
	} else if w.decoding == 0 {
		leave = earlier(leave, w.last[f.signal].Add(quiet))
	}
	if f.rows >= full || w.hurry || !leave.After(now) {
		w.open[f.signal] = nil
		w.last[f.signal] = now
		return 0
	}
	return leave.Sub(now)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// depart inserts the rows of all callers who are still there. Each is answered as soon as its
// own rows are done, whatever becomes of the others'.
func (w *Writer) depart(f *flight) {
	var here []*caller
	var limit time.Time // the latest deadline
	var fence uint32    // the earliest
	for _, c := range f.callers {
		if err := c.ctx.Err(); err != nil {
			c.done <- &forward.BusyError{NotTaken: true, Err: err}
			continue
		}
		here = append(here, c)
		if c.deadline.After(limit) {
			limit = c.deadline
		}
		if c.until > 0 && (fence == 0 || c.until < fence) {
			fence = c.until
		}
	}
	if len(here) == 0 {
		return
	}
	if fence == 0 {
		at, _ := w.clock.At(limit)
		fence = forward.Fence(at)
	}
	ctx, cancel := context.WithDeadline(context.Background(), limit)
	defer cancel()
	defer whenAllGone(here, cancel)()
	first, then := stages(merge(here))
	failed := w.insertStage(ctx, f.signal, first, fence)
	if failed != nil {
		for _, b := range then {
			b.fail(b.all(), failed) // without its time range nobody would find a span
			b.settle()
		}
	} else {
		w.insertStage(ctx, f.signal, then, fence)
	}
}

// ends is when, on our clock, the server begins to refuse what has that fence.
func (w *Writer) ends(fence uint32) time.Time {
	return w.clock.Here(time.Unix(int64(fence)+1, 0))
}

// whenAllGone cancels the insertion once no caller waits for it any more.
func whenAllGone(callers []*caller, cancel func()) (stop func()) {
	var mu sync.Mutex
	left := len(callers)
	var stops []func() bool
	for _, c := range callers {
		stops = append(stops, context.AfterFunc(c.ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				cancel()
			}
		}))
	}
	return func() {
		for _, s := range stops {
			s()
		}
	}
}

// insertStage inserts blocks side by side, and returns when all are done. The error is of one
// that is not stored, but for poison.
func (w *Writer) insertStage(ctx context.Context, signal forward.Signal, blocks []*block, fence uint32) error {
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		failed error
	)
	for _, b := range blocks {
		wg.Go(func() {
			w.store(ctx, b, b.all(), fence)
			w.mu.Lock()
			w.last[signal] = time.Now()
			w.mu.Unlock()
			b.settle()
			if b.err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = b.err
			}
		})
	}
	wg.Wait()
	return failed
}
