package lines

import "bytes"

// A program writes the same keys in the same order over and over. After each key of a line stands
// a guess at what follows its value; if it is right, the next key is not read but compared.

// A guess is a key with all that stands around it, from the end of the value before it, or the
// beginning of the line, to its own value.
type guess struct {
	raw     []byte // `, "level": `
	name    []byte // in raw
	quote   int    // where its first quote is in raw
	hash    uint
	meaning *field
	next    uint8 // what came after it the last time
}

const maxGuess = 64 // bytes

// guesses are found by the hash of their key. The first one is no key but the beginning of a line.
type guesses [64]guess

// after returns what came after last the last time, and steps over it if the text goes on with it.
func (gs *guesses) after(last uint8, s *scanner) (g *guess, right bool) {
	g = &gs[gs[last].next]
	if len(g.raw) == 0 || s.fault != "" || (g.raw[0] == '{') != (last == 0) || !bytes.HasPrefix(s.text[s.at:], g.raw) {
		return g, false
	}
	s.at += len(g.raw)
	return g, true
}

// learn notes that the key came after last, and what it means in keys. raw is the key with what stands around it, and
// starts at start.
func (gs *guesses) learn(keys *vocabulary, last uint8, raw []byte, start int, key token, name []byte) *guess {
	h := hash(name)
	at := uint8(1 + h%uint(len(gs)-1))
	gs[last].next = at
	g := &gs[at]
	g.raw, g.name = g.raw[:0], nil // no guess
	if key.form == plain && len(raw) <= maxGuess {
		g.raw = append(g.raw, raw...)
		g.name = g.raw[key.start-start : key.end-start]
	}
	g.quote, g.hash, g.meaning = key.start-1-start, h, keys.meaning(name, h)
	return g
}
