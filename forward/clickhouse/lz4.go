package clickhouse

import (
	"encoding/binary"
	"math/bits"

	"github.com/go-faster/city"
)

// An LZ4 block encoder of our own: blocks of columns are long runs of repeated bytes, and a
// third of a collector's time went into compressing them with a general-purpose one. Format:
// the LZ4 project's doc/lz4_Block_format.md. A block is a list of sequences, each a token with
// two lengths, literals, and a match further back: offset and length.

const (
	lz4MinMatch   = 4
	lz4MaxOffset  = 1<<16 - 1
	lz4TailStart  = 12 // the last match starts at least so far from the end
	lz4TailLength = 5  // and ends so far from it: the last bytes are literals
	lz4SkipAfter  = 4  // log2 of how many positions in vain make the search take longer steps

	lz4TableBits = 14
)

// lz4Table holds, by the hash of six bytes, where they were seen last.
type lz4Table [1 << lz4TableBits]uint32

// lz4Hash is of six bytes. Shorter matches save a byte or two of text, and ids in hexadecimal are
// full of them by chance: looking for them takes twice the time and gains nothing.
func lz4Hash(v uint64) uint64 {
	const prime = 227718039650203 // of six bytes: their product's high bits depend on all of them
	return (v << 16) * prime >> (64 - lz4TableBits)
}

// lz4Bound is the most that n bytes can take.
func lz4Bound(n int) int { return n + n/255 + 16 }

// appendLZ4 appends src as one LZ4 block to dst, which must have room for lz4Bound of it.
func appendLZ4(dst, src []byte, table *lz4Table) []byte {
	anchor := 0 // what is before it is in dst
	if len(src) > lz4TailStart {
		clear(table[:])
		last := len(src) - lz4TailStart
		for at := 1; ; {
			match, ok := 0, false
			for tries := 1 << lz4SkipAfter; at <= last; tries++ {
				v := binary.LittleEndian.Uint64(src[at:])
				slot := &table[lz4Hash(v)&(1<<lz4TableBits-1)] // the mask spares a bounds check
				match = int(*slot)
				*slot = uint32(at)
				if at-match <= lz4MaxOffset && (binary.LittleEndian.Uint64(src[match:])^v)<<16 == 0 {
					ok = true
					break
				}
				at += tries >> lz4SkipAfter
			}
			if !ok {
				break
			}
			for at > anchor && match > 0 && src[at-1] == src[match-1] {
				at, match = at-1, match-1
			}
			offset := at - match
			length := lz4MinMatch + commonPrefix(src[at+lz4MinMatch:len(src)-lz4TailLength], src[match+lz4MinMatch:])
			dst = appendSequence(dst, src[anchor:at], offset, length)
			at += length
			anchor = at
			if at > last {
				break
			}
			table[lz4Hash(binary.LittleEndian.Uint64(src[at-2:]))] = uint32(at - 2)
		}
	}
	rest := src[anchor:]
	dst = append(dst, byte(min(len(rest), 15)<<4))
	dst = appendLength(dst, len(rest))
	return append(dst, rest...)
}

// appendSequence appends literals and the match that follows them.
func appendSequence(dst, literals []byte, offset, length int) []byte {
	length -= lz4MinMatch
	dst = append(dst, byte(min(len(literals), 15)<<4|min(length, 15)))
	dst = appendLength(dst, len(literals))
	dst = append(dst, literals...)
	dst = append(dst, byte(offset), byte(offset>>8))
	return appendLength(dst, length)
}

// appendLength appends what of a length does not fit into its four bits of the token.
func appendLength(dst []byte, n int) []byte {
	if n < 15 {
		return dst
	}
	for n -= 15; n >= 255; n -= 255 {
		dst = append(dst, 255)
	}
	return append(dst, byte(n))
}

// commonPrefix is how many bytes a and b, which is not shorter, begin alike with.
func commonPrefix(a, b []byte) int {
	n := 0
	for ; n+8 <= len(a); n += 8 {
		if diff := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); diff != 0 {
			return n + bits.TrailingZeros64(diff)/8
		}
	}
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return n
}

// An lz4Framer makes ClickHouse's compressed frames: CityHash128 of what follows, method, size
// of what follows the checksum, size of the data, the LZ4 block. It is used for one frame after another.
type lz4Framer struct {
	table lz4Table
	frame []byte
}

const (
	frameChecksum  = 16
	frameHeader    = frameChecksum + 1 + 4 + 4
	frameMethodLZ4 = 0x82
)

// Frame returns data as a frame, which is valid until the next call.
func (z *lz4Framer) Frame(data []byte) ([]byte, error) {
	if need := frameHeader + lz4Bound(len(data)); cap(z.frame) < need {
		z.frame = make([]byte, need)
	}
	f := appendLZ4(z.frame[:frameHeader], data, &z.table)
	f[frameChecksum] = frameMethodLZ4
	binary.LittleEndian.PutUint32(f[frameChecksum+1:], uint32(len(f)-frameChecksum))
	binary.LittleEndian.PutUint32(f[frameChecksum+5:], uint32(len(data)))
	sum := city.CH128(f[frameChecksum:])
	binary.LittleEndian.PutUint64(f, sum.Low)
	binary.LittleEndian.PutUint64(f[8:], sum.High)
	z.frame = f[:frameHeader]
	return f, nil
}
