package schema

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// Rows are rows of one table that all fall into one partition: what one INSERT
// may carry. They are held as the columns of a Native block. A Rows is not for
// concurrent use.
type Rows struct {
	table     *Table
	partition int32
	columns   []blockColumn // those of an INSERT but for IngestFence, in order

	first, last int64  // of the rows' times, unix ns
	body        uint64 // the last body that rows came from, as its Set counts them
	before      mark   // what was here before that body
	headed      uint64 // the header of the last row, as its Set counts them
	again       int    // rows of that header whose heads are still to be repeated

	// What fills the columns; empty where the table has none of a kind.
	heads      []head
	stream     *lowCard
	seq        *numbers[uint64]
	logs       fillers[logRow]
	spans      fillers[spanRow]
	events     parts[spanEvent]
	links      parts[spanLink]
	points     fillers[pointRow]
	exemplars  parts[exemplar]
	traceTimes traceTimeColumns
}

// mark is a state of a Rows to go back to.
type mark struct {
	rows        int
	first, last int64
}

// NewRows returns an empty Rows.
func NewRows(t *Table, partition int32) *Rows {
	r := &Rows{table: t, partition: partition}
	for _, c := range t.columns {
		if c.fill != nil {
			data := newColumn(c.blockType())
			c.fill(r, data)
			r.columns = append(r.columns, data)
		}
	}
	r.Reset()
	return r
}

// Table is the table the rows are for.
func (r *Rows) Table() *Table { return r.table }

// Partition identifies the partition that all rows fall into: days from
// 1970-01-01 UTC to its first day, which is the rows' day or, for metrics, the
// Monday of their week.
func (r *Rows) Partition() int32 { return r.partition }

// PartitionDate is the first day of the partition, as ClickHouse spells it.
func (r *Rows) PartitionDate() string {
	return time.Unix(int64(r.partition)*int64(day/time.Second), 0).UTC().Format(time.DateOnly)
}

// SameRecord reports whether two rows came from the same log record. Rows without an
// identity did not, and those of a table that is not Identified did.
func (r *Rows) SameRecord(i, j int) bool {
	if r.seq == nil {
		return true
	}
	return r.seq.values[i] == r.seq.values[j] && r.stream.keys[i] == r.stream.keys[j] && len(r.stream.dict.value(r.stream.keys[i])) > 0
}

// A Unit is the rows of one log record in a Rows: those with indexes from From up to, and not
// including, To.
type Unit struct {
	Stream   string // "": rows without identity
	Seq      uint64
	From, To int
}

// Units yields the units in order. There are none in a table that is not Identified.
func (r *Rows) Units() iter.Seq[Unit] {
	return func(yield func(Unit) bool) {
		if r.seq == nil {
			return
		}
		for from, to := 0, 0; from < r.Len(); from = to {
			for to = from + 1; to < r.Len() && r.seq.values[to] == r.seq.values[from] && r.stream.keys[to] == r.stream.keys[from]; to++ {
			}
			if !yield(Unit{string(r.stream.dict.value(r.stream.keys[from])), r.seq.values[from], from, to}) {
				return
			}
		}
	}
}

// Identify writes which rows of which log records the rows [from, to) are. Not ok: some have no
// identity, and the same rows may come again and mean others.
func (r *Rows) Identify(w io.Writer, from, to int) (ok bool) {
	if r.seq == nil {
		return false
	}
	for u := range r.Units() {
		first, end := max(from, u.From), min(to, u.To)
		if first >= end {
			continue
		}
		if u.Stream == "" {
			return false
		}
		// To a hash, which takes everything.
		fmt.Fprintf(w, "%s %d %d %d\n", u.Stream, u.Seq, first-u.From, end-u.From)
	}
	return true
}

// Only returns a copy of the rows of those units, which are in order.
func (r *Rows) Only(units []Unit) *Rows {
	some := NewRows(r.table, r.partition)
	for i := 0; i < len(units); {
		first, last := i, i
		for i++; i < len(units) && units[i].From == units[last].To; i++ {
			last = i
		}
		some.AppendRange(r, units[first].From, units[last].To)
	}
	return some
}

// Len is the number of rows.
func (r *Rows) Len() int { return r.columns[0].rows() }

// Bytes is about what the rows take in memory, and a little more than an encoded
// block of them does.
func (r *Rows) Bytes() int {
	n := 0
	for _, c := range r.columns {
		n += c.size()
	}
	return n
}

// Bounds are the earliest and the latest value of the table's TimeColumn, in unix
// nanoseconds (for DateTime columns before they are cut to the second). After
// AppendRange of a part they may be further apart. They mean nothing when there
// are no rows.
func (r *Rows) Bounds() (first, last int64) { return r.first, r.last }

// AppendRange adds a copy of the rows [from, to) of src, which must be for the
// same table and partition. Its cost grows with the length of src.
func (r *Rows) AppendRange(src *Rows, from, to int) {
	src.mustFit(r)
	if from == to {
		return
	}
	for i, c := range r.columns {
		c.appendRange(src.columns[i], from, to)
	}
	r.first, r.last = min(r.first, src.first), max(r.last, src.last)
	r.headed = 0
}

// Reset drops all rows and keeps the memory.
func (r *Rows) Reset() {
	for _, c := range r.columns {
		c.reset()
	}
	r.first, r.last = math.MaxInt64, math.MinInt64
	r.body, r.headed, r.again = 0, 0, 0
}

// begin remembers what is here as a body's first row arrives.
func (r *Rows) begin(body uint64) {
	r.body = body
	r.before = mark{r.Len(), r.first, r.last}
	r.traceTimes.seen.truncate(0)
}

// head gives the row in the making the columns that it shares with others of its scope.
func (r *Rows) head(h *header) {
	if r.headed == h.stamp {
		r.again++
		return
	}
	r.repeatHeads()
	for _, c := range r.heads {
		c.add(h)
	}
	r.headed = h.stamp
}

// repeatHeads makes up for the rows that head only counted.
func (r *Rows) repeatHeads() {
	if r.again == 0 {
		return
	}
	for _, c := range r.heads {
		c.column.repeat(r.again)
	}
	r.again = 0
}

// rollback drops what came since begin, a row in the making included.
func (r *Rows) rollback() {
	for _, c := range r.columns {
		c.truncate(r.before.rows)
	}
	r.first, r.last = r.before.first, r.before.last
	r.headed, r.again = 0, 0
}

// note widens the time bounds.
func (r *Rows) note(at instant) {
	r.first, r.last = min(r.first, at.nanos), max(r.last, at.nanos)
}

var errNoRows = errors.New("encode a block of no rows: the server would accept and ignore it")

var errNoFence = errors.New("encode a block without a fence: nothing would end the attempt")

// Encode appends all rows, of one table and partition, to b as one block of
// ClickHouse's Native format, as it is up to revision 54453 (no block info, no
// serialization flags), with columns in the order of InsertColumns. The server
// refuses the block when its clock is past fence, in unix seconds; tables that are not
// Identified ignore fence. On an error b is as it was.
func Encode(b *proto.Buffer, fence uint32, all ...*Rows) error {
	rows := 0
	for _, r := range all {
		r.mustFit(all[0])
		rows += r.Len()
	}
	if rows == 0 {
		return errNoRows
	}
	t := all[0].table
	if t.identified && fence == 0 {
		return errNoFence
	}
	start := len(b.Buf)
	b.PutInt(t.inserts())
	b.PutInt(rows)
	next := 0
	columns := make([]blockColumn, len(all))
	for _, c := range t.columns {
		if !c.inserted() {
			continue
		}
		b.PutString(c.name)
		b.PutString(c.blockType())
		if c.name == fenceColumn {
			b.Buf = slices.Grow(b.Buf, 4*rows)
			for range rows {
				b.Buf = binary.LittleEndian.AppendUint32(b.Buf, fence)
			}
			continue
		}
		n := 0
		for i, r := range all {
			columns[i] = r.columns[next]
			n += columns[i].rows()
		}
		if n != rows {
			b.Buf = b.Buf[:start]
			return fmt.Errorf("column %s of %s has %d rows of %d", c.name, t.name, n, rows)
		}
		columns[0].state(b)
		columns[0].encode(b, columns)
		next++
	}
	return nil
}

// mustFit panics unless the rows may be in one block with those of other.
func (r *Rows) mustFit(other *Rows) {
	if r.table != other.table || r.partition != other.partition {
		panic(fmt.Sprintf("BUG: rows of %s, partition %d, do not belong to %s, partition %d",
			r.table.name, r.partition, other.table.name, other.partition))
	}
}
