package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/schema"
)

// A run is records that follow each other in their stream and are in the same case: first to last.
type run struct {
	stream      string
	first, last uint64
	after       uint32 // as in forward.Marker: until then an earlier attempt may be stored; 0: fresh
}

func (r run) has(stream string, seq uint64) bool {
	return r.stream == stream && r.first <= seq && seq <= r.last
}

func (r run) overlaps(o run) bool {
	return r.stream == o.stream && r.first <= o.last && o.first <= r.last
}

// find is the run that has a record, nil if none has.
func find(runs []run, stream string, seq uint64) *run {
	if i := slices.IndexFunc(runs, func(r run) bool { return r.has(stream, seq) }); i >= 0 {
		return &runs[i]
	}
	return nil
}

// name gives the caller a record's identity and fences. It says whether the caller has it already.
func (c *caller) name(stream string, m *forward.Marker, repeated bool) (twice bool) {
	after := m.After
	if repeated {
		after = max(after, m.Until, 1)
	}
	if after > 0 && find(c.runs, stream, m.Seq) != nil {
		return true
	}
	if m.Until > 0 && (c.until == 0 || m.Until < c.until) {
		c.until = m.Until
	}
	c.again = c.again || after > 0
	if n := len(c.runs); n > 0 && c.runs[n-1].stream == stream && c.runs[n-1].last+1 == m.Seq && c.runs[n-1].after == after {
		c.runs[n-1].last = m.Seq
		return false
	}
	c.runs = append(c.runs, run{stream, m.Seq, m.Seq, after})
	return false
}

// underway are the callers with identities, by stream. A record that comes again while it is under
// way in this process waits for that attempt, and shares in its success.
type underway struct {
	mu      sync.Mutex
	streams map[string][]*caller
}

// enter adds c, and returns those who came before it with records that it has, too.
func (u *underway) enter(c *caller) (before []*caller) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.streams == nil {
		u.streams = make(map[string][]*caller)
	}
	for _, r := range c.runs {
		for _, o := range u.streams[r.stream] {
			if c.again && o != c && !slices.Contains(before, o) && slices.ContainsFunc(o.runs, r.overlaps) {
				before = append(before, o)
			}
		}
		if all := u.streams[r.stream]; !slices.Contains(all, c) {
			u.streams[r.stream] = append(all, c)
		}
	}
	return before
}

// leave tells those who wait for c how it ended; nil: all its rows are stored.
func (u *underway) leave(c *caller, err error) {
	c.ended = err
	close(c.left)
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, r := range c.runs {
		all := slices.DeleteFunc(u.streams[r.stream], func(o *caller) bool { return o == c })
		if u.streams[r.stream] = all; len(all) == 0 {
			delete(u.streams, r.stream)
		}
	}
}

// errFence says that an attempt came to an end before it could begin.
var errFence = errors.New("the time that the sender gave this attempt is over")

// errEarlier says that it is too soon to call a record missing.
var errEarlier = errors.New("an earlier attempt to send these records may still be stored")

// sift drops from c's rows what is stored already, and says how many. Whether a record that is
// not there will not appear any more is not asked of timers, but of the server: see
// docs/adr/0012.
func (w *Writer) sift(ctx context.Context, c *caller, before []*caller) (stored int, err error) {
	var known []run
	for _, o := range before {
		select {
		case <-o.left:
		case <-ctx.Done():
			return 0, &forward.BusyError{NotTaken: true, Err: fmt.Errorf("%w: %w", errEarlier, context.Cause(ctx))}
		}
		if o.ended == nil {
			known = append(known, o.runs...)
		}
	}
	l := &lookup{sought: make(map[*schema.Table][]schema.Sought)}
	for _, rows := range c.rows {
		if sought := c.sought(rows, known); len(sought) > 0 {
			l.sought[rows.Table()] = append(l.sought[rows.Table()], sought...)
		}
	}
	if len(l.sought) > 0 {
		if err := w.lookups.do(ctx, l); err != nil {
			w.noteError(err)
			w.log.Warn("what may be stored already cannot be looked up, its senders wait", "hint", look(err).hint, "err", err)
			return 0, &forward.BusyError{NotTaken: true, Err: err}
		}
	}
	return c.drop(known, l)
}

// sought is what has to be asked about rows.
func (c *caller) sought(rows *schema.Rows, known []run) (sought []schema.Sought) {
	since, till := rows.Bounds()
	var last *run
	for u := range rows.Units() {
		r := find(c.runs, u.Stream, u.Seq)
		if r == nil || r.after == 0 || find(known, u.Stream, u.Seq) != nil {
			continue
		}
		if r == last {
			sought[len(sought)-1].Last = u.Seq
			continue
		}
		sought = append(sought, schema.Sought{Stream: u.Stream, First: u.Seq, Last: u.Seq, Since: since, Till: till})
		last = r
	}
	return sought
}

// drop takes out of c what is known to be stored or was found, and says how many rows that are.
// Units that were found in part become pieces. An error says when to come again.
func (c *caller) drop(known []run, l *lookup) (stored int, err error) {
	var left []*schema.Rows
	identified := false
	wait := time.Duration(0)
	for _, rows := range c.rows {
		var keep []schema.Unit
		there, pieces := 0, 0
		for u := range rows.Units() {
			n := u.To - u.From
			r := find(c.runs, u.Stream, u.Seq)
			if r == nil || r.after == 0 {
				keep = append(keep, u)
				continue
			}
			found := l.found[unit{rows.Table(), u.Stream, u.Seq, rows.Partition()}]
			switch {
			case find(known, u.Stream, u.Seq) != nil || found >= n:
				there += n
			case !l.at.settled(rows.Table(), r.after):
				wait = max(wait, l.at.waitFor(r.after))
			case found == 0:
				keep = append(keep, u)
			default:
				c.pieces = append(c.pieces, rows.Only([]schema.Unit{u}))
				pieces++
			}
		}
		stored += there
		identified = identified || len(keep) > 0
		switch {
		case there+pieces == 0:
			left = append(left, rows)
		case len(keep) > 0:
			left = append(left, rows.Only(keep))
		}
	}
	if wait > 0 {
		return 0, &forward.BusyError{After: wait, NotTaken: true, Err: errEarlier}
	}
	c.rows = left
	if !identified && len(c.pieces) == 0 {
		c.rows = nil // time ranges of spans that are there are there, too
	}
	return stored, nil
}
