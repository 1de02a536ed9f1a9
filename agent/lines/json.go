package lines

import (
	"encoding/binary"
	"math/bits"
	"strconv"
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
	switch c := s.peek(); c {
	case '"':
		return s.str()
	case '{', '[':
		return s.skip(maxNesting)
	default:
		return s.scalar(c)
	}
}

func (s *scanner) skip(depth int) token {
	c := s.peek()
	if c != '{' && c != '[' {
		return s.scalar(c)
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

// scalar reads a value that is no array and no object. c is its first byte, as peek returns it.
func (s *scanner) scalar(c byte) token {
	switch c {
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

// Words with the same byte eight times.
const (
	ones        = 0x0101010101010101
	highBits    = 0x80 * ones
	spaces      = ' ' * ones
	quotes      = '"' * ones
	backslashes = '\\' * ones
)

// inRegisters are variables because the compiler keeps those in registers throughout a loop,
// while it loads a constant of this size anew each time.
var inRegisters = struct{ quotes, backslashes, low, printable uint64 }{quotes, backslashes, 0x7f * ones, 0x60 * ones}

// str reads a string; the scanner stands at its quote. This is the short way, for ASCII without
// escapes, eight bytes at a time.
func (s *scanner) str() token {
	b, i := s.text, s.at+1
	quote, slash, low, printable := inRegisters.quotes, inRegisters.backslashes, inRegisters.low, inRegisters.printable
	for i+8 <= len(b) {
		// For bytes below 0x80, x+0x7f has its high bit set unless x is zero, and x+0x60 if x is
		// at least a space. A byte from 0x80 on carries into the next one, but is a stop itself,
		// and the lowest stop is all that is looked at.
		w := binary.LittleEndian.Uint64(b[i:])
		plainText := ((w ^ quote) + low) & ((w ^ slash) + low) & (w + printable)
		if stop := (^plainText | w) & highBits; stop != 0 {
			i += bits.TrailingZeros64(stop) >> 3
			if b[i] == '"' {
				t := token{s.at + 1, i, text, plain}
				s.at = i + 1
				return t
			}
			break
		}
		i += 8
	}
	return s.strFrom(i)
}

// strFrom reads the string on from i; what is before that is ASCII without escapes.
func (s *scanner) strFrom(i int) token {
	b, start, form := s.text, s.at+1, plain
	high := uint64(highBits) // stop at bytes beyond ASCII, until the first
	for {
		for i < len(b) {
			var w uint64
			if i+8 <= len(b) {
				w = binary.LittleEndian.Uint64(b[i:])
			} else if len(b) >= 8 { // zeros behind the end, which are a stop
				w = binary.LittleEndian.Uint64(b[len(b)-8:]) >> (8 * (8 - (len(b) - i)))
			} else {
				break
			}
			// The high bit of a byte of x-ones &^ x says that the byte of x is zero, as long as
			// none below it is. The lowest bit is all that is looked at.
			quote, slash := w^quotes, w^backslashes
			stop := ((quote-ones)&^quote | (slash-ones)&^slash | (w-spaces)&^w | w&high) & highBits
			if stop != 0 {
				i += bits.TrailingZeros64(stop) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			s.fail(len(b), faultEnd)
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
