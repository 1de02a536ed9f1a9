package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/schema"
)

// Config says when a merge leaves and how it is tried again.
type Config struct {
	Batch forward.BatchConfig // send_batch_size rows, timeout; 10000 and 10 s by default
	Retry forward.RetryConfig
}

// DefaultBatchConfig is the collector's: 10000 rows, 10 s.
func DefaultBatchConfig() forward.BatchConfig {
	return forward.BatchConfig{SendBatchSize: 10000, Timeout: 10 * time.Second}
}

const (
	// anonymousLinger bounds the wait of callers without identity: plain SDKs give up after 10 s.
	anonymousLinger = 5 * time.Second
	// quiet is how long a signal must have had no INSERT for a lone request to go out at once.
	quiet = time.Second
	// share is what part of the limiter's soft limit the rows of one signal may take while they
	// wait: a table that takes nothing must not keep the others' rows out.
	share = 2
	// defaultDeadline is that of a caller who brings none, and the most that one is believed: all
	// of a merge may wait for the latest, and a fence is made of it.
	defaultDeadline = 60 * time.Second
	// growth is how many times its own length, but at least a MiB, a batch's rows may take.
	growth    = 64
	growthMin = 1 << 20
)

// A Writer is a Sink into ClickHouse.
type Writer struct {
	cfg     Config
	send    sender
	limiter *forward.Limiter
	metrics *forward.Counters
	log     *slog.Logger

	ready   chan struct{}             // closed when the tables are known to exist
	amiss   chan struct{}             // gets one when an INSERT met a fault of configuration
	targets map[*schema.Table]*target // of every table; read-only
	sets    sync.Pool                 // of *schema.Set
	latency latencies
	clock   *forward.Clock // the server's
	lookups *lookups
	under   underway
	flying  sync.WaitGroup
	waiting [forward.Metrics + 1]atomic.Int64 // bytes of rows, by signal

	mu       sync.Mutex
	open     [forward.Metrics + 1]*flight
	decoding int
	last     [forward.Metrics + 1]time.Time // of the last INSERT
	hurry    bool                           // nobody is to wait for company
	closed   bool

	lastErr atomic.Pointer[lastError]
}

// A lastError is what the last INSERT met.
type lastError struct {
	text  string    // "": nothing
	since time.Time // of the first in a row
}

// A sender stores one block, and says what is stored; it is *Conn, and in tests of time a script.
type sender interface {
	asker
	insert(ctx context.Context, table *schema.Table, block []byte, token string) error
	Clock() *forward.Clock
}

// NewWriter writes through conn. Put waits until Ready was called.
func NewWriter(conn *Conn, cfg Config, l *forward.Limiter, m *forward.Counters, log *slog.Logger) *Writer {
	return newWriter(conn, cfg, l, m, log)
}

func newWriter(send sender, cfg Config, l *forward.Limiter, m *forward.Counters, log *slog.Logger) *Writer {
	w := &Writer{cfg: cfg, send: send, limiter: l, metrics: m, log: log, clock: send.Clock(), lookups: newLookups(send),
		ready: make(chan struct{}), amiss: make(chan struct{}, 1), targets: make(map[*schema.Table]*target),
		sets: sync.Pool{New: func() any { return schema.NewSet() }}}
	for _, t := range schema.Tables() {
		w.targets[t] = newTarget(cfg.Retry)
	}
	return w
}

// Ready says that the tables exist.
func (w *Writer) Ready() { close(w.ready) }

// Misconfigured gets a value when an INSERT met a fault of configuration, such as a table that
// is gone: whoever made the tables may want to look again.
func (w *Writer) Misconfigured() <-chan struct{} { return w.amiss }

func (w *Writer) misconfigured() {
	select {
	case w.amiss <- struct{}{}:
	default:
	}
}

// Hurry has everything leave at once, from now on: intake is ending, and whoever waits for
// company waits in vain.
func (w *Writer) Hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hurry = true
	w.pokeLocked()
}

// Close takes nothing more and returns when every caller was answered.
func (w *Writer) Close() {
	w.Hurry()
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.flying.Wait()
}

// pokeLocked has every flight look again whether it may leave.
func (w *Writer) pokeLocked() {
	for _, f := range w.open {
		if f != nil {
			f.poke()
		}
	}
}

var (
	errNotReady = errors.New("the tables of ClickHouse are not ready yet")
	errClosed   = errors.New("shutting down")
)

// Put decodes b and returns when its rows are committed. An error in the bytes is a
// *RefusedError; a server that does not take them in time is a *BusyError.
func (w *Writer) Put(ctx context.Context, b forward.Batch) error {
	select {
	case <-w.ready:
	case <-ctx.Done():
		return &forward.BusyError{NotTaken: true, Err: errNotReady}
	}
	signal := b.Signal.String()
	w.metrics.In.WithLabelValues(signal).Add(float64(b.Items))
	w.metrics.Held.WithLabelValues(signal).Add(float64(b.Items))
	defer w.metrics.Held.WithLabelValues(signal).Sub(float64(b.Items))

	set := w.sets.Get().(*schema.Set)
	defer func() { set.Reset(); w.sets.Put(set) }()
	c := &caller{done: make(chan error, 1), left: make(chan struct{})}
	count, err := w.decode(set, b, c)
	stored := 0
	if err == nil && count.Rows > 0 {
		c.rows = slices.Collect(set.Buckets())
		stored, err = w.once(ctx, b.Signal, c, int64(set.Bytes()))
		if busy := forward.Busy(err); busy != nil && b.Repeated {
			busy.NotTaken = false // by us; the one before may be
		}
	}
	return w.account(signal, b.Items, stored, count, err)
}

// once has the caller's rows stored, but for those that are. It says how many those were.
func (w *Writer) once(ctx context.Context, signal forward.Signal, c *caller, size int64) (stored int, err error) {
	if now, ok := w.clock.Now(); ok && c.until > 0 {
		if forward.Fence(now) > c.until {
			return 0, &forward.BusyError{NotTaken: true, Err: errFence}
		}
		c.until = min(c.until, forward.Fence(now.Add(forward.AttemptTime+forward.ClockError)))
	}
	_, _, soft, _ := w.limiter.Usage()
	defer w.waiting[signal].Add(-size)
	if all := w.waiting[signal].Add(size); all > soft/share && all > size {
		return 0, &forward.BusyError{NotTaken: true, Err: fmt.Errorf("%w: rows of %s that wait for ClickHouse take %d MiB", forward.ErrMemory, signal, all>>20)}
	}
	w.limiter.Charge(size)
	defer w.limiter.Give(size)
	before := w.under.enter(c)
	defer func() { w.under.leave(c, err) }()
	if len(c.again) > 0 && checked {
		if stored, err = w.sift(ctx, c, before); err != nil {
			return 0, err
		}
	}
	if len(c.rows)+len(c.pieces) == 0 {
		return stored, nil
	}
	return stored, w.wait(ctx, signal, c)
}

// wait has the caller's rows inserted, unless they would only wait in vain.
func (w *Writer) wait(ctx context.Context, signal forward.Signal, c *caller) error {
	for _, rows := range c.rows {
		if err := w.targets[rows.Table()].waiting(); err != nil {
			return &forward.BusyError{After: heldFor(err), NotTaken: true, Err: fmt.Errorf("%s: %w", rows.Table().Name(), err)}
		}
		c.fullest = max(c.fullest, rows.Len())
		if rows.Table().Identified() {
			c.items += rows.Len()
		}
	}
	for _, rows := range c.pieces {
		c.items += rows.Len()
	}
	return w.fly(ctx, signal, c)
}

// account books the outcome: in = out + lost + returned to the caller. It returns what the
// caller hears. stored is how many items were there before.
func (w *Writer) account(signal string, items, stored int, count schema.Count, err error) error {
	partial := forward.Partial(err)
	if err != nil && partial == nil {
		w.metrics.Out.WithLabelValues(signal, "returned").Add(float64(items))
		return err
	}
	if count.UnknownKinds > 0 {
		w.log.Warn("metrics of a kind that no table has a place for", "metrics", count.UnknownKinds)
	}
	lost := count.Unstorable
	if count.Unstorable > 0 {
		w.metrics.Lost.WithLabelValues(signal, forward.ReasonUnstorable).Add(float64(count.Unstorable))
	}
	if partial != nil {
		w.metrics.Lost.WithLabelValues(signal, partial.Reason).Add(float64(partial.Items))
		w.log.Error("ClickHouse refuses rows, the others are stored", "signal", signal, "rows", partial.Items, "err", partial.Err)
		lost += partial.Items
	}
	w.metrics.Out.WithLabelValues(signal, "already_present").Add(float64(stored))
	w.metrics.Out.WithLabelValues(signal, "delivered").Add(float64(items - lost - stored))
	switch {
	case partial != nil:
		return &forward.PartialError{Items: lost, Reason: partial.Reason, Err: partial.Err}
	case lost > 0:
		return &forward.PartialError{Items: lost, Reason: forward.ReasonUnstorable, Err: errors.New("metric points without a value")}
	}
	return nil
}

// patient says whether blocks of the signal are to be few and large for now.
func (w *Writer) patient(signal forward.Signal) bool {
	for t, state := range w.targets {
		if t.Signal() == signal.String() && state.patient() {
			return true
		}
	}
	return false
}

// decode turns each record of b into rows, alone, so that one cannot shift another, and tells c
// which records they are.
func (w *Writer) decode(set *schema.Set, b forward.Batch, c *caller) (total schema.Count, err error) {
	w.mu.Lock()
	w.decoding++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.decoding--; w.decoding == 0 {
			w.pokeLocked()
		}
	}()
	_, _, soft, _ := w.limiter.Usage()
	limit := int(soft / share)
	appendTo := map[forward.Signal]func([]byte, schema.Origin) (schema.Count, error){
		forward.Logs: set.AppendLogs, forward.Traces: set.AppendTraces, forward.Metrics: set.AppendMetrics}[b.Signal]
	items := 0
	var stream string
	var key [16]byte // of stream
	for r, err := range forward.Records(b.Body) {
		if err != nil {
			return total, refusedBytes(err)
		}
		o := schema.Origin{Accepted: time.Now().UnixNano()}
		if m := r.Marker; m != nil {
			if stream == "" || m.Stream != key {
				stream, key = m.StreamID(), m.Stream
			}
			o = schema.Origin{Stream: stream, Seq: m.Seq, Accepted: m.Accepted}
			items += int(m.Items)
			if c.name(stream, m, b.Repeated) {
				continue // a copy of one before it
			}
		} else {
			c.anonymous = true
		}
		n, err := appendTo(r.Body, o)
		if errors.Is(err, schema.ErrTooLarge) {
			return total, &forward.RefusedError{Reason: forward.ReasonTooLarge, Err: err}
		}
		if err != nil {
			return total, refusedBytes(err)
		}
		if r.Marker == nil {
			items += n.Items
		} else if n.Items != int(r.Marker.Items) {
			return total, refusedBytes(fmt.Errorf("record %d of its stream holds %d items, its marker says %d", r.Marker.Seq, n.Items, r.Marker.Items))
		}
		total.Items += n.Items
		total.Rows += n.Rows
		total.Unstorable += n.Unstorable
		total.UnknownKinds += n.UnknownKinds
		if set.Bytes() > min(growth*max(len(b.Body), growthMin), limit) { // a Set bounds this for one record only
			return total, &forward.RefusedError{Reason: forward.ReasonTooLarge, Err: schema.ErrTooLarge}
		}
	}
	if items != b.Items {
		return total, refusedBytes(fmt.Errorf("%d items, of which %d can be told apart", b.Items, items))
	}
	return total, nil
}

func refusedBytes(err error) error {
	return &forward.RefusedError{Reason: forward.ReasonMalformed, Err: err}
}

// LastError is the last INSERT error in words, or "" when the last one went well.
func (w *Writer) LastError() string {
	text, _ := w.Failing()
	return text
}

// Failing is LastError, and since when no INSERT went well.
func (w *Writer) Failing() (text string, since time.Time) {
	if e := w.lastErr.Load(); e != nil {
		return e.text, e.since
	}
	return "", time.Time{}
}

func (w *Writer) noteError(err error) {
	e := new(lastError)
	if err != nil {
		if e.text = err.Error(); look(err).hint != "" {
			e.text = look(err).hint + ": " + e.text
		}
		e.since = time.Now()
		if before := w.lastErr.Load(); before != nil && before.text != "" {
			e.since = before.since
		}
	}
	w.lastErr.Store(e)
}

// A TableState is what the writer did with a table since the start, for people.
type TableState struct {
	Table    string
	Inserts  uint64
	Rows     uint64
	Failures uint64
	Fenced   uint64    // of these, refused because they came after their fence
	Last     time.Time // of the last INSERT that went well
	Held     string    // why nothing is sent now; "": it is
	Until    time.Time // when that is tried again
}

// Tables are all tables that rows go to, in order.
func (w *Writer) Tables() (all []TableState) {
	for _, table := range schema.Tables() {
		t := w.targets[table]
		held := t.waiting()
		t.mu.Lock()
		s := t.did
		if held != nil {
			s.Held, s.Until = held.Error(), t.heldUntil
		}
		t.mu.Unlock()
		s.Table = table.Name()
		all = append(all, s)
	}
	return all
}

// Slowest is the longest that one of the last hundred INSERTs took.
func (w *Writer) Slowest() time.Duration { return w.latency.p99() }

// latencies remembers how long INSERTs took.
type latencies struct {
	mu   sync.Mutex
	ring [100]time.Duration
	n    int
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.n%len(l.ring)] = d
	l.n++
}

// p99 of the last hundred is the longest of them.
func (l *latencies) p99() (most time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.ring[:min(l.n, len(l.ring))] {
		most = max(most, d)
	}
	return most
}
