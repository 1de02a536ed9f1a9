package schema

import (
	"encoding/binary"
	"slices"

	"github.com/ClickHouse/ch-go/proto"
)

// ends holds where each row of an array-like column ends among its elements.
type ends []uint64

// bounds are the elements of rows [from, to).
func (e ends) bounds(from, to int) (int, int) {
	return e.start(from), e.start(to)
}

// start is where a row starts, or, for the row after the last, where that ends.
func (e ends) start(row int) int {
	if row == 0 {
		return 0
	}
	return int(e[row-1])
}

// appendRange adds rows [from, to) of src, for elements that go to offset at.
func (e *ends) appendRange(src ends, from, to, at int) {
	start := src.start(from)
	for _, end := range src[from:to] {
		*e = append(*e, uint64(at+int(end)-start))
	}
}

// encode writes the ends of rows whose elements come after that many others.
func (e ends) encode(b *proto.Buffer, before int) {
	buf := slices.Grow(b.Buf, 8*len(e))
	for _, end := range e {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(before)+end)
	}
	b.Buf = buf
}

// arrays is an Array column. Elements go to elems; end closes the row they are in.
type arrays[E blockColumn] struct {
	ends  ends
	elems E
}

func (c *arrays[E]) end() { c.ends = append(c.ends, uint64(c.elems.rows())) }

// addNumbers adds a row of them.
func addNumbers[T number](c *arrays[*numbers[T]], values []T) {
	c.elems.values = append(c.elems.values, values...)
	c.end()
}

func (c *arrays[E]) rows() int             { return len(c.ends) }
func (c *arrays[E]) size() int             { return 8*len(c.ends) + c.elems.size() }
func (c *arrays[E]) state(b *proto.Buffer) { c.elems.state(b) }

func (c *arrays[E]) reset() {
	c.ends = c.ends[:0]
	c.elems.reset()
}

func (c *arrays[E]) truncate(rows int) {
	c.elems.truncate(c.ends.start(rows))
	c.ends = c.ends[:rows]
}

func (c *arrays[E]) appendRange(src blockColumn, from, to int) {
	s := src.(*arrays[E])
	first, last := s.ends.bounds(from, to)
	c.ends.appendRange(s.ends, from, to, c.elems.rows())
	c.elems.appendRange(s.elems, first, last)
}

func (c *arrays[E]) encode(b *proto.Buffer, all []blockColumn) {
	elems := make([]blockColumn, len(all))
	before := 0
	for i, c := range all {
		c := c.(*arrays[E])
		c.ends.encode(b, before)
		before += c.elems.rows()
		elems[i] = c.elems
	}
	c.elems.encode(b, elems)
}

// maps is a Map(LowCardinality(String), String) column.
type maps struct {
	ends   ends
	keys   lowCard
	values strs
	last   int // where the values of the last row that was added start in values.wire
}

func (c *maps) add(a *attributes) {
	c.last = len(c.values.wire)
	guess := c.guess(a.pairs)
	before := len(c.keys.keys)
	for i, p := range a.pairs {
		if k := guess + i; k < before && c.keys.dict.is(c.keys.keys[k], p.key) {
			c.keys.keys = append(c.keys.keys, c.keys.keys[k])
		} else {
			c.keys.keys = append(c.keys.keys, c.keys.dict.index(p.key))
		}
		c.values.add(p.value)
	}
	c.ends = append(c.ends, uint64(c.keys.rows()))
}

// guess is where keys like those of pairs are: in the row before, or, since maps of two
// kinds may take turns, in the one before that.
func (c *maps) guess(pairs []pair) int {
	n := len(c.ends)
	if n == 0 || len(pairs) == 0 {
		return len(c.keys.keys)
	}
	start := c.ends.start(n - 1)
	if n > 1 && start < len(c.keys.keys) && !c.keys.dict.is(c.keys.keys[start], pairs[0].key) {
		return c.ends.start(n - 2)
	}
	return start
}

// repeat adds the last row, which must have come from add, again.
func (c *maps) repeat(times int) {
	n := len(c.ends)
	first, last := c.ends.bounds(n-1, n)
	pairs, bytes := last-first, len(c.values.wire)-c.last
	c.keys.keys = repeatLast(c.keys.keys, pairs, times)
	c.values.wire = repeatLast(c.values.wire, bytes, times)
	c.values.n += pairs * times
	c.last = len(c.values.wire) - bytes
	for range times {
		last += pairs
		c.ends = append(c.ends, uint64(last))
	}
}

func (c *maps) rows() int             { return len(c.ends) }
func (c *maps) size() int             { return 8*len(c.ends) + c.keys.size() + c.values.size() }
func (c *maps) state(b *proto.Buffer) { c.keys.state(b) }

func (c *maps) reset() {
	c.ends, c.last = c.ends[:0], 0
	c.keys.reset()
	c.values.reset()
}

func (c *maps) truncate(rows int) {
	elems := c.ends.start(rows)
	c.keys.truncate(elems)
	c.values.truncate(elems)
	c.ends = c.ends[:rows]
}

func (c *maps) appendRange(src blockColumn, from, to int) {
	s := src.(*maps)
	first, last := s.ends.bounds(from, to)
	c.ends.appendRange(s.ends, from, to, c.keys.rows())
	c.keys.appendRange(&s.keys, first, last)
	c.values.appendRange(&s.values, first, last)
}

func (c *maps) encode(b *proto.Buffer, all []blockColumn) {
	keys, values := make([]blockColumn, len(all)), make([]blockColumn, len(all))
	before := 0
	for i, c := range all {
		c := c.(*maps)
		c.ends.encode(b, before)
		before += c.keys.rows()
		keys[i], values[i] = &c.keys, &c.values
	}
	c.keys.encode(b, keys)
	c.values.encode(b, values)
}
