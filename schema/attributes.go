package schema

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// attributes are the key-value pairs of one resource, scope, record or event: added
// in wire form, then finished, which makes them sorted, unique and text. They
// alias the request they came in.
//
// Records of one origin have the same keys in the same order, and many of the same
// values. So what was made of the record before is compared with first: that is
// cheaper than to decode and sort anew.
type attributes struct {
	pairs  []pair  // finished
	in     []added // in the order they came
	before []added // of the record before
	again  int     // how many of in are as before, from the first on

	shapes [4]shape // of records, or of a span's events, which may take turns
	turn   int      // the one after that of the record before
	texts
}

// added is a KeyValue message and what was made of it.
type added struct {
	raw []byte
	pair
	done bool // the value is text, not an AnyValue
}

func (a *attributes) reset() {
	a.pairs = a.pairs[:0]
	a.in, a.before = a.before[:0], a.in
	a.again = 0
	a.texts.reset()
}

// release is reset, and lets go of the request.
func (a *attributes) release() {
	a.pairs, a.in, a.before = released(a.pairs), released(a.in), released(a.before)
	a.texts.release()
}

// released empties a list, and drops it if an unusual request made it large.
func released[T any](list []T) []T {
	const maxKept = 1024
	if cap(list) > maxKept {
		return nil
	}
	clear(list[:cap(list)])
	return list[:0]
}

// add takes a KeyValue message.
func (a *attributes) add(keyValue []byte) error {
	n := len(a.in)
	if n < len(a.before) && a.before[n].done && string(a.before[n].raw) == string(keyValue) {
		a.in = append(a.in, a.before[n])
		if a.again == n {
			a.again++
		}
		return nil
	}
	p, plain := plainPair(keyValue)
	if plain && !utf8.Valid(keyValue) { // what is around key and value is ASCII, and completes no rune
		return errUTF8
	}
	if !plain {
		var err error
		if p, err = openPair(keyValue); err != nil {
			return err
		}
	}
	a.in = append(a.in, added{keyValue, p, plain})
	return nil
}

// plainPair opens a short key with a short string, as most attributes are.
func plainPair(keyValue []byte) (p pair, ok bool) {
	key, rest, ok := first(keyValue, pairKey)
	if !ok {
		return p, false
	}
	value, rest, ok := first(rest, pairValue)
	if !ok || len(rest) > 0 {
		return p, false
	}
	text, ok := shortString(value)
	return pair{key, text}, ok
}

func (a *attributes) finish() error {
	for i := a.again; i < len(a.in); i++ {
		in := &a.in[i]
		if in.done {
			continue
		}
		var err error
		if in.value, err = a.text(in.value); err != nil {
			return err
		}
	}
	s := a.shape()
	if s == nil {
		a.pairs = a.pairs[:0]
		for _, in := range a.in {
			a.pairs = append(a.pairs, in.pair)
		}
		a.pairs = sortPairs(a.pairs)
		return nil
	}
	for _, from := range s.order {
		a.pairs = append(a.pairs, a.in[from].pair)
	}
	return nil
}

// shape returns that of the keys, nil if they have none.
func (a *attributes) shape() *shape {
	turn := func(i int) *shape {
		a.turn = (i + 1) % len(a.shapes)
		return &a.shapes[i]
	}
	for i := range a.shapes {
		if i = (a.turn + i) % len(a.shapes); a.shapes[i].is(a.in) {
			return turn(i)
		}
	}
	if s := turn(a.turn); s.learn(a.in) {
		return s
	}
	return nil
}

// A shape is a list of keys, and the order that sorts it.
type shape struct {
	keys  []byte // one after another
	ends  []int  // of each in keys
	order []int  // where each one in sorted order is
	known bool
}

// What is worth remembering.
const (
	maxShape      = 64 // keys
	maxShapeBytes = 4 << 10
)

func (s *shape) is(in []added) bool {
	if !s.known || len(in) != len(s.ends) {
		return false
	}
	start := 0
	for i, end := range s.ends {
		if string(in[i].key) != string(s.keys[start:end]) {
			return false
		}
		start = end
	}
	return true
}

// learn takes the keys of in, unless they are many or one of them is there twice.
func (s *shape) learn(in []added) bool {
	s.known = false
	s.keys, s.ends, s.order = s.keys[:0], s.ends[:0], s.order[:0]
	if len(in) > maxShape {
		return false
	}
	for i, p := range in {
		if len(s.keys)+len(p.key) > maxShapeBytes {
			return false
		}
		s.keys = append(s.keys, p.key...)
		s.ends = append(s.ends, len(s.keys))
		s.order = append(s.order, i)
	}
	slices.SortFunc(s.order, func(a, b int) int { return bytes.Compare(in[a].key, in[b].key) })
	for i := 1; i < len(s.order); i++ {
		if bytes.Equal(in[s.order[i]].key, in[s.order[i-1]].key) {
			return false
		}
	}
	s.known = true
	return true
}

// set puts an entry among finished attributes, in the place of one with that key.
func (a *attributes) set(key, text []byte) {
	i, found := a.find(key)
	if !found {
		a.pairs = slices.Insert(a.pairs, i, pair{})
	}
	a.pairs[i] = pair{key, text}
}

// get returns the text of a finished attribute, nil if there is none.
func (a *attributes) get(key []byte) []byte {
	if i, found := a.find(key); found {
		return a.pairs[i].value
	}
	return nil
}

// size is what a row of the finished attributes takes in a maps column, about.
func (a *attributes) size() int {
	n := 0
	for _, p := range a.pairs {
		n += 4 + 1 + len(p.value) // key index, length, value
	}
	return n
}

func (a *attributes) find(key []byte) (int, bool) {
	return slices.BinarySearchFunc(a.pairs, key, func(p pair, key []byte) int {
		return bytes.Compare(p.key, key)
	})
}
