package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
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

// before orders runs by their streams and numbers.
func (r run) before(o run) int {
	return cmp.Or(cmp.Compare(r.stream, o.stream), cmp.Compare(r.first, o.first))
}

// runs are in order.
type runs []run

// find is the run that has a record, nil if none has.
func (r runs) find(stream string, seq uint64) *run {
	i, found := slices.BinarySearchFunc(r, run{stream: stream, first: seq}, run.before)
	if !found {
		i-- // the last one that begins before it
	}
	if i < 0 || r[i].stream != stream || r[i].last < seq {
		return nil
	}
	return &r[i]
}

// meet says whether the two have a record in common.
func (r runs) meet(o runs) bool {
	for len(r) > 0 && len(o) > 0 {
		switch {
		case r[0].stream == o[0].stream && r[0].first <= o[0].last && o[0].first <= r[0].last:
			return true
		case r[0].before(o[0]) < 0:
			r = r[1:]
		default:
			o = o[1:]
		}
	}
	return false
}

// A name is a record's identity.
type name struct {
	stream string
	seq    uint64
}

// name gives the caller a record's identity and fences. It says whether the caller has it already.
func (c *caller) name(stream string, m *forward.Marker, repeated bool) (twice bool) {
	after := m.After
	if repeated {
		after = max(after, m.Until, 1)
	}
	if after > 0 {
		if _, twice = c.again[name{stream, m.Seq}]; twice {
			return true
		}
		if c.again == nil {
			c.again = make(map[name]struct{})
		}
		c.again[name{stream, m.Seq}] = struct{}{}
	}
	if m.Until > 0 && (c.until == 0 || m.Until < c.until) {
		c.until = m.Until
	}
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
	streams map[string]map[*caller]struct{}
}

// enter adds c, and returns those who came before it with records that it has, too.
func (u *underway) enter(c *caller) (before []*caller) {
	slices.SortFunc(c.runs, run.before)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.streams == nil {
		u.streams = make(map[string]map[*caller]struct{})
	}
	others := make(map[*caller]struct{}) // with streams that it has
	for stream := range c.streams() {
		there := u.streams[stream]
		if there == nil {
			there = make(map[*caller]struct{})
			u.streams[stream] = there
		}
		if len(c.again) > 0 { // what is fresh is nowhere else
			maps.Copy(others, there)
		}
		there[c] = struct{}{}
	}
	for o := range others {
		if c.runs.meet(o.runs) {
			before = append(before, o)
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
	for stream := range c.streams() {
		if delete(u.streams[stream], c); len(u.streams[stream]) == 0 {
			delete(u.streams, stream)
		}
	}
}

// streams yields those of c's records, each once.
func (c *caller) streams() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i, r := range c.runs {
			if (i == 0 || c.runs[i-1].stream != r.stream) && !yield(r.stream) {
				return
			}
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
	var known runs
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
	slices.SortFunc(known, run.before)
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
func (c *caller) sought(rows *schema.Rows, known runs) (sought []schema.Sought) {
	since, till := rows.Bounds()
	var last *run
	for u := range rows.Units() {
		r := c.runs.find(u.Stream, u.Seq)
		if r == nil || r.after == 0 || known.find(u.Stream, u.Seq) != nil {
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
func (c *caller) drop(known runs, l *lookup) (stored int, err error) {
	var left []*schema.Rows
	identified := false
	wait := time.Duration(0)
	for _, rows := range c.rows {
		var keep []schema.Unit
		there, pieces := 0, 0
		for u := range rows.Units() {
			n := u.To - u.From
			r := c.runs.find(u.Stream, u.Seq)
			if r == nil || r.after == 0 {
				keep = append(keep, u)
				continue
			}
			found := l.found[unit{rows.Table(), u.Stream, u.Seq, rows.Partition()}]
			switch {
			case known.find(u.Stream, u.Seq) != nil || found >= n:
				there += n
			case !l.at.settled(rows.Table(), r.after):
				wait = max(wait, l.at.waitFor(r.after))
			case found == 0:
				keep = append(keep, u)
			default: // some of them
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
