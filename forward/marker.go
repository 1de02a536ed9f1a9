package forward

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
)

// A Marker names one record of a node's log. It travels in band: as a top-level field that
// OTLP does not know, right before the record's own bytes. Decoders skip it, and it survives
// concatenation, compression, HTTP, gateways and replay. The bytes it covers can be decoded
// alone, so one record cannot shift another.
//
// The field is number 1000, length-delimited, with this content, little endian:
//
//	version u8 = 1 | stream key 16 B | seq u64 | length u32 | accepted i64 | items u32 | cumulative items u64 | after u32 | until u32
//
// After and Until are about one attempt to send the record and are written anew for each, see
// Stamp and docs/adr/0012. Both are seconds of unix time on ClickHouse's clock.
type Marker struct {
	Stream   [16]byte // secret: whoever knows it may claim the stream; tables hold StreamID
	Seq      uint64
	Length   uint32 // bytes that follow the marker and belong to it
	Accepted int64  // when the node took it in, unix nanoseconds
	Items    uint32
	CumItems uint64 // items of the stream up to and including this record
	After    uint32 // until then an earlier attempt may still be stored; 0: there was none
	Until    uint32 // this attempt is not stored later than that; 0: it has no end
}

const (
	// MarkerField is the protobuf field number of a marker.
	MarkerField = 1000
	// MarkerVersion is the version that we write, and the only one that we read. A peer announces
	// the highest that it reads.
	MarkerVersion = 1
	markerPayload = 1 + 16 + 8 + 4 + 8 + 4 + 8 + 4 + 4
	markerAfter   = 3 + markerPayload - 8 // offset
	// MarkerSize is what a marker takes, in bytes.
	MarkerSize = 3 + markerPayload
)

// markerTag is field 1000, wire type 2, as a varint, and the length.
var markerTag = [3]byte{0xc2, 0x3e, markerPayload}

// Append appends the marker's encoding.
func (m Marker) Append(dst []byte) []byte {
	dst = append(dst, markerTag[:]...)
	dst = append(dst, MarkerVersion)
	dst = append(dst, m.Stream[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, m.Seq)
	dst = binary.LittleEndian.AppendUint32(dst, m.Length)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Accepted))
	dst = binary.LittleEndian.AppendUint32(dst, m.Items)
	dst = binary.LittleEndian.AppendUint64(dst, m.CumItems)
	dst = binary.LittleEndian.AppendUint32(dst, m.After)
	return binary.LittleEndian.AppendUint32(dst, m.Until)
}

// Stamp writes the fences of one attempt into the marker that body begins with.
func Stamp(body []byte, after, until uint32) {
	binary.LittleEndian.PutUint32(body[markerAfter:], after)
	binary.LittleEndian.PutUint32(body[markerAfter+4:], until)
}

// StreamID is what tables call the stream: the first 128 bits of SHA-256 of its key, in hex.
// Reading the table does not allow claiming the stream.
func (m Marker) StreamID() string {
	sum := sha256.Sum256(m.Stream[:])
	return hex.EncodeToString(sum[:16])
}

// HasMarker says whether body begins with a marker.
func HasMarker(body []byte) bool {
	return len(body) >= 2 && body[0] == markerTag[0] && body[1] == markerTag[1]
}

// ErrMarker says that bytes that claim to be a marker are not one.
var ErrMarker = errors.New("bad record marker")

// ParseMarker reads the marker at the start of body and says how long it is.
func ParseMarker(body []byte) (m Marker, n int, err error) {
	if len(body) < MarkerSize || [3]byte(body) != markerTag {
		return m, 0, ErrMarker
	}
	p := body[3:]
	if p[0] != MarkerVersion {
		return m, 0, fmt.Errorf("version %d: %w", p[0], ErrMarker)
	}
	copy(m.Stream[:], p[1:])
	m.Seq = binary.LittleEndian.Uint64(p[17:])
	m.Length = binary.LittleEndian.Uint32(p[25:])
	m.Accepted = int64(binary.LittleEndian.Uint64(p[29:]))
	m.Items = binary.LittleEndian.Uint32(p[37:])
	m.CumItems = binary.LittleEndian.Uint64(p[41:])
	m.After = binary.LittleEndian.Uint32(p[49:])
	m.Until = binary.LittleEndian.Uint32(p[53:])
	if int(m.Length) > len(body)-MarkerSize {
		return m, 0, fmt.Errorf("covers %d bytes of %d: %w", m.Length, len(body)-MarkerSize, ErrMarker)
	}
	return m, MarkerSize, nil
}

// A Record is a piece of a batch with one identity, or with none.
type Record struct {
	Marker *Marker // nil: these bytes came without identity
	Body   []byte  // without the marker
}

// Records splits a batch at its markers. A body that is not split where a marker says ends
// the iteration with an error; the door has rejected such a body already.
func Records(body []byte) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for len(body) > 0 {
			if !HasMarker(body) {
				// Bytes without a marker are one record; the door lets nothing follow them.
				yield(Record{Body: body}, nil)
				return
			}
			m, n, err := ParseMarker(body)
			if err != nil {
				yield(Record{}, err)
				return
			}
			if !yield(Record{Marker: &m, Body: body[n : n+int(m.Length)]}, nil) {
				return
			}
			body = body[n+int(m.Length):]
		}
	}
}

// AppendUnmarked appends body without its markers, for a peer that has no use for them.
func AppendUnmarked(dst, body []byte) ([]byte, error) {
	for r, err := range Records(body) {
		if err != nil {
			return dst, err
		}
		dst = append(dst, r.Body...)
	}
	return dst, nil
}
