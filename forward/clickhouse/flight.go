package clickhouse

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/proto"

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

// A caller is one Put that waits.
type caller struct {
	ctx       context.Context
	deadline  time.Time
	set       *schema.Set // the caller's, until done
	anonymous bool
	rows      int
	done      chan error
}

func (f *flight) poke() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// fly has c's rows inserted with those of others. Once a flight has begun it must let go of
// the caller's set before fly returns.
func (w *Writer) fly(ctx context.Context, signal forward.Signal, c *caller) error {
	c.ctx = ctx
	var ok bool
	if c.deadline, ok = ctx.Deadline(); !ok {
		c.deadline = time.Now().Add(defaultDeadline)
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
	f.rows += c.rows
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
	w.inserts <- struct{}{}
	defer func() { <-w.inserts }()
	w.depart(f)
}

// due is how long f may still wait for company; it is taken off the ramp when that is nothing.
func (w *Writer) due(f *flight) time.Duration {
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
	}
	if w.decoding == 0 {
		leave = earlier(leave, w.last[f.signal].Add(quiet))
	}
	if f.rows >= w.cfg.Batch.SendBatchSize || w.hurry || !leave.After(now) {
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

// depart inserts the rows of all callers who are still there, and answers them.
func (w *Writer) depart(f *flight) {
	var here []*caller
	for _, c := range f.callers {
		if err := c.ctx.Err(); err != nil {
			c.done <- &forward.BusyError{NotTaken: true, Err: err}
			continue
		}
		here = append(here, c)
	}
	if len(here) > 0 {
		w.insertAll(here)
	}
	w.mu.Lock()
	w.last[f.signal] = time.Now()
	w.mu.Unlock()
}

// insertAll merges the callers' rows, a block for each table and partition, inserts the blocks
// and answers the callers. If a block is poison the callers are tried one by one, so that only
// the culprit is refused.
func (w *Writer) insertAll(callers []*caller) {
	blocks := merge(callers)
	limit := time.Time{}
	for _, c := range callers {
		if c.deadline.After(limit) {
			limit = c.deadline
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), limit)
	defer cancel()
	defer w.whenAllGone(callers, cancel)()

	var poisoned error
	failed := make(map[*caller]error)
	for i, stage := range stages(blocks) {
		for b, err := range w.insertStage(ctx, stage, w.send.fence(limit)) {
			if classify(err) == poison {
				poisoned = err
			}
			for _, c := range b.callers {
				failed[c] = errors.Join(failed[c], err)
			}
		}
		if i == 0 && len(failed) > 0 {
			break // without the time range nobody would find the spans
		}
	}
	if poisoned != nil && len(callers) > 1 {
		for _, c := range callers {
			w.insertAll([]*caller{c})
		}
		return
	}
	for _, c := range callers {
		c.done <- answer(failed[c])
	}
}

// whenAllGone cancels the insertion once no caller waits for it any more.
func (w *Writer) whenAllGone(callers []*caller, cancel func()) (stop func()) {
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

// answer is what a caller hears. Whatever was not refused may have been stored all the same.
func answer(err error) error {
	if err == nil {
		return nil
	}
	if classify(err) == poison {
		return &forward.RefusedError{Reason: forward.ReasonRejected, Err: err}
	}
	return &forward.BusyError{Err: err}
}

// A block is one INSERT: rows of one table and partition, from one or several callers.
type block struct {
	rows    *schema.Rows
	callers []*caller
}

type bucket struct {
	table     *schema.Table
	partition int32
}

// merge joins the callers' rows. A bucket that only one caller has rows for is used as it is.
func merge(callers []*caller) (blocks []*block) {
	byBucket := make(map[bucket]*block)
	for _, c := range callers {
		for rows := range c.set.Buckets() {
			key := bucket{rows.Table(), rows.Partition()}
			b := byBucket[key]
			if b == nil {
				b = &block{rows: rows}
				byBucket[key] = b
				blocks = append(blocks, b)
			} else {
				if len(b.callers) == 1 {
					first := b.rows
					b.rows = schema.NewRows(key.table, key.partition)
					b.rows.AppendRows(first)
				}
				b.rows.AppendRows(rows)
			}
			b.callers = append(b.callers, c)
		}
	}
	return blocks
}

// stages orders the blocks: what must be visible first comes first.
func stages(blocks []*block) [2][]*block {
	var out [2][]*block
	for _, b := range blocks {
		i := 1
		if !b.rows.Table().Identified() {
			i = 0
		}
		out[i] = append(out[i], b)
	}
	return out
}

// insertStage inserts blocks side by side and returns those that failed.
func (w *Writer) insertStage(ctx context.Context, blocks []*block, fence time.Time) map[*block]error {
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		failed = make(map[*block]error)
	)
	for _, b := range blocks {
		wg.Go(func() {
			if err := w.insertBlock(ctx, b, fence); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[b] = err
			}
		})
	}
	wg.Wait()
	return failed
}

var buffers = sync.Pool{New: func() any { return new(proto.Buffer) }}

// insertBlock tries until the block is committed, is poison, or nobody waits any more. Every
// try sends the same bytes with the same token, so that one that was stored without our
// hearing of it is not stored again.
func (w *Writer) insertBlock(ctx context.Context, b *block, fence time.Time) error {
	buf := buffers.Get().(*proto.Buffer)
	defer buffers.Put(buf)
	buf.Reset()
	if err := b.rows.Encode(buf, fence); err != nil {
		return fmt.Errorf("%s: encode: %w", b.rows.Table().Name(), err)
	}
	token := newToken()
	back := forward.NewBackoff(w.cfg.Retry)
	for try := 1; ; try++ {
		start := time.Now()
		attempt, cancel := context.WithTimeout(ctx, socketTime)
		err := w.send.insert(attempt, b.rows.Table(), buf.Buf, token)
		cancel()
		w.noteError(err)
		if err == nil {
			w.latency.add(time.Since(start))
			return nil
		}
		err = fmt.Errorf("%s: %w", b.rows.Table().Name(), err)
		kind := classify(err)
		w.log.Warn("INSERT failed", "table", b.rows.Table().Name(), "rows", b.rows.Len(), "try", try, "class", kind.String(), "hint", hint(err), "err", err)
		if kind == poison || kind == fenced {
			return err
		}
		wait := back.After(err)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			return err // the caller's own retry comes sooner
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

func newToken() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
