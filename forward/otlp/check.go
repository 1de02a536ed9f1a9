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
		items, err = walk(body, m, 0)
		if err != nil {
			return 0, nil, fmt.Errorf("%w: %s%w", ErrMalformed, m.name, err)
		}
		return items, nil, nil
	}
	at := 0
	for r, err := range forward.Records(body) {
		if err != nil {
			return 0, nil, fmt.Errorf("%w: record at byte %d: %w", ErrMalformed, at, err)
		}
		if r.Marker == nil {
			return 0, nil, fmt.Errorf("%w: bytes after the last marked record, at byte %d", ErrMalformed, at)
		}
		n, err := walk(r.Body, m, 0)
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

// walk checks one message. Errors begin with the path below it.
func walk(b []byte, m *message, depth int) (items int, err error) {
	if depth > maxDepth {
		return 0, errDepth
	}
	var seen uint32 // bit n: singular field n; bit 16+g: oneof g
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
		f := &m.fields[0]
		if number < uint64(len(m.fields)) {
			f = &m.fields[number]
		}
		if f.kind == unknown {
			if number == forward.MarkerField && depth == 0 {
				return 0, errMark
			}
			if b, err = skip(b, wire); err != nil {
				return 0, err
			}
			continue
		}
		if !f.repeated {
			bit := uint32(1) << number
			if f.oneof != 0 {
				bit = 1 << (16 + f.oneof)
			}
			if seen&bit != 0 {
				return 0, fmt.Errorf(": field %d comes twice", number)
			}
			seen |= bit
		}
		var k int
		if b, k, err = value(b, wire, f, depth); err != nil {
			return 0, fmt.Errorf("[%d]%w", number, err)
		}
		if items += k; f.item {
			items++
		}
	}
	return items, nil
}

var errWire = errors.New(": wrong wire type")

// value checks the value of a known field at the start of b and returns what follows it.
func value(b []byte, wire uint64, f *field, depth int) (rest []byte, items int, err error) {
	switch f.kind {
	case varint:
		if wire != 0 {
			return nil, 0, errWire
		}
		rest, err = skip(b, wire)
		return rest, 0, err
	case fixed64:
		if wire != 1 {
			return nil, 0, errWire
		}
		rest, err = skip(b, wire)
		return rest, 0, err
	case fixed32:
		if wire != 5 {
			return nil, 0, errWire
		}
		rest, err = skip(b, wire)
		return rest, 0, err
	}
	if wire != 2 {
		return nil, 0, errWire
	}
	p, rest, err := lengthDelimited(b)
	if err != nil {
		return nil, 0, err
	}
	switch f.kind {
	case inner:
		items, err = walk(p, f.msg, depth+1)
		if err != nil {
			return nil, 0, fmt.Errorf(" %s%w", f.msg.name, err)
		}
	case text:
		if !utf8.Valid(p) {
			err = errors.New(": not valid UTF-8")
		}
	case id16, id8:
		if want := map[kind]int{id16: 16, id8: 8}[f.kind]; len(p) != 0 && len(p) != want {
			err = fmt.Errorf(": id of %d bytes, want %d or none", len(p), want)
		}
	case packedFixed64:
		if len(p)%8 != 0 {
			err = errCut
		}
	case packedVarint:
		for len(p) > 0 && err == nil {
			p, err = skip(p, 0)
		}
	}
	return rest, items, err
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
