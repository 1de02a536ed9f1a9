package tail

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// parseDocker takes a line of Docker's json-file driver apart:
//
//	{"log":"the text\n","stream":"stdout","time":"2016-10-06T00:17:09.669794202Z"}
//
// Keys may come in any order and others are skipped. A log that does not end in a newline is a
// part of a line. The text is a part of b when it has no escapes but that newline; else it is
// appended to arena, which is returned.
func parseDocker(b, arena []byte) (p piece, _ []byte, ok bool) {
	s := jsonScanner{b: b}
	if !s.skip('{') {
		return piece{}, arena, false
	}
	var log, from, when jsonString
	for first := true; !s.skip('}'); first = false {
		if !first && !s.skip(',') {
			return piece{}, arena, false
		}
		key, ok := s.string()
		if !ok || !s.skip(':') {
			return piece{}, arena, false
		}
		switch string(key.raw) {
		case "log":
			log, ok = s.string()
		case "stream":
			from, ok = s.string()
		case "time":
			when, ok = s.string()
		default:
			ok = s.value(0)
		}
		if !ok {
			return piece{}, arena, false
		}
	}
	if len(bytes.TrimSpace(s.b)) > 0 || log.raw == nil {
		return piece{}, arena, false
	}
	if p.stream, ok = parseStream(from.raw); !ok {
		return piece{}, arena, false
	}
	if p.time, ok = parseTime(when.raw); !ok {
		return piece{}, arena, false
	}
	p.text, p.partial = log.raw, true
	if text, full := bytes.CutSuffix(log.raw, escapedNewline); full && bytes.IndexByte(text, '\\') < 0 {
		p.text, p.partial = text, false
		return p, arena, true
	}
	if !log.escaped {
		return p, arena, true
	}
	begin := len(arena)
	if arena, ok = unescape(arena, log.raw); !ok {
		return piece{}, arena[:begin], false
	}
	p.text = arena[begin:len(arena):len(arena)]
	if text, full := bytes.CutSuffix(p.text, newline); full {
		p.text, p.partial = text, false
	}
	return p, arena, true
}

var (
	escapedNewline = []byte(`\n`)
	newline        = []byte{'\n'}
)

// A jsonString is what stands between the quotes, never nil.
type jsonString struct {
	raw     []byte
	escaped bool
}

// A jsonScanner walks over one JSON value. It is as strict as finding the ends needs.
type jsonScanner struct{ b []byte }

// space steps over white space.
func (s *jsonScanner) space() {
	for len(s.b) > 0 && (s.b[0] == ' ' || s.b[0] == '\t' || s.b[0] == '\r' || s.b[0] == '\n') {
		s.b = s.b[1:]
	}
}

// skip steps over white space and then c.
func (s *jsonScanner) skip(c byte) bool {
	s.space()
	if len(s.b) == 0 || s.b[0] != c {
		return false
	}
	s.b = s.b[1:]
	return true
}

func (s *jsonScanner) string() (jsonString, bool) {
	if !s.skip('"') {
		return jsonString{}, false
	}
	var str jsonString
	for i, quote := 0, -1; i <= len(s.b); {
		if quote < i {
			n := bytes.IndexByte(s.b[i:], '"')
			if n < 0 {
				break
			}
			quote = i + n
		}
		slash := bytes.IndexByte(s.b[i:quote], '\\')
		if slash < 0 {
			str.raw = s.b[:quote]
			s.b = s.b[quote+1:]
			return str, true
		}
		str.escaped = true
		i += slash + 2
	}
	return jsonString{}, false
}

// maxDepth bounds the nesting of values that are skipped; Docker writes one level.
const maxDepth = 8

// value steps over any value.
func (s *jsonScanner) value(depth int) bool {
	s.space()
	if len(s.b) == 0 || depth > maxDepth {
		return false
	}
	switch s.b[0] {
	case '"':
		_, ok := s.string()
		return ok
	case '{':
		return s.members('}', depth, true)
	case '[':
		return s.members(']', depth, false)
	}
	n := bytes.IndexAny(s.b, ",}] \t\r\n")
	if n <= 0 {
		return false
	}
	s.b = s.b[n:]
	return true
}

func (s *jsonScanner) members(end byte, depth int, keys bool) bool {
	s.b = s.b[1:]
	for first := true; !s.skip(end); first = false {
		if !first && !s.skip(',') {
			return false
		}
		if keys {
			if _, ok := s.string(); !ok || !s.skip(':') {
				return false
			}
		}
		if !s.value(depth + 1) {
			return false
		}
	}
	return true
}

// unescape appends the text of a JSON string. Halves of surrogate pairs become U+FFFD.
func unescape(dst, raw []byte) ([]byte, bool) {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...), true
		}
		dst = append(dst, raw[:i]...)
		raw = raw[i+1:]
		if len(raw) == 0 {
			return dst, false
		}
		c := raw[0]
		raw = raw[1:]
		if c == 'u' {
			r, rest, ok := unicodeEscape(raw)
			if !ok {
				return dst, false
			}
			dst, raw = utf8.AppendRune(dst, r), rest
			continue
		}
		plain := bytes.IndexByte([]byte(`"\/bfnrt`), c)
		if plain < 0 {
			return dst, false
		}
		dst = append(dst, "\"\\/\b\f\n\r\t"[plain])
	}
}

// unicodeEscape reads the digits of a \u, and those of the second half of a pair.
func unicodeEscape(b []byte) (r rune, rest []byte, ok bool) {
	r, ok = hex4(b)
	if !ok {
		return 0, nil, false
	}
	b = b[4:]
	if !utf16.IsSurrogate(r) {
		return r, b, true
	}
	if len(b) >= 6 && b[0] == '\\' && b[1] == 'u' {
		if low, ok := hex4(b[2:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, b[6:], true
			}
		}
	}
	return utf8.RuneError, b, true
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
