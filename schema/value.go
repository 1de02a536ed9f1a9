package schema

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Fields of AnyValue.
const (
	valueString = 1<<3 | delimited
	valueBool   = 2<<3 | varint
	valueInt    = 3<<3 | varint
	valueDouble = 4<<3 | fixed64
	valueArray  = 5<<3 | delimited
	valueMap    = 6<<3 | delimited
	valueBytes  = 7<<3 | delimited
)

// maxDepth is how deep arrays and maps may nest. The OTLP receivers in use accept
// far less; it only keeps garbage off the stack.
const maxDepth = 1000

var errDepth = fmt.Errorf("values nest deeper than %d", maxDepth)

// anyValue is an AnyValue, opened one level.
type anyValue struct {
	kind  uint32 // one of the tags above; 0 is no value
	value uint64
	bytes []byte
}

// shortString returns the string of an AnyValue that is one and nothing else, as most are,
// without a look at whether it is UTF-8.
func shortString(raw []byte) (s []byte, ok bool) {
	s, rest, ok := first(raw, valueString)
	return s, ok && len(rest) == 0
}

func openValue(raw []byte) (anyValue, error) {
	var v anyValue
	c := walk(raw)
	for c.next() {
		switch c.tag {
		case valueString:
			v = anyValue{kind: valueString, bytes: c.text()}
		case valueArray, valueMap, valueBytes:
			v = anyValue{kind: c.tag, bytes: c.bytes}
		case valueBool, valueInt, valueDouble:
			v = anyValue{kind: c.tag, value: c.value}
		}
	}
	return v, c.err
}

// texts turns values into text. Its results live until reset, or as long as the
// value they were made from, whichever is shorter.
type texts struct {
	arena []byte
	open  []pair // a stack: the entries of the maps that are being written
}

// maxArena is how much memory is kept from one request to the next.
const maxArena = 64 << 10

func (t *texts) reset() { t.arena, t.open = t.arena[:0], t.open[:0] }

// release also lets go of the bytes that values came in.
func (t *texts) release() {
	t.reset()
	t.open = released(t.open)
	if cap(t.arena) > maxArena {
		t.arena = nil
	}
}

// text returns the text of an AnyValue. A string's text is the string itself.
func (t *texts) text(raw []byte) ([]byte, error) {
	v, err := openValue(raw)
	if err != nil {
		return nil, err
	}
	start := len(t.arena)
	switch v.kind {
	case valueString:
		return v.bytes, nil
	case valueBytes:
		t.arena = base64.StdEncoding.AppendEncode(t.arena, v.bytes)
	case valueDouble:
		t.arena = appendFloat(t.arena, math.Float64frombits(v.value))
	case 0:
	default:
		t.arena, err = t.appendJSON(t.arena, v, 0)
	}
	if err != nil {
		return nil, err
	}
	return t.arena[start:len(t.arena):len(t.arena)], nil
}

func (t *texts) appendJSON(dst []byte, v anyValue, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	switch v.kind {
	case valueString:
		return appendJSONString(dst, v.bytes), nil
	case valueBool:
		return strconv.AppendBool(dst, v.value != 0), nil
	case valueInt:
		return strconv.AppendInt(dst, int64(v.value), 10), nil
	case valueDouble:
		return appendJSONFloat(dst, math.Float64frombits(v.value)), nil
	case valueArray:
		return t.appendJSONArray(dst, v.bytes, depth)
	case valueMap:
		return t.appendJSONMap(dst, v.bytes, depth)
	case valueBytes:
		if len(v.bytes) > 0 {
			dst = append(dst, '"')
			dst = base64.StdEncoding.AppendEncode(dst, v.bytes)
			return append(dst, '"'), nil
		}
	}
	return append(dst, "null"...), nil
}

func (t *texts) appendJSONArray(dst, array []byte, depth int) ([]byte, error) {
	const arrayValues = 1<<3 | delimited
	dst = append(dst, '[')
	empty := len(dst)
	c := walk(array)
	for c.next() {
		if c.tag != arrayValues {
			continue
		}
		v, err := openValue(c.bytes)
		if err != nil {
			return nil, err
		}
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		if dst, err = t.appendJSON(dst, v, depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), c.err
}

func (t *texts) appendJSONMap(dst, list []byte, depth int) ([]byte, error) {
	const mapValues = 1<<3 | delimited
	base := len(t.open)
	c := walk(list)
	for c.next() {
		if c.tag == mapValues {
			p, err := openPair(c.bytes)
			if err != nil {
				return nil, err
			}
			t.open = append(t.open, p)
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	n := len(sortPairs(t.open[base:]))
	dst = append(dst, '{')
	for i := range n {
		p := t.open[base+i] // by index: the stack grows, and may move, below
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, p.key)
		dst = append(dst, ':')
		v, err := openValue(p.value)
		if err != nil {
			return nil, err
		}
		if dst, err = t.appendJSON(dst, v, depth+1); err != nil {
			return nil, err
		}
	}
	t.open = t.open[:base]
	return append(dst, '}'), nil
}

// pair is an attribute: its key, and its value as an AnyValue or as text.
type pair struct {
	key, value []byte
}

// Fields of KeyValue.
const (
	pairKey   = 1<<3 | delimited
	pairValue = 2<<3 | delimited
)

func openPair(keyValue []byte) (pair, error) {
	if key, rest, ok := first(keyValue, pairKey); ok && utf8.Valid(key) {
		if value, rest, ok := first(rest, pairValue); ok && len(rest) == 0 {
			return pair{key, value}, nil
		}
	}
	var p pair
	c := walk(keyValue)
	for c.next() {
		switch c.tag {
		case pairKey:
			p.key = c.text()
		case pairValue:
			p.value = c.bytes
		}
	}
	return p, c.err
}

// sortPairs sorts by key in place and keeps the last of those with equal keys.
func sortPairs(pairs []pair) []pair {
	byKey := func(a, b pair) int { return bytes.Compare(a.key, b.key) }
	slices.SortStableFunc(pairs, byKey)
	kept := 0
	for i := range pairs {
		if i+1 < len(pairs) && bytes.Equal(pairs[i].key, pairs[i+1].key) {
			continue
		}
		pairs[kept] = pairs[i]
		kept++
	}
	return pairs[:kept]
}

// appendFloat writes a number as JavaScript and JSON do.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	abs := math.Abs(f)
	if abs == 0 || 1e-6 <= abs && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 is e-9
		dst = dst[:n-1]
	}
	return dst
}

// appendJSONFloat writes what JSON has no number for as a string.
func appendJSONFloat(dst []byte, f float64) []byte {
	if !math.IsNaN(f) && !math.IsInf(f, 0) {
		return appendFloat(dst, f)
	}
	dst = append(dst, '"')
	return append(appendFloat(dst, f), '"')
}

// appendJSONString writes s as encoding/json does with HTML escaping off.
func appendJSONString(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for len(s) > 0 {
		plain := 0
		for plain < len(s) && s[plain] >= ' ' && s[plain] < utf8.RuneSelf && s[plain] != '"' && s[plain] != '\\' {
			plain++
		}
		dst = append(dst, s[:plain]...)
		if s = s[plain:]; len(s) == 0 {
			break
		}
		r, width := utf8.DecodeRune(s)
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\b':
			dst = append(dst, '\\', 'b')
		case r == '\f':
			dst = append(dst, '\\', 'f')
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		case r == utf8.RuneError && width == 1:
			dst = append(dst, `\ufffd`...)
		case r == '\u2028' || r == '\u2029': // line ends in JavaScript
			dst = append(dst, '\\', 'u', '2', '0', '2', hex[r&15])
		default:
			dst = append(dst, s[:width]...)
		}
		s = s[width:]
	}
	return append(dst, '"')
}
