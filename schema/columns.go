package schema

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// blockColumn is the data of one column of a Native block. Columns only grow, at
// the end; a row in the making may leave some of them longer than others, until
// truncate evens them out.
type blockColumn interface {
	rows() int
	size() int // bytes held, about

	// appendRange copies rows [from, to) of src, a column of the same type.
	appendRange(src blockColumn, from, to int)
	truncate(rows int)
	reset()

	// state writes what Native puts before the data of a column, nested or not.
	state(*proto.Buffer)
	// encode writes the data of all, columns of the same type of which this is the
	// first, as one column.
	encode(b *proto.Buffer, all []blockColumn)
}

// newColumn makes an empty column of a ClickHouse type out of those the tables use.
func newColumn(typ string) blockColumn {
	switch typ {
	case "UInt8", "Bool":
		return &numbers[uint8]{}
	case "Date":
		return &numbers[uint16]{}
	case "DateTime", "UInt32":
		return &numbers[uint32]{}
	case "Int32":
		return &numbers[int32]{}
	case "UInt64":
		return &numbers[uint64]{}
	case "DateTime64(9)", "Int64":
		return &numbers[int64]{}
	case "Float64":
		return &numbers[float64]{}
	case "String":
		return &strs{}
	case "LowCardinality(String)":
		return &lowCard{}
	case "Map(LowCardinality(String), String)":
		return &maps{}
	}
	if elem, ok := strings.CutPrefix(typ, "Array("); ok {
		switch elem := newColumn(strings.TrimSuffix(elem, ")")).(type) {
		case *numbers[uint32]:
			return &arrays[*numbers[uint32]]{elems: elem}
		case *numbers[uint64]:
			return &arrays[*numbers[uint64]]{elems: elem}
		case *numbers[int64]:
			return &arrays[*numbers[int64]]{elems: elem}
		case *numbers[float64]:
			return &arrays[*numbers[float64]]{elems: elem}
		case *strs:
			return &arrays[*strs]{elems: elem}
		case *lowCard:
			return &arrays[*lowCard]{elems: elem}
		case *maps:
			return &arrays[*maps]{elems: elem}
		}
	}
	panic(fmt.Sprintf("BUG: no column for type %s", typ))
}

// number is a fixed-width value.
type number interface {
	uint8 | uint16 | uint32 | int32 | uint64 | int64 | float64
}

// numbers is a column of fixed-width values.
type numbers[T number] struct {
	values []T
}

func (c *numbers[T]) add(v T)             { c.values = append(c.values, v) }
func (c *numbers[T]) repeat(times int)    { c.values = repeatLast(c.values, 1, times) }
func (c *numbers[T]) rows() int           { return len(c.values) }
func (c *numbers[T]) size() int           { return binary.Size(c.values) }
func (c *numbers[T]) truncate(rows int)   { c.values = c.values[:rows] }
func (c *numbers[T]) reset()              { c.values = c.values[:0] }
func (c *numbers[T]) state(*proto.Buffer) {}

func (c *numbers[T]) appendRange(src blockColumn, from, to int) {
	c.values = append(c.values, src.(*numbers[T]).values[from:to]...)
}

func (c *numbers[T]) encode(b *proto.Buffer, all []blockColumn) {
	for _, c := range all {
		// No error: the width of every T is known.
		b.Buf, _ = binary.Append(b.Buf, binary.LittleEndian, c.(*numbers[T]).values)
	}
}

// strs is a String column, held in the form that Native gives it: length and
// bytes, one after another. Whole columns move by memcpy; finding one row in the
// middle means walking there, which only truncate and a partial appendRange do.
type strs struct {
	wire []byte
	n    int
	last int // where the last row that was added starts in wire

	soughtRow, soughtAt int // what offset found last
}

func (c *strs) add(v []byte) {
	c.last = len(c.wire)
	c.wire = binary.AppendUvarint(c.wire, uint64(len(v)))
	c.wire = append(c.wire, v...)
	c.n++
}

// addHex adds an id in hexadecimal; one that is absent or zero as "".
func (c *strs) addHex(id []byte) {
	c.last = len(c.wire)
	c.n++
	if isZero(id) {
		c.wire = append(c.wire, 0)
		return
	}
	c.wire = append(c.wire, byte(2*len(id))) // ids are short: one byte of length
	for _, b := range id {
		c.wire = binary.LittleEndian.AppendUint16(c.wire, hexDigits[b])
	}
}

// hexDigits are the two digits of each byte.
var hexDigits = func() (digits [256]uint16) {
	for b := range digits {
		digits[b] = binary.LittleEndian.Uint16(hex.AppendEncode(nil, []byte{byte(b)}))
	}
	return digits
}()

// repeat adds the last row, which must have come from add, again.
func (c *strs) repeat(times int) {
	n := len(c.wire) - c.last
	c.wire = repeatLast(c.wire, n, times)
	c.last = len(c.wire) - n
	c.n += times
}

// repeatLast appends the last n values again and again.
func repeatLast[T any](values []T, n, times int) []T {
	if n == 0 {
		return values
	}
	from := len(values) - n
	values = slices.Grow(values, n*times)[:from+n*(times+1)]
	for have := n; have < n*(times+1); {
		have += copy(values[from+have:], values[from:from+have])
	}
	return values
}

func (c *strs) rows() int           { return c.n }
func (c *strs) size() int           { return len(c.wire) }
func (c *strs) reset()              { *c = strs{wire: c.wire[:0]} }
func (c *strs) state(*proto.Buffer) {}

func (c *strs) encode(b *proto.Buffer, all []blockColumn) {
	for _, c := range all {
		b.PutRaw(c.(*strs).wire)
	}
}

func (c *strs) truncate(rows int) {
	c.wire, c.n = c.wire[:c.offset(rows)], rows
	c.soughtRow, c.soughtAt = 0, 0
}

func (c *strs) appendRange(src blockColumn, from, to int) {
	s := src.(*strs)
	start := s.offset(from)
	c.wire = append(c.wire, s.wire[start:s.offset(to)]...)
	c.n += to - from
}

// offset is where a row starts in wire. It is cheap for rows in rising order.
func (c *strs) offset(row int) int {
	if row == c.n {
		return len(c.wire)
	}
	if row < c.soughtRow {
		c.soughtRow, c.soughtAt = 0, 0
	}
	for ; c.soughtRow < row; c.soughtRow++ {
		n, width := binary.Uvarint(c.wire[c.soughtAt:])
		c.soughtAt += width + int(n)
	}
	return c.soughtAt
}

func isZero(id []byte) bool {
	for _, b := range id {
		if b != 0 {
			return false
		}
	}
	return true
}
