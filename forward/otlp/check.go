package otlp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/spillway-io/spillway/forward"
)

// maxDepth is how deep messages may nest, as in protobuf's C++ and Java decoders.
const maxDepth = 100

// ErrMalformed is inside every error of Check.
var ErrMalformed = errors.New("malformed OTLP")

// Check walks body, which must be one Export…ServiceRequest of s, and counts its log records,
// spans or data points. It rejects what a strict decoder would: broken tags and lengths, wrong
// wire types, groups, strings that are not UTF-8, ids of a wrong length, singular and oneof
// fields that come twice, and nesting beyond 100. Unknown fields pass. Nothing is allocated,
// but for the error.
//
// A body that begins with a record marker is checked record by record; each marker must cover
// its bytes and state its items exactly, and then parts says where the records end.
func Check(s forward.Signal, body []byte) (items int, parts []forward.Part, err error) {
	m := request(s)
	if m == nil {
		return 0, nil, fmt.Errorf("%w: %s is not a signal", ErrMalformed, s)
	}
	if !forward.HasMarker(body) {
		items, err = new(memory).walk(body, m, 0)
		if err != nil {
			return 0, nil, fmt.Errorf("%w: %s%w", ErrMalformed, m.name, err)
		}
		return items, nil, nil
	}
	at := 0
	var seen memory
	for r, err := range forward.Records(body) {
		if err != nil {
			return 0, nil, fmt.Errorf("%w: record at byte %d: %w", ErrMalformed, at, err)
		}
		if r.Marker == nil {
			return 0, nil, fmt.Errorf("%w: bytes after the last marked record, at byte %d", ErrMalformed, at)
		}
		n, err := seen.walk(r.Body, m, 0)
		if err != nil {
			return 0, nil, fmt.Errorf("%w: record at byte %d: %s%w", ErrMalformed, at, m.name, err)
		}
		if n != int(r.Marker.Items) {
			return 0, nil, fmt.Errorf("%w: record at byte %d holds %d items, its marker says %d", ErrMalformed, at, n, r.Marker.Items)
		}
		at += forward.MarkerSize + len(r.Body)
		items += n
		parts = append(parts, forward.Part{End: at, Items: n})
	}
	return items, parts, nil
}

var (
	errTag    = errors.New(": bad field tag")
	errCut    = errors.New(": cut off")
	errVarint = errors.New(": bad varint")
	errDepth  = errors.New(": nested too deep")
	errMark   = fmt.Errorf(": field %d is reserved for record markers", forward.MarkerField)
)

// memory holds plain attributes that passed, by how deep and as the how many-th of its message
// each one stands: the next record's are likely the same, and comparing is cheaper than checking.
type memory [5][16][]byte

// walk checks one message. Errors begin with the path below it.
func (t *memory) walk(b []byte, m *message, depth int) (items int, err error) {
	if depth > maxDepth {
		return 0, errDepth
	}
	var seen uint32 // of the bits of singular fields and oneofs
	attributes := 0
	for len(b) > 0 {
		tag, n := uint64(b[0]), 1
		if tag >= 0x80 {
			if tag, n = binary.Uvarint(b); n <= 0 {
				return 0, errTag
			}
		}
		number, wire := tag>>3, tag&7
		b = b[n:]
		if number == 0 || number > 1<<29-1 {
			return 0, errTag
		}
		if number >= uint64(len(m.fields)) || m.fields[number].kind == unknown {
			if number == forward.MarkerField && depth == 0 {
				return 0, errMark
			}
			if b, err = skip(b, wire); err != nil {
				return 0, err
			}
			continue
		}
		f := &m.fields[number]
		if seen&f.bit != 0 {
			return 0, fmt.Errorf(": field %d comes twice", number)
		}
		seen |= f.bit
		if wire != f.wire {
			return 0, fmt.Errorf("[%d]%w", number, errWire)
		}
		if wire != 2 {
			if b, err = skip(b, wire); err != nil {
				return 0, fmt.Errorf("[%d]%w", number, err)
			}
			continue
		}
		var p []byte
		if len(b) > 1 && int(b[0]) < len(b) && b[0] < 0x80 {
			p, b = b[1:int(b[0])+1], b[int(b[0])+1:]
		} else if p, b, err = lengthDelimited(b); err != nil {
			return 0, fmt.Errorf("[%d]%w", number, err)
		}
		if f.msg == keyValue {
			n := attributes
			attributes++
			remember := depth < len(t) && n < len(t[0])
			if remember && string(t[depth][n]) == string(p) {
				continue
			}
			if plainAttribute(p) {
				if remember {
					t[depth][n] = p
				}
				continue
			}
		}
		k, err := t.content(p, f, depth)
		if err != nil {
			return 0, fmt.Errorf("[%d]%w", number, err)
		}
		items += k
	}
	return items, nil
}

// plainAttribute says that p is a key and a string value, in that order and nothing else, and
// valid: what most of any request is made of. Anything else is for walk to judge.
func plainAttribute(p []byte) bool {
	if len(p) < 6 || p[0] != 1<<3|2 {
		return false
	}
	key := int(p[1])
	if key >= 0x80 || len(p) < key+6 {
		return false
	}
	v := p[key+2:]
	if v[0] != 2<<3|2 || int(v[1]) != len(v)-2 || v[1] >= 0x80 || v[2] != 1<<3|2 || int(v[3]) != len(v)-4 {
		return false
	}
	return utf8.Valid(p) // what is between key and value is ASCII, and completes no rune
}

var errWire = errors.New(": wrong wire type")

// content checks the bytes of a length-delimited field.
func (t *memory) content(p []byte, f *field, depth int) (items int, err error) {
	switch f.kind {
	case inner:
		if items, err = t.walk(p, f.msg, depth+1); err != nil {
			return 0, fmt.Errorf(" %s%w", f.msg.name, err)
		}
		if f.item {
			items++
		}
	case text:
		if !utf8.Valid(p) {
			err = errors.New(": not valid UTF-8")
		}
	case id16:
		err = idLength(p, 16)
	case id8:
		err = idLength(p, 8)
	case packedFixed64:
		if len(p)%8 != 0 {
			err = errCut
		}
	case packedVarint:
		for len(p) > 0 && err == nil {
			p, err = skip(p, 0)
		}
	}
	return items, err
}

func idLength(p []byte, want int) error {
	if len(p) != 0 && len(p) != want {
		return fmt.Errorf(": id of %d bytes, want %d or none", len(p), want)
	}
	return nil
}

// lengthDelimited splits off the bytes of a field of wire type 2.
func lengthDelimited(b []byte) (p, rest []byte, err error) {
	if len(b) > 0 && b[0] < 0x80 {
		if n := int(b[0]); n < len(b) {
			return b[1 : n+1], b[n+1:], nil
		}
		return nil, nil, errCut
	}
	size, n := binary.Uvarint(b)
	switch {
	case n == 0:
		return nil, nil, errCut
	case n < 0:
		return nil, nil, errVarint
	case size > uint64(len(b)-n):
		return nil, nil, errCut
	}
	return b[n : n+int(size)], b[n+int(size):], nil
}

// skip steps over a value of that wire type.
func skip(b []byte, wire uint64) ([]byte, error) {
	switch wire {
	case 0:
		for i := 0; i < len(b) && i < binary.MaxVarintLen64; i++ {
			if b[i] < 0x80 {
				if i == binary.MaxVarintLen64-1 && b[i] > 1 {
					return nil, errVarint
				}
				return b[i+1:], nil
			}
		}
		if len(b) < binary.MaxVarintLen64 {
			return nil, errCut
		}
		return nil, errVarint
	case 1:
		if len(b) < 8 {
			return nil, errCut
		}
		return b[8:], nil
	case 2:
		_, rest, err := lengthDelimited(b)
		return rest, err
	case 5:
		if len(b) < 4 {
			return nil, errCut
		}
		return b[4:], nil
	}
	return nil, errWire
}
