package clickhouse

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/schema"
)

// A block is one INSERT: rows of one table and partition, from one or several callers. Only the
// goroutine that stores it uses it.
type block struct {
	loads []load
	piece bool     // some of its rows are stored already, see store
	err   error    // of rows that are not stored, and may be next time
	bad   []badRow // that ClickHouse refuses
}

// A load is one caller's rows in a block.
type load struct {
	caller *caller
	rows   *schema.Rows // the caller's
	at     span         // their place in the block
}

// A span of rows of a block: from, and up to but not including to.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// and is what both have.
func (s span) and(o span) span {
	return span{max(s.from, o.from), max(s.from, o.from, min(s.to, o.to))}
}

// A badRow is refused by ClickHouse, whoever sends it.
type badRow struct {
	row int
	err error
}

func (b *block) all() span { return span{0, b.loads[len(b.loads)-1].at.to} }

func (b *block) table() *schema.Table { return b.loads[0].rows.Table() }

// rows are those of a span: the callers' own, but for a caller's of which only some are in it.
func (b *block) rows(s span) (all []*schema.Rows) {
	for _, l := range b.loads {
		switch part := s.and(l.at); {
		case part.len() == 0:
		case part == l.at:
			all = append(all, l.rows)
		default:
			some := schema.NewRows(l.rows.Table(), l.rows.Partition())
			some.AppendRange(l.rows, part.from-l.at.from, part.to-l.at.from)
			all = append(all, some)
		}
	}
	return all
}

// token is what the server knows the INSERT of a span by. Rows are a function of their records, so
// records and rows name the block, whenever and by whomever it is sent; rows without identity are
// new each time they come.
func (b *block) token(s span) string {
	h := sha256.New()
	rows := b.loads[0].rows
	fmt.Fprintf(h, "%s %s %d\n", rows.Table().Name(), rows.PartitionDate(), schema.CurrentVersion)
	for _, l := range b.loads {
		if part := s.and(l.at); part.len() > 0 && !l.rows.Identify(h, part.from-l.at.from, part.to-l.at.from) {
			return rand.Text()
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// merge puts the callers' rows into blocks.
func merge(callers []*caller) (blocks []*block) {
	type bucket struct {
		table     *schema.Table
		partition int32
	}
	byBucket := make(map[bucket]*block)
	for _, c := range callers {
		for _, rows := range c.pieces {
			blocks = append(blocks, &block{piece: true, loads: []load{{c, rows, span{0, rows.Len()}}}})
			c.pending++
		}
		for _, rows := range c.rows {
			key := bucket{rows.Table(), rows.Partition()}
			b, start := byBucket[key], 0
			if b == nil {
				b = new(block)
				byBucket[key] = b
				blocks = append(blocks, b)
			} else {
				start = b.all().to
			}
			b.loads = append(b.loads, load{c, rows, span{start, start + rows.Len()}})
			c.pending++
		}
	}
	return blocks
}

// stages parts the blocks into those that must be visible first, and the others.
func stages(blocks []*block) (first, then []*block) {
	for _, b := range blocks {
		if b.table().Identified() {
			then = append(then, b)
		} else {
			first = append(first, b)
		}
	}
	return first, then
}

// cut is where to part a span, between two callers if it has rows of several, else between two
// records, else between two rows; near the middle.
func (b *block) cut(s span) int {
	middle := s.from + s.len()/2
	best := -1
	consider := func(at int) {
		if at > s.from && at < s.to && (best < 0 || abs(at-middle) < abs(best-middle)) {
			best = at
		}
	}
	for _, l := range b.loads {
		consider(l.at.to)
	}
	if best < 0 {
		l := b.loadOf(s.from) // all of s is one caller's
		for at := s.from + 1; at < s.to; at++ {
			if !l.rows.SameRecord(at-1-l.at.from, at-l.at.from) {
				consider(at)
			}
		}
	}
	if best < 0 {
		return middle
	}
	return best
}

func (b *block) loadOf(row int) load {
	i := slices.IndexFunc(b.loads, func(l load) bool { return row < l.at.to })
	return b.loads[i]
}

func abs(n int) int { return max(n, -n) }

// fail notes that rows are not stored, or not known to be.
func (b *block) fail(s span, err error) {
	_, unsure := errors.AsType[*unsureError](err)
	unsure = unsure || classify(err) == heavy // memory can run out after the rows are in, too
	err = fmt.Errorf("%s: %w", b.table().Name(), err)
	b.err = errors.Join(b.err, err)
	for _, l := range b.loads {
		if s.and(l.at).len() > 0 {
			l.caller.fail(err, unsure && b.table().Identified())
		}
	}
}

// stored notes that rows are.
func (b *block) stored(s span) {
	for _, l := range b.loads {
		if s.and(l.at).len() > 0 && b.table().Identified() {
			l.caller.stored()
		}
	}
}

// errStorm says that refusing rows would throw away data over a fault of the table.
var errStorm = fmt.Errorf("more than %d rows of one block are refused, which is taken for a fault of the table, not of the rows", maxBad)

// settle tells the callers that the block is done. Rows are refused only now, when it is known
// that they are few.
func (b *block) settle() {
	for _, bad := range b.bad {
		if len(b.bad) > maxBad {
			b.fail(span{bad.row, bad.row + 1}, fmt.Errorf("%w: %w", errStorm, bad.err))
			continue
		}
		l := b.loadOf(bad.row)
		l.caller.refuse(fmt.Errorf("%s: row %d of %d of partition %s: %w", b.table().Name(),
			bad.row-l.at.from+1, l.at.len(), l.rows.PartitionDate(), bad.err))
	}
	for _, l := range b.loads {
		l.caller.settle()
	}
}

// An outcome is what became of a caller's rows, so far.
type outcome struct {
	mu      sync.Mutex
	pending int   // blocks with rows of it that are not done
	err     error // of rows that are not stored
	taken   bool  // some rows are stored, or may be
	refused int   // rows
	why     error // of the first of them
}

// maxReasons is how many refused rows are named in an answer.
const maxReasons = 10

func (o *outcome) fail(err error, unsure bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = errors.Join(o.err, err)
	o.taken = o.taken || unsure
}

func (o *outcome) stored() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.taken = true
}

func (o *outcome) refuse(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.refused++; o.refused <= maxReasons {
		o.why = errors.Join(o.why, err)
	}
}

// settle notes that one of the caller's blocks is done, and answers after the last one.
func (c *caller) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending--; c.pending == 0 {
		c.done <- c.answer() // which has room for it
	}
}

func (c *caller) answer() error {
	switch {
	case c.err != nil:
		return &forward.BusyError{After: heldFor(c.err), NotTaken: !c.taken, Err: c.err}
	case c.refused > 0 && c.refused == c.items:
		return &forward.RefusedError{Reason: forward.ReasonRejected, Err: c.why}
	case c.refused > 0:
		return &forward.PartialError{Items: c.refused, Reason: forward.ReasonRejected, Err: c.why}
	}
	return nil
}
