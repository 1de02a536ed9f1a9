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
	frameHeader  = 52
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
	cumItems uint64
	accepted int64
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
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.accepted))
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
)

// parseEntry reads one entry, length prefix and frame, at the start of b.
// errShort says that b ends inside it; any other error that it is damaged.
func parseEntry(b []byte) (f frame, n int, err error) {
	size, k := binary.Uvarint(b)
	switch {
	case k == 0:
		return f, 0, errShort
	case k < 0 || size < frameHeader || size > maxFrame:
		return f, 0, fmt.Errorf("length %d: %w", size, errFrame)
	}
	if len(b) < k+frameHeader {
		return f, 0, errShort
	}
	h := b[k : k+frameHeader]
	if string(h[:4]) != frameMagic {
		return f, 0, fmt.Errorf("magic %x: %w", h[:4], errFrame)
	}
	if got, want := crc32.Checksum(h[:48], castagnoli), binary.LittleEndian.Uint32(h[48:]); got != want {
		return f, 0, fmt.Errorf("header checksum: %w", errFrame)
	}
	if h[4] != frameVersion || h[6] != 0 || h[7] != 0 {
		return f, 0, fmt.Errorf("version %d, codec %d, flags %d: written by a newer spillway: %w", h[4], h[6], h[7], errFrame)
	}
	metaLen, dataLen := int(binary.LittleEndian.Uint32(h[36:])), int(binary.LittleEndian.Uint32(h[40:]))
	if uint64(frameHeader+metaLen+dataLen) != size {
		return f, 0, fmt.Errorf("lengths disagree: %w", errFrame)
	}
	n = k + int(size)
	if len(b) < n {
		return f, 0, errShort
	}
	payload := b[k+frameHeader : n]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(h[44:]) {
		return f, n, fmt.Errorf("payload checksum: %w", errFrame)
	}
	return frame{
		typ:      frameType(h[5]),
		seq:      binary.LittleEndian.Uint64(h[8:]),
		cumItems: binary.LittleEndian.Uint64(h[16:]),
		accepted: int64(binary.LittleEndian.Uint64(h[24:])),
		items:    binary.LittleEndian.Uint32(h[32:]),
		meta:     payload[:metaLen:metaLen],
		data:     payload[metaLen:],
	}, n, nil
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

// resync finds where the next intact entry begins in b[1:], or returns len(b) less the
// few bytes that could still be the beginning of one. A frame is preceded by its length,
// so the magic is looked for and the length tried backwards from it.
func resync(b []byte) int {
	for from := 1; ; {
		i := bytes.Index(b[from:], []byte(frameMagic))
		if i < 0 {
			return max(1, len(b)-len(frameMagic)-binary.MaxVarintLen32)
		}
		at := from + i
		for k := 1; k <= binary.MaxVarintLen32 && at-k >= 1; k++ {
			if _, _, err := parseEntry(b[at-k:]); err == nil || errors.Is(err, errShort) {
				if size, n := binary.Uvarint(b[at-k:]); n == k && size >= frameHeader && size <= maxFrame {
					return at - k
				}
			}
		}
		from = at + 1
	}
}

// A Key names a stream: 128 random bits, minted at every open of a log.
type Key [16]byte

// A sealed generation, as a later header states it: nothing beyond end is to be trusted.
type ending struct {
	gen     uint64
	end     int64
	records uint64
	items   uint64
}

// genHeader is the payload of a generation's first frame.
type genHeader struct {
	stream Key
	lane   string
	ends   []ending // generations that ended since the last header that is on disk
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
	if len(b) != count*32 {
		return h, bad
	}
	for ; len(b) > 0; b = b[32:] {
		h.ends = append(h.ends, ending{
			gen:     binary.LittleEndian.Uint64(b),
			end:     int64(binary.LittleEndian.Uint64(b[8:])),
			records: binary.LittleEndian.Uint64(b[16:]),
			items:   binary.LittleEndian.Uint64(b[24:]),
		})
	}
	return h, nil
}
