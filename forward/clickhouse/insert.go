package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/schema"
)

const (
	// tableInserts bounds the INSERTs into one table that are under way. Tables do not share
	// them: one that hangs takes nothing from another.
	tableInserts = 4
	// maxBad is how many rows of one block may be refused. More are a fault of the table.
	maxBad = 8
	// patience is how long after "too many parts" blocks stay few and large, and patientFactor
	// how much larger.
	patience      = time.Minute
	patientFactor = 4
	// crowdedWait is the least to wait after "too many parts": merges take seconds.
	crowdedWait = 5 * time.Second
	// heavyTries is how often a block that takes too much memory is sent whole.
	heavyTries = 2
)

// A target is what the writer knows about a table of the server.
type target struct {
	permits chan struct{} // one for each INSERT under way
	alone   chan struct{} // the one INSERT under way while patient
	back    *forward.Backoff

	mu           sync.Mutex // guards what follows, and back
	patientUntil time.Time
	heldUntil    time.Time
	held         error
	did          TableState // but for what follows from the above
}

func newTarget(retry forward.RetryConfig) *target {
	return &target{permits: make(chan struct{}, tableInserts), alone: make(chan struct{}, 1), back: forward.NewBackoff(retry)}
}

// A heldError is a fault of configuration: nothing is stored until somebody acts.
type heldError struct {
	after time.Duration // when the next try may be
	err   error
}

func (e *heldError) Error() string { return e.err.Error() }
func (e *heldError) Unwrap() error { return e.err }

// heldFor is how long to wait after err, 0 if it does not say.
func heldFor(err error) time.Duration {
	if h, ok := errors.AsType[*heldError](err); ok {
		return h.after
	}
	return 0
}

// hold has everything for the table wait at its senders for a while.
func (t *target) hold(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if left := time.Until(t.heldUntil); left > 0 {
		return &heldError{left, err} // several that fail together are one failure
	}
	after := t.back.After(err)
	t.heldUntil, t.held = time.Now().Add(after), err
	return &heldError{after, err}
}

// waiting is the error that the table is held for, nil if it is not.
func (t *target) waiting() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if left := time.Until(t.heldUntil); left > 0 {
		return &heldError{left, t.held}
	}
	return nil
}

func (t *target) good(rows int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.back.Reset()
	t.heldUntil, t.held = time.Time{}, nil
	t.did.Inserts++
	t.did.Rows += uint64(rows)
	t.did.Last = time.Now()
}

func (t *target) failed(late bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.did.Failures++
	if late {
		t.did.Fenced++
	}
}

func (t *target) crowd() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.patientUntil = time.Now().Add(patience)
}

func (t *target) patient() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Before(t.patientUntil)
}

// enter waits for the right to send; leave must follow.
func (t *target) enter(ctx context.Context) (leave func(), err error) {
	gate := t.permits
	if t.patient() {
		gate = t.alone
	}
	select {
	case gate <- struct{}{}:
		return func() { <-gate }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// store has a span of b committed, but for rows that ClickHouse refuses for good: those are
// looked for by halves, first between callers, then between their records, then rows.
//
// A piece was searched like that before, and nobody knows how far: it is cut at once. Its parts
// are what they were then, and have the tokens that they had.
func (w *Writer) store(ctx context.Context, b *block, s span, fence uint32) {
	if b.piece && s == b.all() {
		w.halve(ctx, b, s, fence)
		return
	}
	err := w.insert(ctx, b, s, fence)
	if err == nil {
		b.stored(s)
		return
	}
	kind := classify(err)
	_, unsure := errors.AsType[*unsureError](err)
	if !b.table().Identified() || unsure || kind != poison && kind != heavy || len(b.bad) > maxBad || kind == heavy && s.len() == 1 {
		b.fail(s, err)
		return
	}
	if s.len() == 1 {
		b.bad = append(b.bad, badRow{s.from, err})
		return
	}
	w.halve(ctx, b, s, fence)
}

func (w *Writer) halve(ctx context.Context, b *block, s span, fence uint32) {
	middle := b.cut(s)
	w.store(ctx, b, span{s.from, middle}, fence)
	w.store(ctx, b, span{middle, s.to}, fence)
}

// An unsureError follows a try that may have been stored. The block must not be cut then: its parts
// would have tokens of their own, and the server could not know them again.
type unsureError struct{ err error }

func (e *unsureError) Error() string { return e.err.Error() }
func (e *unsureError) Unwrap() error { return e.err }

// maxPooled is the largest buffer that is kept for the next block, in bytes.
const maxPooled = 16 << 20

var buffers = sync.Pool{New: func() any { return new(proto.Buffer) }}

// insert tries until a span of b is committed, cannot be, or nobody waits any more. Every try
// sends the same bytes with the same token, so that what was stored without our hearing of it
// is not stored again. The block is complete before the first byte is sent: one that cannot be
// encoded is an error here, and never an empty INSERT that succeeds.
func (w *Writer) insert(ctx context.Context, b *block, s span, fence uint32) error {
	buf := buffers.Get().(*proto.Buffer)
	defer func() {
		if cap(buf.Buf) <= maxPooled {
			buffers.Put(buf)
		}
	}()
	buf.Reset()
	if err := schema.Encode(buf, fence, b.rows(s)...); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	w.limiter.Charge(int64(len(buf.Buf)))
	defer w.limiter.Give(int64(len(buf.Buf)))

	t := w.targets[b.table()]
	token := b.token(s)
	back := forward.NewBackoff(w.cfg.Retry)
	heavies, unsure := 0, false
	for try := 1; ; try++ {
		leave, err := t.enter(ctx)
		if err != nil {
			return err
		}
		start := time.Now()
		if try == 1 && start.After(w.ends(fence)) {
			leave()
			return errFence
		}
		attempt, cancel := context.WithTimeout(ctx, socketTime)
		err = w.send.insert(attempt, b.table(), buf.Buf, token)
		cancel()
		leave()
		w.noteError(err)
		if err == nil {
			t.good(s.len())
			w.latency.add(time.Since(start))
			return nil
		}
		known := look(err)
		t.failed(known.class == fenced)
		w.log.Warn("INSERT failed", "table", b.table().Name(), "rows", s.len(), "try", try, "class", known.class.String(), "hint", known.hint, "err", err)
		unsure = unsure || known.class == ambiguous
		if unsure {
			err = &unsureError{err}
		}
		wait := back.After(err)
		switch known.class {
		case fenced:
			w.misconfigured() // our idea of the time may be wrong
			return err
		case poison:
			return err
		case config:
			w.misconfigured()
			return t.hold(err)
		case heavy:
			if heavies++; heavies == heavyTries && !unsure {
				return err
			}
		case crowded:
			t.crowd()
			wait = max(wait, crowdedWait)
		}
		next := time.Now().Add(wait)
		if deadline, ok := ctx.Deadline(); ok && deadline.Before(next) || w.ends(fence).Before(next) {
			return err // the caller's own retry comes sooner
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
