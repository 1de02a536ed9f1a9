package tail

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A cursor is a few bytes that travel with a chunk into the log. Version 1, integers as
// varints unless a width is given (little endian then):
//
//	version  u8 = 1
//	kind     u8 = 1 progress, 2 forget, 3 mark, 4 progress with a seam
//
//	progress: these bytes of this file are safe
//	  key      u64             minted when the file was first seen
//	  device   uvarint
//	  inode    uvarint
//	  birth    varint          ns since 1970, 0: unknown
//	  head     uvarint, u64    length and FNV-1a hash of the file's first bytes
//	  path     uvarint, bytes  where it was found, for people
//	  spans    uvarint         how many follow
//	    skip, length  uvarint, uvarint  from the end of the span before (at first from 0)
//
//	progress with a seam: the same, and behind it
//	  born     varint          what is older of the same log was there before us: when the file was made that had the
//	                           content first, or, if that was before the log was first tailed, that; as birth
//	  end      uvarint         where in the file the seam ends
//	  seam     u8, u64         length and FNV-1a hash of the bytes before that
//	  rungs    u32 each        lower halves of the hashes of the first 16, 32, 64, 128, 256 and 512 bytes,
//	                           of those lengths that head has
//
//	forget: these files are gone
//	  keys     uvarint, u64 each
//
//	mark: how far another source has come; of a name's marks the highest number counts
//	  name     uvarint, bytes  at most 1024
//	  number   u64
//	  value    uvarint, bytes  at most 4096
const (
	cursorVersion = 1

	kindProgress = 1
	kindForget   = 2
	kindMark     = 3
	kindSeam     = 4
)

const (
	maxPath  = 4096
	maxSpans = 1024 // of one file
)

// A progress is the decoded cursor of a chunk.
type progress struct {
	key  uint64
	id   identity
	path string
	done spans
	seam seam // of the last chunk in done, or an earlier one
	born int64

	rungs rungs
}

var errCursor = errors.New("malformed cursor")

func appendProgress(dst []byte, p progress) []byte {
	kind := byte(kindProgress)
	if p.seam.n > 0 || p.born != p.id.birth {
		kind = kindSeam
	}
	dst = append(dst, cursorVersion, kind)
	dst = binary.LittleEndian.AppendUint64(dst, p.key)
	dst = binary.AppendUvarint(dst, p.id.dev)
	dst = binary.AppendUvarint(dst, p.id.ino)
	dst = binary.AppendVarint(dst, p.id.birth)
	dst = binary.AppendUvarint(dst, uint64(p.id.head.n))
	dst = binary.LittleEndian.AppendUint64(dst, p.id.head.sum)
	dst = binary.AppendUvarint(dst, uint64(len(p.path)))
	dst = append(dst, p.path...)
	dst = binary.AppendUvarint(dst, uint64(len(p.done)))
	at := int64(0)
	for _, s := range p.done {
		dst = binary.AppendUvarint(dst, uint64(s.start-at))
		dst = binary.AppendUvarint(dst, uint64(s.end-s.start))
		at = s.end
	}
	if kind == kindSeam {
		dst = binary.AppendVarint(dst, p.born)
		dst = binary.AppendUvarint(dst, uint64(p.seam.end))
		dst = append(dst, byte(p.seam.n))
		dst = binary.LittleEndian.AppendUint64(dst, p.seam.sum)
		for _, sum := range p.rungs[:countRungs(p.id.head.n)] {
			dst = binary.LittleEndian.AppendUint32(dst, sum)
		}
	}
	return dst
}

func appendForget(dst []byte, keys []uint64) []byte {
	dst = append(dst, cursorVersion, kindForget)
	dst = binary.AppendUvarint(dst, uint64(len(keys)))
	for _, k := range keys {
		dst = binary.LittleEndian.AppendUint64(dst, k)
	}
	return dst
}

// decodeCursor returns the progress or the keys to forget. It keeps nothing of b.
func decodeCursor(b []byte) (p *progress, forget []uint64, err error) {
	r := cursorReader{b: b}
	if v := r.byte(); v != cursorVersion {
		return nil, nil, fmt.Errorf("cursor of version %d, this program knows %d", v, cursorVersion)
	}
	switch kind := r.byte(); kind {
	case kindProgress:
		p = r.progress()
	case kindSeam:
		p = r.progress()
		p.born, p.seam = r.varint(), r.seam()
		for i := range countRungs(p.id.head.n) {
			p.rungs[i] = r.u32()
		}
	case kindForget:
		n := r.count(len(r.b) / 8)
		for range n {
			forget = append(forget, r.u64())
		}
	default:
		return nil, nil, fmt.Errorf("cursor of unknown kind %d", kind)
	}
	if r.bad || len(r.b) > 0 {
		return nil, nil, errCursor
	}
	return p, forget, nil
}

// A cursorReader takes a cursor apart; after the first thing that is wrong it gives zeros.
type cursorReader struct {
	b   []byte
	bad bool
}

func (r *cursorReader) progress() *progress {
	p := &progress{key: r.u64()}
	p.id.dev, p.id.ino, p.id.birth = r.uvarint(), r.uvarint(), r.varint()
	p.born = p.id.birth
	p.id.head.n = r.count(fingerprintBytes)
	p.id.head.sum = r.u64()
	p.path = string(r.bytes(r.count(maxPath)))
	at := uint64(0)
	for range r.count(maxSpans) {
		skip, length := r.uvarint(), r.uvarint()
		start := at + skip
		end := start + length
		if start < at || end <= start || end > math.MaxInt64 {
			r.bad = true
			return p
		}
		p.done = p.done.add(int64(start), int64(end))
		at = end
	}
	return p
}

func (r *cursorReader) seam() seam {
	s := seam{end: int64(r.uvarint()), n: int(r.byte()), sum: r.u64()}
	if s.n > seamBytes || s.end < int64(s.n) {
		r.bad = true
	}
	return s
}

func (r *cursorReader) bytes(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *cursorReader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *cursorReader) u64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *cursorReader) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *cursorReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.bytes(n)
	return v
}

func (r *cursorReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.bytes(n)
	return v
}

// count reads a number of things to come, of which there are at most most.
func (r *cursorReader) count(most int) int {
	v := r.uvarint()
	if v > uint64(most) {
		r.bad = true
		return 0
	}
	return int(v)
}
