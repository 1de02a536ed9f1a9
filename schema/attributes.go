package schema

import (
	"bytes"
	"slices"
)

// attributes are the key-value pairs of one resource, scope, record or event: added
// in wire form, then finished, which makes them sorted, unique and text. They
// alias the request they came in.
type attributes struct {
	pairs []pair
	texts
}

func (a *attributes) reset() {
	a.pairs = a.pairs[:0]
	a.texts.reset()
}

// release is reset, and lets go of the request.
func (a *attributes) release() {
	a.pairs = released(a.pairs)
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
	a.pairs = sortPairs(a.pairs)
	for i := range a.pairs {
		text, err := a.text(a.pairs[i].value)
		if err != nil {
			return err
		}
		a.pairs[i].value = text
	}
	return nil
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
