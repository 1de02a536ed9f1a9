package lines

import (
	"strconv"
)

// appendValue reads a value and appends the content of its AnyValue. depth is that of an array
// or object that may begin here, from 1; what is too deep is kept as its JSON.
func (e *Encoder) appendValue(dst []byte, s *scanner, depth int) []byte {
	switch c := s.peek(); {
	case c == '"':
		return e.appendString(dst, s.text, s.str())
	case c != '{' && c != '[':
		return appendScalar(dst, s.text, s.scalar(c))
	case depth > e.maxDepth:
		t := s.any()
		return e.appendString(dst, s.text, token{start: t.start, end: t.end, kind: text, form: wide})
	case c == '{':
		dst, start := begin(dst, valueList)
		return end(e.appendMembers(dst, s, depth, nil), start)
	}
	dst, values := begin(dst, valueArray)
	for more := s.element(true, ']'); more; more = s.element(false, ']') {
		var value int
		dst, value = begin(dst, arrayValues)
		dst = end(e.appendValue(dst, s, depth+1), value)
	}
	return end(dst, values)
}

// appendMembers reads an object and appends its members as the entries of a KeyValueList, but
// for those that omit names.
func (e *Encoder) appendMembers(dst []byte, s *scanner, depth int, omit func(key []byte) bool) []byte {
	var keys keyset
	base := len(dst)
	for key, more := s.member(true); more; key, more = s.member(false) {
		name := e.text(key)
		if omit != nil && omit(name) {
			s.any()
			continue
		}
		if keys.count >= e.maxKeys {
			e.record.dropped++
			s.any()
			continue
		}
		if !keys.add(hash(name)) {
			var removed int
			dst, removed = keys.remove(dst, base, name)
			e.record.dropped += removed
		}
		dst = e.appendMember(dst, listEntries, name, s, depth+1)
	}
	return dst
}

// appendMember reads a value and appends it with its key. Short plain text, which most values
// are, goes the short way.
func (e *Encoder) appendMember(dst []byte, tag byte, key []byte, s *scanner, depth int) []byte {
	c := s.peek()
	if c == '{' || c == '[' {
		dst, begun := beginEntry(dst, tag, key)
		return endEntry(e.appendValue(dst, s, depth), begun)
	}
	t := s.scalar(c)
	if t.kind == text && t.form == plain {
		return appendStringEntry(dst, tag, key, s.text[t.start:t.end])
	}
	dst, begun := beginEntry(dst, tag, key)
	if t.kind == text {
		return endEntry(e.appendString(dst, s.text, t), begun)
	}
	return endEntry(appendScalar(dst, s.text, t), begun)
}

// appendString appends the string_value of a text token.
func (e *Encoder) appendString(dst, line []byte, t token) []byte {
	if t.form == plain {
		return appendBytes(dst, valueString, line[t.start:t.end])
	}
	dst, start := begin(dst, valueString)
	return end(e.appendText(dst, line, t), start)
}

// appendScalar appends the content of the AnyValue of a token that is neither text nor nested.
func appendScalar(dst, line []byte, t token) []byte {
	raw := line[t.start:t.end]
	switch t.kind {
	case null, invalid:
		return dst
	case boolean:
		return appendBool(dst, raw[0] == 't')
	case integer:
		if v, ok := parseInt(raw); ok {
			return appendInt(dst, v)
		}
	case float:
		if v, err := parseFloat(raw); err == nil {
			return appendDouble(dst, v)
		}
	}
	return appendBytes(dst, valueString, raw) // as written
}

// tens are powers of ten that a float64 holds exactly.
var tens = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// parseFloat is the value of a float token's bytes. A number of at most 15 digits is the quotient
// of two that a float64 holds exactly, so that it is rounded once, and rightly.
func parseFloat(b []byte) (float64, error) {
	rest, sign := b, 1.0
	if rest[0] == '-' {
		rest, sign = rest[1:], -1
	}
	var mantissa, decimals, point int
	for i, c := range rest {
		switch {
		case c-'0' <= 9:
			mantissa = mantissa*10 + int(c-'0')
			decimals += point
		case c != '.' || i >= len(tens):
			return strconv.ParseFloat(string(b), 64)
		default:
			point = 1
		}
	}
	if len(rest) > len(tens) {
		return strconv.ParseFloat(string(b), 64)
	}
	return sign * float64(mantissa) / tens[decimals], nil
}
