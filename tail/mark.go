package tail

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
)

// A mark is how far a source with a name has come, in words of its own. Marks may become durable
// in any order: of a name's marks the one with the highest number counts.
type mark struct {
	name   string
	number uint64
	value  []byte
}

const (
	maxMarks     = 1024 // names; beyond that a new one is not kept, and its source begins anew at a restart
	maxMarkName  = 1024 // bytes
	maxMarkValue = 4096 // bytes
)

// AppendMark appends a cursor that says: the source of that name has come as far as value. It
// panics if the name or the value is longer than a cursor may hold: 1024 and 4096 bytes.
func AppendMark(dst []byte, name string, number uint64, value []byte) []byte {
	if len(name) > maxMarkName || len(value) > maxMarkValue {
		panic("BUG: a mark is too long")
	}
	dst = append(dst, cursorVersion, kindMark)
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	dst = append(dst, name...)
	dst = binary.LittleEndian.AppendUint64(dst, number)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// decodeMark takes the place of decodeCursor for a mark. It keeps nothing of b.
func decodeMark(b []byte) (m mark, ok bool) {
	r := cursorReader{b: b}
	if r.byte() != cursorVersion || r.byte() != kindMark {
		return mark{}, false
	}
	m.name = string(r.bytes(r.count(maxMarkName)))
	m.number = r.u64()
	m.value = bytes.Clone(r.bytes(r.count(maxMarkValue)))
	return m, !r.bad && len(r.b) == 0
}

// Mark is the one with the highest number that is safe of the source of that name.
func (p *Positions) Mark(name string) (number uint64, value []byte, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.marks[name]
	return m.number, bytes.Clone(m.value), ok
}

// needs mu
func (p *Positions) mark(m mark) {
	old, known := p.marks[m.name]
	if known && m.number < old.number || !known && len(p.marks) >= maxMarks {
		return
	}
	if p.marks == nil {
		p.marks = make(map[string]mark)
	}
	p.marks[m.name] = m
}

// appendMarks appends their number, and for each the length of its cursor and the cursor. Needs mu.
func (p *Positions) appendMarks(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(p.marks)))
	var one []byte
	for _, name := range slices.Sorted(maps.Keys(p.marks)) {
		m := p.marks[name]
		one = AppendMark(one[:0], m.name, m.number, m.value)
		dst = binary.AppendUvarint(dst, uint64(len(one)))
		dst = append(dst, one...)
	}
	return dst
}

// marks reads what appendMarks wrote.
func (r *cursorReader) marks() (all []mark) {
	for range r.count(maxMarks) {
		m, ok := decodeMark(r.bytes(r.count(len(r.b))))
		if !ok {
			r.bad = true
			return nil
		}
		all = append(all, m)
	}
	return all
}
