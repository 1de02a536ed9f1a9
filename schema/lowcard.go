package schema

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"

	"github.com/ClickHouse/ch-go/proto"
)

// lowCard is a LowCardinality(String) column: a dictionary of the distinct
// values in order of first use, and each row's index into it.
type lowCard struct {
	dict  dictionary
	keys  []uint32
	remap []uint32 // scratch of appendRange
}

func (c *lowCard) add(v []byte) {
	// The values of neighbours are often the same, or take turns.
	for n := len(c.keys); n > max(0, len(c.keys)-2); n-- {
		if c.dict.is(c.keys[n-1], v) {
			c.keys = append(c.keys, c.keys[n-1])
			return
		}
	}
	c.keys = append(c.keys, c.dict.index(v))
}

// repeat adds the last row again.
func (c *lowCard) repeat(times int) { c.keys = repeatLast(c.keys, 1, times) }

func (c *lowCard) rows() int { return len(c.keys) }
func (c *lowCard) size() int { return 4*len(c.keys) + c.dict.size() }

func (c *lowCard) reset() {
	c.keys = c.keys[:0]
	c.dict.truncate(0)
}

// truncate also forgets values that only the dropped rows had, so that what was
// taken back leaves no trace in the block.
func (c *lowCard) truncate(rows int) {
	if rows == len(c.keys) {
		return
	}
	c.keys = c.keys[:rows]
	used := 0
	for _, k := range c.keys {
		used = max(used, int(k)+1)
	}
	c.dict.truncate(used)
}

func (c *lowCard) appendRange(src blockColumn, from, to int) {
	s := src.(*lowCard)
	const unknown = math.MaxUint32
	c.remap = slices.Grow(c.remap[:0], s.dict.len())[:s.dict.len()]
	for i := range c.remap {
		c.remap[i] = unknown
	}
	c.keys = slices.Grow(c.keys, to-from)
	for _, k := range s.keys[from:to] {
		if c.remap[k] == unknown {
			c.remap[k] = c.dict.index(s.dict.value(k))
		}
		c.keys = append(c.keys, c.remap[k])
	}
}

// The header of a LowCardinality column: a version, then for the block's only
// granule flags and the width of the keys.
const (
	lowCardVersion    = 1
	lowCardOwnValues  = 1 << 9  // the values follow
	lowCardNewValues  = 1 << 10 // and replace those of the granule before
	lowCardKeysUInt8  = 0
	lowCardKeysUInt16 = 1
	lowCardKeysUInt32 = 2
)

func (c *lowCard) state(b *proto.Buffer) { b.PutInt64(lowCardVersion) }

func (c *lowCard) encode(b *proto.Buffer, all []blockColumn) {
	rows := 0
	for _, c := range all {
		rows += c.rows()
	}
	if rows == 0 {
		return // as elements of arrays that are all empty
	}
	dict := &c.dict
	if len(all) > 1 {
		dict = new(dictionary)
	}
	remap := make([][]uint32, len(all)) // from the numbers of each one's values to dict's; nil: the same
	for i, c := range all {
		if from := &c.(*lowCard).dict; from != dict {
			remap[i] = dict.addAll(from)
		}
	}
	width := int64(lowCardKeysUInt32)
	switch n := dict.len(); {
	case n <= 1<<8:
		width = lowCardKeysUInt8
	case n <= 1<<16:
		width = lowCardKeysUInt16
	}
	b.PutInt64(lowCardOwnValues | lowCardNewValues | width)
	b.PutInt64(int64(dict.len()))
	dict.encode(b)
	b.PutInt64(int64(rows))
	b.Buf = slices.Grow(b.Buf, rows<<width)
	for i, c := range all {
		b.Buf = appendKeys(b.Buf, c.(*lowCard).keys, remap[i], width)
	}
}

// appendKeys writes keys in that width, each as what remap has in its place unless that is nil.
func appendKeys(dst []byte, keys, remap []uint32, width int64) []byte {
	for _, k := range keys {
		if remap != nil {
			k = remap[k]
		}
		switch width {
		case lowCardKeysUInt8:
			dst = append(dst, uint8(k))
		case lowCardKeysUInt16:
			dst = binary.LittleEndian.AppendUint16(dst, uint16(k))
		default:
			dst = binary.LittleEndian.AppendUint32(dst, k)
		}
	}
	return dst
}

// dictionary numbers distinct values in order of first use. It keeps no pointers
// and, once grown, allocates nothing.
type dictionary struct {
	text  []byte
	ends  []int    // of each value in text
	slots []uint32 // open addressing, at most half full: value index + 1, or 0
}

// seed makes collisions unpredictable. The order of values does not depend on it.
var seed = maphash.MakeSeed()

func (d *dictionary) len() int  { return len(d.ends) }
func (d *dictionary) size() int { return len(d.text) + 8*len(d.ends) + 4*len(d.slots) }

func (d *dictionary) value(i uint32) []byte {
	start := 0
	if i > 0 {
		start = d.ends[i-1]
	}
	return d.text[start:d.ends[i]]
}

// is reports whether v has that number: cheaper than to ask for its number.
func (d *dictionary) is(i uint32, v []byte) bool { return string(d.value(i)) == string(v) }

// index returns the number of v, which is new if it equals len before the call.
func (d *dictionary) index(v []byte) uint32 {
	if 2*len(d.ends) >= len(d.slots) {
		d.rehash(max(8, 2*len(d.slots)))
	}
	slot := d.slot(v)
	if d.slots[slot] == 0 {
		d.text = append(d.text, v...)
		d.ends = append(d.ends, len(d.text))
		d.slots[slot] = uint32(len(d.ends))
	}
	return d.slots[slot] - 1
}

// addAll adds the values of from and returns the number that each has here.
func (d *dictionary) addAll(from *dictionary) []uint32 {
	numbers := make([]uint32, from.len())
	for i := range numbers {
		numbers[i] = d.index(from.value(uint32(i)))
	}
	return numbers
}

// slot is where v is, or where it belongs.
func (d *dictionary) slot(v []byte) int {
	mask := len(d.slots) - 1
	slot := int(maphash.Bytes(seed, v)) & mask
	for d.slots[slot] != 0 && !bytes.Equal(d.value(d.slots[slot]-1), v) {
		slot = (slot + 1) & mask
	}
	return slot
}

func (d *dictionary) rehash(slots int) {
	d.slots = slices.Grow(d.slots[:0], slots)[:slots]
	clear(d.slots)
	for i := range d.ends {
		d.slots[d.slot(d.value(uint32(i)))] = uint32(i) + 1
	}
}

// truncate keeps the first n values.
func (d *dictionary) truncate(n int) {
	if n == len(d.ends) {
		return
	}
	d.ends = d.ends[:n]
	d.text = d.text[:0]
	if n > 0 {
		d.text = d.text[:d.ends[n-1]]
	}
	d.rehash(len(d.slots))
}

func (d *dictionary) encode(b *proto.Buffer) {
	start := 0
	for _, end := range d.ends {
		b.PutLen(end - start)
		b.PutRaw(d.text[start:end])
		start = end
	}
}
