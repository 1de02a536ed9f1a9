package embedded

import (
	"encoding/binary"
	"io"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
)

// frameBytes is how much of a result goes into one compressed frame at most, as in ClickHouse.
const frameBytes = 1 << 20

// newFrameWriter makes the compressor for a value of ClickHouse's setting network_compression_method.
func newFrameWriter(method string) *compress.Writer {
	switch strings.ToUpper(method) {
	case "ZSTD":
		return compress.NewWriter(compress.LevelZero, compress.ZSTD)
	case "NONE":
		return compress.NewWriter(compress.LevelZero, compress.None)
	}
	return compress.NewWriter(compress.LevelZero, compress.LZ4)
}

// compressFrames hands data to each in compressed frames, which are each's until it returns.
func compressFrames(w *compress.Writer, data []byte, each func(frame []byte) error) error {
	for len(data) > 0 {
		n := min(len(data), frameBytes)
		if err := w.Compress(data[:n]); err != nil {
			return err
		}
		if err := each(w.Data); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// A frame is a checksum of 16 bytes, then the method (1), the size of what follows the checksum (4) and the size of the data (4).
const (
	frameChecksumBytes = 16
	frameHeaderBytes   = frameChecksumBytes + 1 + 4 + 4
)

// wholeFrames passes compressed frames on and makes an end inside one an error: the decompressor would take a body cut off between
// a frame's header and its data for a complete one.
type wholeFrames struct {
	r      io.Reader
	header [frameHeaderBytes]byte
	have   int // bytes of header
	left   int // bytes of the frame behind its header
}

func (f *wholeFrames) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		if f.left > 0 {
			skip := min(f.left, len(rest))
			f.left -= skip
			rest = rest[skip:]
			continue
		}
		got := copy(f.header[f.have:], rest)
		f.have += got
		rest = rest[got:]
		if f.have == frameHeaderBytes {
			size := int(binary.LittleEndian.Uint32(f.header[frameChecksumBytes+1:]))
			f.have, f.left = 0, max(0, size-(frameHeaderBytes-frameChecksumBytes))
		}
	}
	if err == io.EOF && (f.have > 0 || f.left > 0) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
