package forward

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spillway-io/spillway/wal"
)

// Mode is when the log is written.
type Mode string

const (
	// ModeAlways writes and syncs before Put returns: what was acknowledged survives power loss.
	ModeAlways Mode = "always"
	// ModeOverflow keeps records in memory and writes them only under memory pressure, when
	// delivery fails, and on shutdown: a crash loses what was not written yet.
	ModeOverflow Mode = "overflow"
)

// A Spool is the node's log as a Sink: each part of a batch becomes one record, and Put
// returns nil once they are durable (ModeAlways).
type Spool struct {
	store   *wal.Store
	mode    Mode
	limiter *Limiter
	// maxDeferred bounds what overflow mode holds unwritten, in bytes, over all lanes.
	maxDeferred int64
	metrics     *Counters
}

// overflowCap is the most that ModeOverflow holds unwritten, in bytes.
const overflowCap = 256 << 20

// NewSpool makes a Sink of store, which has a lane for each signal, named after it.
func NewSpool(store *wal.Store, mode Mode, limiter *Limiter, m *Counters) *Spool {
	_, _, soft, _ := limiter.Usage()
	return &Spool{store: store, mode: mode, limiter: limiter, maxDeferred: min(soft, overflowCap), metrics: m}
}

// Put stores b. A full log is a *BusyError.
func (s *Spool) Put(ctx context.Context, b Batch) error {
	if b.Items == 0 && len(b.Cursor) == 0 {
		return nil
	}
	lane := s.store.Lane(b.Signal.String())
	recs := records(b)
	err := s.append(ctx, lane, recs, int64(len(b.Body)))
	switch {
	case err == nil:
		s.metrics.In.WithLabelValues(b.Signal.String()).Add(float64(b.Items))
		return nil
	case errors.Is(err, wal.ErrFull), errors.Is(err, wal.ErrClosed):
		return &BusyError{After: fullAfter, NotTaken: true, Err: err}
	}
	return fmt.Errorf("log %d items: %w", b.Items, err)
}

// fullAfter is how long a sender is asked to wait when the log is full: room comes back by
// delivery, a generation at a time.
const fullAfter = 5 * time.Second

func (s *Spool) append(ctx context.Context, lane *wal.Log, recs []wal.Record, n int64) error {
	if s.mode == ModeOverflow && s.limiter.Pressure() == Normal && s.deferred()+n <= s.maxDeferred {
		return lane.Defer(recs...)
	}
	if s.mode == ModeOverflow {
		lane.Spill()
	}
	return lane.Append(ctx, recs...)
}

func (s *Spool) deferred() (n int64) {
	for _, sig := range Signals {
		n += s.store.Lane(sig.String()).Stats().Deferred
	}
	return n
}

// Spill has everything written that is only in memory.
func (s *Spool) Spill() {
	for _, sig := range Signals {
		s.store.Lane(sig.String()).Spill()
	}
}

// records cuts b into what the log stores. The cursor goes with the last one: it says that
// all of b is in.
func records(b Batch) []wal.Record {
	if len(b.Parts) <= 1 {
		return []wal.Record{{Items: b.Items, Meta: b.Cursor, Data: b.Body}}
	}
	recs := make([]wal.Record, len(b.Parts))
	from := 0
	for i, p := range b.Parts {
		recs[i] = wal.Record{Items: p.Items, Data: b.Body[from:p.End]}
		from = p.End
	}
	recs[len(recs)-1].Meta = b.Cursor
	return recs
}
