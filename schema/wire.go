package schema

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Protobuf wire types. A field's tag is number<<3 | type, and the decoders switch
// on whole tags: a known number with another type is an unknown field, as in the
// reference implementations.
const (
	varint    = uint32(protowire.VarintType)
	fixed64   = uint32(protowire.Fixed64Type)
	delimited = uint32(protowire.BytesType)
	fixed32   = uint32(protowire.Fixed32Type)
)

var errVarint = errors.New("varint overflows 64 bits")

// A cursor walks the fields of one protobuf message:
//
//	c := walk(message)
//	for c.next() {
//		switch c.tag { … }
//	}
//	if c.err != nil { … }
type cursor struct {
	tag   uint32
	value uint64 // of varint, fixed32 and fixed64 fields
	bytes []byte // of length-delimited fields; aliases the message
	err   error

	message []byte
	at      int
}

func walk(message []byte) cursor { return cursor{message: message} }

// next moves to the next field. It returns false at the end or at an error.
func (c *cursor) next() bool {
	if c.at >= len(c.message) || c.err != nil {
		return false
	}
	tag := uint64(c.message[c.at]) // nearly all tags are of one byte
	if tag < 0x80 {
		c.at++
	} else if tag = c.varint(); c.err != nil {
		return false
	}
	if tag>>3 == 0 || tag > math.MaxUint32 {
		return c.fail(fmt.Errorf("field number %d does not exist", tag>>3))
	}
	c.tag = uint32(tag)
	switch c.tag & 7 {
	case varint:
		c.value = c.varint()
	case delimited:
		var n uint64
		if c.at < len(c.message) && c.message[c.at] < 0x80 { // and nearly all lengths
			n = uint64(c.message[c.at])
			c.at++
		} else {
			n = c.varint()
		}
		if n > uint64(len(c.message)-c.at) {
			return c.fail(io.ErrUnexpectedEOF)
		}
		end := c.at + int(n)
		c.bytes, c.at = c.message[c.at:end:end], end
	case fixed64:
		if len(c.message)-c.at < 8 {
			return c.fail(io.ErrUnexpectedEOF)
		}
		c.value = binary.LittleEndian.Uint64(c.message[c.at:])
		c.at += 8
	case fixed32:
		if len(c.message)-c.at < 4 {
			return c.fail(io.ErrUnexpectedEOF)
		}
		c.value = uint64(binary.LittleEndian.Uint32(c.message[c.at:]))
		c.at += 4
	default: // a group, which OTLP does not use, or nothing that exists
		n := protowire.ConsumeFieldValue(protowire.Number(tag>>3), protowire.Type(tag&7), c.message[c.at:])
		if n < 0 {
			return c.fail(protowire.ParseError(n))
		}
		c.at += n
	}
	return c.err == nil
}

func (c *cursor) fail(err error) bool {
	c.check(err)
	return false
}

// varint reads one where the cursor is; after an error it is 0.
func (c *cursor) varint() uint64 {
	v, n := binary.Uvarint(c.message[c.at:])
	switch {
	case n > 0:
		c.at += n
		return v
	case n == 0:
		c.check(io.ErrUnexpectedEOF)
	default:
		c.check(errVarint)
	}
	return 0
}

// first returns the bytes of a message's first field, if that has a tag and a length
// of one byte each, and what follows it.
func first(message []byte, tag uint32) (field, rest []byte, ok bool) {
	if len(message) < 2 || uint32(message[0]) != tag || message[1] >= 0x80 || int(message[1]) > len(message)-2 {
		return nil, nil, false
	}
	end := 2 + int(message[1])
	return message[2:end:end], message[end:], true
}

// float is the value of a double field.
func (c *cursor) float() float64 { return math.Float64frombits(c.value) }

// zigzag is the value of a sint32 field.
func (c *cursor) zigzag() int32 { return int32(protowire.DecodeZigZag(c.value & math.MaxUint32)) }

// Lengths of ids in bytes.
const (
	traceIDLen = 16
	spanIDLen  = 8
)

// id is the value of an id field, which is either empty or of that length.
func (c *cursor) id(length int) []byte {
	if n := len(c.bytes); n != 0 && n != length {
		c.check(fmt.Errorf("id of %d bytes, not %d", n, length))
	}
	return c.bytes
}

var errUTF8 = errors.New("a string is not UTF-8")

// text is the value of a string field.
func (c *cursor) text() []byte {
	if !utf8.Valid(c.bytes) {
		c.check(errUTF8)
	}
	return c.bytes
}

// check ends the walk if a field's value did not decode.
func (c *cursor) check(err error) {
	if c.err == nil {
		c.err = err
	}
}

// eachFixed64 hands on the values of a packed field of 64-bit numbers.
func eachFixed64(packed []byte, add func(uint64)) error {
	if len(packed)%8 != 0 {
		return fmt.Errorf("packed 64-bit numbers in %d bytes: %w", len(packed), io.ErrUnexpectedEOF)
	}
	for ; len(packed) > 0; packed = packed[8:] {
		add(binary.LittleEndian.Uint64(packed))
	}
	return nil
}

// eachVarint hands on the values of a packed field of varints.
func eachVarint(packed []byte, add func(uint64)) error {
	c := walk(packed)
	for c.at < len(packed) && c.err == nil {
		if v := c.varint(); c.err == nil {
			add(v)
		}
	}
	return c.err
}
