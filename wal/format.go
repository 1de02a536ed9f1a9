package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The only file that knows byte offsets. FORMAT.md draws them.

const (
	frameMagic   = "SPWF"
	frameVersion = 1
	frameHeader  = 64
	// maxFrame bounds what a length on disk may claim.
	maxFrame = MaxRecord + frameHeader
)

// MaxRecord is the largest record, meta and data together, in bytes.
const MaxRecord = 32 << 20

type frameType uint8

const (
	frameGeneration frameType = 1 // first of a file: who wrote it and where the one before ended
	frameSnapshot   frameType = 2 // second of a file: the folded meta of all that came before
	frameRecord     frameType = 3
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A frame is one entry of a generation file, decoded. Meta and Data alias the buffer it was read from.
type frame struct {
	typ      frameType
	seq      uint64
	cumItems uint64 // items of the stream up to and including this record, as they were numbered
	inFile   uint64 // items in this file up to and including this record, as they were written
	accepted int64
	tag      uint32 // of the file it was written to
	items    uint32
	meta     []byte
	data     []byte
}

// payloadCRC is computed by the caller of Append, outside the committer.
func payloadCRC(meta, data []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, meta), castagnoli, data)
}

// appendFrame appends f, without the length prefix that tidwall/wal adds.
func appendFrame(dst []byte, f frame, crc uint32) []byte {
	at := len(dst)
	dst = append(dst, frameMagic...)
	dst = append(dst, frameVersion, byte(f.typ), 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, f.seq)
	dst = binary.LittleEndian.AppendUint64(dst, f.cumItems)
	dst = binary.LittleEndian.AppendUint64(dst, f.inFile)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.accepted))
	dst = binary.LittleEndian.AppendUint32(dst, f.tag)
	dst = binary.LittleEndian.AppendUint32(dst, f.items)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.meta)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.data)))
	dst = binary.LittleEndian.AppendUint32(dst, crc)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
	dst = append(dst, f.meta...)
	return append(dst, f.data...)
}

var (
	errShort = errors.New("cut off")
	errFrame = errors.New("not a frame")
	// errNewer is a frame that is whole and that this version cannot read.
	errNewer = errors.New("written by a newer spillway")
)

// parseEntry reads one entry, length prefix and frame, at the start of b.
// errShort says that b ends inside it; any other error that it is damaged, or newer than this
// code: then f has no meta and no data. n is its length where that is certain even so, else 0.
func parseEntry(b []byte) (f frame, n int, err error) {
	k, size, err := parseHeader(b)
	if err != nil {
		return f, 0, err
	}
	n = k + size
	if len(b) < n {
		return f, 0, errShort
	}
	h, payload := b[k:k+frameHeader], b[k+frameHeader:n]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(h[56:]) {
		return f, n, fmt.Errorf("payload checksum: %w", errFrame)
	}
	f = frame{
		typ:      frameType(h[5]),
		seq:      binary.LittleEndian.Uint64(h[8:]),
		cumItems: binary.LittleEndian.Uint64(h[16:]),
		inFile:   binary.LittleEndian.Uint64(h[24:]),
		accepted: int64(binary.LittleEndian.Uint64(h[32:])),
		tag:      binary.LittleEndian.Uint32(h[40:]),
		items:    binary.LittleEndian.Uint32(h[44:]),
	}
	if h[4] != frameVersion || h[6] != 0 || h[7] != 0 || f.typ < frameGeneration || f.typ > frameRecord {
		return f, n, fmt.Errorf("version %d, type %d, codec %d, flags %d: %w", h[4], f.typ, h[6], h[7], errNewer)
	}
	metaLen := binary.LittleEndian.Uint32(h[48:])
	f.meta, f.data = payload[:metaLen:metaLen], payload[metaLen:]
	return f, n, nil
}

// parseHeader checks a length prefix and the frame header behind it, and returns the length
// of the prefix and of the frame. The header looks the same in every version.
func parseHeader(b []byte) (k, size int, err error) {
	length, k := binary.Uvarint(b)
	switch {
	case k == 0:
		return 0, 0, errShort
	case k < 0 || length < frameHeader || length > maxFrame:
		return 0, 0, fmt.Errorf("length %d: %w", length, errFrame)
	}
	if len(b) < k+frameHeader {
		return 0, 0, errShort
	}
	h := b[k : k+frameHeader]
	if string(h[:4]) != frameMagic {
		return 0, 0, fmt.Errorf("magic %x: %w", h[:4], errFrame)
	}
	if crc32.Checksum(h[:60], castagnoli) != binary.LittleEndian.Uint32(h[60:]) {
		return 0, 0, fmt.Errorf("header checksum: %w", errFrame)
	}
	metaLen, dataLen := uint64(binary.LittleEndian.Uint32(h[48:])), uint64(binary.LittleEndian.Uint32(h[52:]))
	if frameHeader+metaLen+dataLen != length {
		return 0, 0, fmt.Errorf("lengths disagree: %w", errFrame)
	}
	return k, int(length), nil
}

// entrySize is what a frame takes in the file, its length prefix included.
func entrySize(metaLen, dataLen int) int {
	size := uint64(frameHeader + metaLen + dataLen)
	return uvarintLen(size) + int(size)
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// resync finds where the next entry with an intact header begins in b[1:], or returns how
// many bytes at the front of b cannot be the beginning of one: at least one. A frame is
// preceded by its length, so the magic is looked for and the length tried backwards from it.
func resync(b []byte) int {
	const reach = binary.MaxVarintLen32 // of a length before its magic
	for from := 1; ; from++ {
		i := bytes.Index(b[min(from, len(b)):], []byte(frameMagic))
		if i < 0 {
			return max(1, len(b)-reach-len(frameMagic)+1)
		}
		from += i
		if len(b) < from+frameHeader {
			return max(1, from-reach) // not enough of it is here to judge
		}
		for k := 1; k <= min(reach, from-1); k++ {
			if n, _, err := parseHeader(b[from-k:]); err == nil && n == k {
				return from - k
			}
		}
	}
}

// A Key names a stream: 128 random bits, minted at every open of a log.
type Key [16]byte

// fileTag binds a frame to its file. Whoever has data logged does not know the stream, so data
// that looks like a frame does not have it, nor has a frame of another file.
func fileTag(stream Key, gen uint64) uint32 {
	return crc32.Update(crc32.Checksum(stream[:], castagnoli), castagnoli, binary.LittleEndian.AppendUint64(nil, gen))
}

// A sealed generation, as a later header states it: nothing beyond end is to be trusted.
type ending struct {
	gen     uint64
	end     int64
	records uint64
	items   uint64
	stream  Key
}

// endingSize is what an ending takes in a header.
const endingSize = 48

// genHeader is the payload of a generation's first frame.
type genHeader struct {
	stream Key
	lane   string
	ends   []ending // every earlier generation that still exists
	num    uint64   // the frame's seq
}

func (h genHeader) append(dst []byte) []byte {
	dst = append(dst, h.stream[:]...)
	dst = append(dst, byte(len(h.lane)))
	dst = append(dst, h.lane...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(h.ends)))
	for _, e := range h.ends {
		dst = binary.LittleEndian.AppendUint64(dst, e.gen)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.end))
		dst = binary.LittleEndian.AppendUint64(dst, e.records)
		dst = binary.LittleEndian.AppendUint64(dst, e.items)
		dst = append(dst, e.stream[:]...)
	}
	return dst
}

func parseGenHeader(b []byte) (h genHeader, err error) {
	bad := fmt.Errorf("generation header: %w", errFrame)
	if len(b) < 17 || len(b) < 17+int(b[16])+4 {
		return h, bad
	}
	copy(h.stream[:], b)
	n := int(b[16])
	h.lane = string(b[17 : 17+n])
	b = b[17+n:]
	count := int(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if len(b) != count*endingSize {
		return h, bad
	}
	for ; len(b) > 0; b = b[endingSize:] {
		h.ends = append(h.ends, ending{
			gen:     binary.LittleEndian.Uint64(b),
			end:     int64(binary.LittleEndian.Uint64(b[8:])),
			records: binary.LittleEndian.Uint64(b[16:]),
			items:   binary.LittleEndian.Uint64(b[24:]),
			stream:  Key(b[32:]),
		})
	}
	return h, nil
}
