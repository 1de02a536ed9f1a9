package lines

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

type kind uint8

const (
	invalid kind = iota
	text
	integer
	float
	word // NaN, Infinity, -Infinity
	boolean
	null
	array
	object
)

// A form says how text is written. Plain text is its own value.
type form uint8

const (
	plain   form = 0
	escaped form = 1 // with a backslash
	wide    form = 2 // with bytes beyond ASCII, which may not be UTF-8
)

// A token is a scanned value or a key in the scanner's text. Four fields are what the compiler
// keeps in registers.
type token struct {
	start, end int // of text: what is between the quotes
	kind       kind
	form       form
}

// A scanner reads one line of JSON as RFC 8259 has it, but for the words that Python writes for
// floats without a number. After a fault it stands where it cannot go on, and all that its
// methods return is to be thrown away.
type scanner struct {
	text  []byte
	at    int
	fault string
}

const maxNesting = 1000 // of arrays and objects that are only stepped over; encoding/json has 10000

const (
	faultEnd      = "ends too early"
	faultTrailing = "something behind the object"
	faultValue    = "no value"
	faultKey      = "no key"
	faultColon    = "no colon behind a key"
	faultComma    = "no comma or end behind a value"
	faultControl  = "control character in a string"
	faultEscape   = "bad escape in a string"
	faultNumber   = "bad number"
	faultDepth    = "nested too deep"
)

// fail notes the first fault and where it is.
func (s *scanner) fail(at int, fault string) {
	if s.fault == "" {
		s.at, s.fault = at, fault
	}
}

// space returns where the white space from i on ends.
func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// peek steps over white space and returns the byte behind it, or 0 at the end.
func (s *scanner) peek() byte {
	i := space(s.text, s.at)
	s.at = i
	if i < len(s.text) {
		return s.text[i]
	}
	return 0
}

// unexpected is a fault of what peek stands at, or of the end.
func (s *scanner) unexpected(fault string) {
	if s.at >= len(s.text) {
		fault = faultEnd
	}
	s.fail(s.at, fault)
}

// member moves to the value of an object's next member and returns its key. At the first call,
// the scanner stands at the brace. At the object's end or at a fault it returns false.
func (s *scanner) member(first bool) (key token, more bool) {
	if !s.element(first, '}') {
		return token{}, false
	}
	b := s.text
	if s.at >= len(b) || b[s.at] != '"' {
		s.unexpected(faultKey)
		return token{}, false
	}
	if key = s.str(); s.fault != "" {
		return token{}, false
	}
	i := s.at
	if i >= len(b) || b[i] != ':' {
		if s.peek() != ':' {
			s.unexpected(faultColon)
			return token{}, false
		}
		i = s.at
	}
	s.at = space(b, i+1)
	return key, true
}

// element moves to an array's next element, whose closing byte is ']', as member does.
func (s *scanner) element(first bool, closing byte) (more bool) {
	if s.fault != "" {
		return false
	}
	b, i := s.text, s.at
	if !first {
		i = space(b, i)
	}
	switch {
	case i >= len(b):
	case first:
		i = space(b, i+1)
		if i < len(b) && b[i] == closing {
			s.at = i + 1
			return false
		}
		s.at = i
		return true
	case b[i] == ',':
		s.at = space(b, i+1)
		return true
	case b[i] == closing:
		s.at = i + 1
		return false
	}
	s.at = i
	s.unexpected(faultComma)
	return false
}

// any reads a value; an array or object is checked and stepped over.
func (s *scanner) any() token {
	switch s.peek() {
	case '"':
		return s.str()
	case '{', '[':
		return s.skip(maxNesting)
	}
	return s.scalar()
}

func (s *scanner) skip(depth int) token {
	c := s.peek()
	if c != '{' && c != '[' {
		return s.scalar()
	}
	if depth == 0 {
		s.fail(s.at, faultDepth)
		return token{}
	}
	t := token{start: s.at, kind: array}
	if c == '{' {
		t.kind = object
		for _, more := s.member(true); more; _, more = s.member(false) {
			s.skip(depth - 1)
		}
	} else {
		for more := s.element(true, ']'); more; more = s.element(false, ']') {
			s.skip(depth - 1)
		}
	}
	t.end = s.at
	return t
}

// scalar reads a value that is no array and no object.
func (s *scanner) scalar() token {
	switch s.peek() {
	case '"':
		return s.str()
	case 't':
		return s.word("true", boolean)
	case 'f':
		return s.word("false", boolean)
	case 'n':
		return s.word("null", null)
	case 'N':
		return s.word("NaN", word)
	case 'I':
		return s.word("Infinity", word)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.number()
	}
	s.unexpected(faultValue)
	return token{}
}

func (s *scanner) word(w string, k kind) token {
	t := token{start: s.at, end: s.at + len(w), kind: k}
	if t.end > len(s.text) || string(s.text[t.start:t.end]) != w {
		s.fail(s.at, faultValue)
		return token{}
	}
	s.at = t.end
	return t
}

func (s *scanner) number() token {
	t := token{start: s.at, kind: integer}
	b, i := s.text, s.at
	if b[i] == '-' {
		i++
		if i < len(b) && b[i] == 'I' {
			s.at = i
			s.word("Infinity", word)
			return token{start: t.start, end: s.at, kind: word}
		}
	}
	whole := digits(b, i)
	if whole == i || b[i] == '0' && whole > i+1 {
		s.fail(i, faultNumber)
		return token{}
	}
	i = whole
	if i < len(b) && b[i] == '.' {
		t.kind = float
		fraction := digits(b, i+1)
		if fraction == i+1 {
			s.fail(i, faultNumber)
			return token{}
		}
		i = fraction
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		t.kind = float
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := digits(b, i)
		if exponent == i {
			s.fail(i, faultNumber)
			return token{}
		}
		i = exponent
	}
	t.end, s.at = i, i
	return t
}

// digits returns where the decimal digits from i on end.
func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x8080808080808080
)

// zeros marks the bytes of w that are zero, in their high bits. Above the lowest mark there may
// be false ones.
func zeros(w uint64) uint64 { return (w - everyByte) &^ w & highBits }

// str reads a string; the scanner stands at its quote. Eight bytes are looked at together while
// they are nothing but ASCII text.
func (s *scanner) str() token {
	b, i := s.text, s.at+1
	start, form := i, plain
	high := uint64(highBits) // stop at bytes beyond ASCII, until the first
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			controls := (w - 0x20*everyByte) &^ w & highBits
			if stop := w&high | zeros(w^'"'*everyByte) | zeros(w^'\\'*everyByte) | controls; stop != 0 {
				i += bits.TrailingZeros64(stop) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			s.fail(i, faultEnd)
			return token{}
		}
		c := b[i]
		if c == '"' {
			s.at = i + 1
			return token{start, i, text, form}
		}
		switch {
		case c == '\\':
			form |= escaped
			n := escape(b[i:])
			if n == 0 {
				s.fail(i, faultEscape)
				return token{}
			}
			i += n
		case c < ' ':
			s.fail(i, faultControl)
			return token{}
		default:
			if c >= utf8.RuneSelf {
				form |= wide
				high = 0
			}
			i++
		}
	}
}

// escape returns the length of the escape sequence at the start of b, 0 if it is none.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b); ok {
			return 6
		}
	}
	return 0
}

// hex4 is the code unit of a \uXXXX at the start of b.
func hex4(b []byte) (unit rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		d := hexDigits[c]
		if d > 15 {
			return 0, false
		}
		unit = unit<<4 | rune(d)
	}
	return unit, true
}

// hexDigits are the values of the hexadecimal digits; other bytes have more than 15.
var hexDigits = func() (values [256]byte) {
	for c := range values {
		values[c] = 0xff
	}
	for i, c := range []byte("0123456789abcdef") {
		values[c] = byte(i)
	}
	for i, c := range []byte("ABCDEF") {
		values[c] = byte(10 + i)
	}
	return values
}()

// appendText appends what a text token stands for, as UTF-8.
func appendText(dst, line []byte, t token) []byte {
	raw := line[t.start:t.end]
	if t.form&escaped == 0 {
		return appendValid(dst, raw)
	}
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			plain := i
			for i < len(raw) && raw[i] != '\\' {
				i++
			}
			dst = appendValid(dst, raw[plain:i])
			continue
		}
		if raw[i+1] != 'u' {
			dst = append(dst, unescaped(raw[i+1]))
			i += 2
			continue
		}
		r, _ := hex4(raw[i:])
		i += 6
		if utf16.IsSurrogate(r) {
			low, ok := hex4(raw[i:])
			if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
				i += 6
			} else {
				r = utf8.RuneError
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // a quote, a slash or a backslash
}

// appendValid appends b, with U+FFFD for every byte that is not UTF-8.
func appendValid(dst, b []byte) []byte {
	if utf8.Valid(b) {
		return append(dst, b...)
	}
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		dst = utf8.AppendRune(dst, r)
		b = b[n:]
	}
	return dst
}

// parseInt is the value of an integer token's bytes; false if int64 does not hold it.
func parseInt(b []byte) (v int64, ok bool) {
	if len(b) <= 18 { // no overflow
		negative := b[0] == '-'
		if negative {
			b = b[1:]
		}
		for _, c := range b {
			v = v*10 + int64(c-'0')
		}
		if negative {
			v = -v
		}
		return v, true
	}
	v, err := strconv.ParseInt(string(b), 10, 64)
	return v, err == nil
}
