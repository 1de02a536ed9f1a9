package schema

import (
	"bytes"
	"slices"
)

// attributes are the key-value pairs of one resource, scope, record or event: added
// in wire form, then finished, which makes them sorted, unique and text. They
// alias the request they came in.
type attributes struct {
	pairs  []pair
	shape  shape
	sorted []pair // scratch of sort
	texts
}

func (a *attributes) reset() {
	a.pairs = a.pairs[:0]
	a.texts.reset()
}

// release is reset, and lets go of the request.
func (a *attributes) release() {
	a.pairs = released(a.pairs)
	a.sorted = released(a.sorted)
	a.texts.release()
}

// released empties a stack of pairs, and drops it if an unusual request made it large.
func released(pairs []pair) []pair {
	const maxKept = 1024
	if cap(pairs) > maxKept {
		return nil
	}
	clear(pairs[:cap(pairs)])
	return pairs[:0]
}

// add takes a KeyValue message.
func (a *attributes) add(keyValue []byte) error {
	p, err := openPair(keyValue)
	a.pairs = append(a.pairs, p)
	return err
}

func (a *attributes) finish() error {
	a.sort()
	for i := range a.pairs {
		text, err := a.text(a.pairs[i].value)
		if err != nil {
			return err
		}
		a.pairs[i].value = text
	}
	return nil
}

// sort makes the pairs sorted and unique. Records of one origin have the same keys in
// the same order, and comparing them is cheaper than sorting them.
func (a *attributes) sort() {
	if !a.shape.is(a.pairs) {
		a.shape.learn(a.pairs)
		a.pairs = sortPairs(a.pairs)
		return
	}
	if a.shape.order == nil {
		return
	}
	a.sorted = a.sorted[:0]
	for _, from := range a.shape.order {
		a.sorted = append(a.sorted, a.pairs[from])
	}
	a.pairs, a.sorted = a.sorted, a.pairs
}

// A shape is a list of keys, and the order that sorts it.
type shape struct {
	keys  []byte // one after another
	ends  []int  // of each in keys
	order []int  // where each one in sorted order is; nil: sorted already
	place []int  // memory of order
	known bool
}

// maxShape is how many keys, and bytes of keys, are worth remembering.
const maxShape = 64

func (s *shape) is(pairs []pair) bool {
	if !s.known || len(pairs) != len(s.ends) {
		return false
	}
	start := 0
	for i, end := range s.ends {
		if string(pairs[i].key) != string(s.keys[start:end]) {
			return false
		}
		start = end
	}
	return true
}

// learn takes the keys of pairs that are not sorted yet. Lists in which one is there
// twice are not learnt.
func (s *shape) learn(pairs []pair) {
	s.known = false
	if len(pairs) > maxShape {
		return
	}
	s.keys, s.ends = s.keys[:0], s.ends[:0]
	order := s.place[:0]
	for i, p := range pairs {
		s.keys = append(s.keys, p.key...)
		s.ends = append(s.ends, len(s.keys))
		order = append(order, i)
	}
	if len(s.keys) > maxShape<<10 {
		return
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(pairs[a].key, pairs[b].key) })
	s.known, s.order = true, nil
	for i, from := range order {
		if i > 0 && bytes.Equal(pairs[from].key, pairs[order[i-1]].key) {
			s.known = false
			return
		}
		if from != i {
			s.order = order
		}
	}
	s.place = order
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
