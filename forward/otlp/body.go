package otlp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/spillway-io/spillway/forward"
)

// errTooLarge says that a body is over the limit, and what to do.
type errTooLarge struct{ limit int }

func (e errTooLarge) Error() string {
	return fmt.Sprintf("request is larger than %d MiB decompressed: send smaller batches or raise max_recv_msg_size_mib", e.limit>>20)
}

// zstdWindow bounds the memory that a zstd frame may claim.
const zstdWindow = 8 << 20

var (
	gzipReaders sync.Pool
	zstdReader  = newZstd() // guarded by streaming
	zstdWhole   = newZstd(zstd.WithDecodeAllCapLimit(true))
)

func newZstd(more ...zstd.DOption) *zstd.Decoder {
	d, err := zstd.NewReader(nil, append(more, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))...)
	if err != nil {
		panic("BUG: otlp: " + err.Error())
	}
	return d
}

// ContentEncoding is what ReadBody has to undo of r, which must be one of allowed, or nothing.
func ContentEncoding(r *http.Request, allowed ...string) ([]string, error) {
	enc := r.Header.Get("Content-Encoding")
	switch {
	case enc == "" || enc == "identity":
		return nil, nil
	case slices.Contains(allowed, enc):
		return []string{enc}, nil
	}
	return nil, &forward.RefusedError{Reason: forward.ReasonUnsupported, Err: fmt.Errorf("encoding %q: use %s or none", enc, strings.Join(allowed, ", "))}
}

// ReadBody reads the body of r and undoes encodings (gzip, zstd, deflate, snappy), one after the
// other. No stage of it may be larger than c says. l counts the bytes from the first one on. What
// is returned is valid until free, which is nil after an error.
func (c ListenerConfig) ReadBody(r *http.Request, l *forward.Limiter, encodings ...string) (bytes []byte, free func(), err error) {
	limit := c.maxRecv()
	if r.ContentLength > int64(limit) {
		return nil, nil, &forward.RefusedError{Reason: forward.ReasonTooLarge, Err: errTooLarge{limit}}
	}
	if err := l.Take(0); err != nil {
		return nil, nil, err
	}
	b := newBody(l)
	err = b.read(r.Body, limit)
	for _, encoding := range encodings {
		if err != nil {
			break
		}
		wire := b
		b = newBody(l)
		err = b.expand(wire.bytes, encoding, limit)
		wire.free()
	}
	if err != nil {
		b.free()
		return nil, nil, err
	}
	return b.bytes, b.free, nil
}

// A body is what a request says, decompressed. bytes are valid until free.
type body struct {
	bytes []byte
	slab  *slab // that bytes lie in, when it is of an ordinary size
	taken int64
	l     *forward.Limiter
}

func newBody(l *forward.Limiter) *body { return &body{l: l} }

// A slab is a reused buffer of one of a few sizes. A body begins with the smallest and moves
// up as its bytes arrive, so that a connection that sends nothing holds nothing.
type slab struct {
	buf   []byte
	class int
}

const (
	smallestSlab = 16 << 10
	slabClasses  = 9 // up to 4 MiB
)

var slabs [slabClasses]sync.Pool

// slabFor is a slab of at least size bytes, or nil when size is beyond the ordinary.
func slabFor(size int) *slab {
	class, n := 0, smallestSlab
	for n < size {
		class++
		n *= 2
	}
	if class >= slabClasses {
		return nil
	}
	if s, ok := slabs[class].Get().(*slab); ok {
		return s
	}
	return &slab{buf: make([]byte, n), class: class}
}

func (s *slab) free() {
	if s != nil {
		slabs[s.class].Put(s)
	}
}

// free gives the memory back, to the limiter and to the next request. Doing so again has no effect.
func (b *body) free() {
	b.l.Give(b.taken)
	b.slab.free()
	*b = body{l: b.l}
}

const (
	smallBody  = 256 << 10
	usualRatio = 8 // telemetry seldom compresses better
)

// expanding bounds decompressions under way: they only use the processor, and each has a
// buffer.
var expanding = make(chan struct{}, runtime.GOMAXPROCS(0))

// expand decompresses wire into b, up to limit bytes. What says how large it is gets exactly
// that much memory; what does not, and is neither small nor in proportion to its size on the
// wire, is measured first. So a bomb costs time and little memory.
func (b *body) expand(wire []byte, encoding string, limit int) error {
	expanding <- struct{}{}
	defer func() { <-expanding }()
	var (
		done bool
		err  error
	)
	switch encoding {
	case "gzip":
		done, err = b.gzipAtOnce(wire, limit)
	case "zstd":
		done, err = b.zstdAtOnce(wire, limit)
	case "snappy":
		done, err = true, b.snappyAtOnce(wire, limit)
	}
	if done || err != nil {
		return err
	}
	streaming.Lock()
	defer streaming.Unlock()
	size, err := measure(wire, encoding, limit)
	if err != nil {
		return err
	}
	if err := b.room(size); err != nil {
		return err
	}
	r, end, err := decompressor(wire, encoding)
	if err != nil {
		return err
	}
	defer end()
	if _, err := io.ReadFull(r, b.bytes[:size]); err != nil {
		return malformed(encoding, err)
	}
	b.bytes = b.bytes[:size]
	return nil
}

// streaming is for what could not be done at once: a window is taken for it, so there is one.
var streaming sync.Mutex

// measure decompresses wire into nothing and says how large it is.
func measure(wire []byte, encoding string, limit int) (int, error) {
	r, done, err := decompressor(wire, encoding)
	if err != nil {
		return 0, err
	}
	defer done()
	n, err := io.Copy(io.Discard, io.LimitReader(r, int64(limit)+1))
	switch {
	case n > int64(limit):
		return 0, &forward.RefusedError{Reason: forward.ReasonTooLarge, Err: errTooLarge{limit}}
	case err != nil:
		return 0, malformed(encoding, err)
	}
	return int(n), nil
}

// gzipAtOnce goes by the length in gzip's trailer (RFC 1952, ISIZE). False: wire is not one
// member that is as long as it says.
func (b *body) gzipAtOnce(wire []byte, limit int) (done bool, err error) {
	if len(wire) < 18 {
		return false, malformed("gzip", io.ErrUnexpectedEOF)
	}
	r, end, err := decompressor(wire, "gzip")
	if err != nil {
		return false, err
	}
	defer end()
	size := int64(binary.LittleEndian.Uint32(wire[len(wire)-4:]))
	if size > int64(limit) {
		return false, &forward.RefusedError{Reason: forward.ReasonTooLarge, Err: errTooLarge{limit}}
	}
	if err := b.room(int(size)); err != nil {
		return false, err
	}
	if _, err := io.ReadFull(r, b.bytes[:size]); err != nil {
		return false, malformed("gzip", err)
	}
	switch _, err := io.ReadFull(r, make([]byte, 1)); {
	case err == nil:
		return false, nil
	case !errors.Is(err, io.EOF):
		return false, malformed("gzip", err)
	}
	b.bytes = b.bytes[:size]
	return true, nil
}

// zstdAtOnce decompresses what is in proportion to its size on the wire, straight into b and
// without a window. False: it is larger than that, or damaged; streaming tells which.
func (b *body) zstdAtOnce(wire []byte, limit int) (done bool, err error) {
	most := min(limit, max(smallBody, usualRatio*len(wire)))
	for room := max(smallestSlab, usualRatio*len(wire)); ; room *= 4 {
		room = min(room, most)
		if err := b.room(room); err != nil {
			return false, err
		}
		// Without room the decoder answers with one of several errors.
		if out, err := zstdWhole.DecodeAll(wire, b.bytes[:0:min(cap(b.bytes), limit)]); err == nil {
			b.bytes = out
			return true, nil
		}
		if room == most {
			return false, nil
		}
	}
}

// snappyRatio is more than Snappy can make of a byte: its best element is 64 bytes out of 3.
const snappyRatio = 22

// snappyAtOnce goes by the length at the head of a Snappy block.
func (b *body) snappyAtOnce(wire []byte, limit int) error {
	size, err := snappy.DecodedLen(wire)
	switch {
	case err != nil:
		return malformed("snappy", err)
	case size > limit:
		return &forward.RefusedError{Reason: forward.ReasonTooLarge, Err: errTooLarge{limit}}
	case size > snappyRatio*len(wire):
		return malformed("snappy", fmt.Errorf("%d bytes cannot hold the %d that they promise", len(wire), size))
	}
	if err := b.room(size); err != nil {
		return err
	}
	if b.bytes, err = snappy.DecodeStrict(b.bytes, wire); err != nil {
		return malformed("snappy", fmt.Errorf("%w: send one block, not the framing format", err))
	}
	return nil
}

// read takes r as it is, up to limit bytes.
func (b *body) read(r io.Reader, limit int) error {
	for {
		if len(b.bytes) == cap(b.bytes) {
			if err := b.room(max(smallestSlab, 2*cap(b.bytes))); err != nil {
				return err
			}
		}
		n, err := r.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case len(b.bytes) > limit:
			return &forward.RefusedError{Reason: forward.ReasonTooLarge, Err: errTooLarge{limit}}
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return malformed("request body", err)
		}
	}
}

// room makes b able to hold size bytes, if the limiter lets it.
func (b *body) room(size int) error {
	if size <= cap(b.bytes) {
		return nil
	}
	if err := b.l.Take(int64(size)); err != nil {
		return err
	}
	had, old := b.taken, b.slab
	b.taken = int64(size)
	if b.slab = slabFor(size); b.slab != nil {
		b.bytes = append(b.slab.buf[:0], b.bytes...)
	} else {
		b.bytes = append(make([]byte, 0, size), b.bytes...)
	}
	old.free()
	b.l.Give(had) // both were there while it moved
	return nil
}

func malformed(what string, err error) error {
	return &forward.RefusedError{Reason: forward.ReasonMalformed, Err: fmt.Errorf("%s: %w", what, err)}
}

// decompressor reads wire, which is gzip, zstd or deflate. done ends its use.
func decompressor(wire []byte, encoding string) (out io.Reader, done func(), err error) {
	r := bytes.NewReader(wire)
	if encoding == "zstd" {
		if err := zstdReader.Reset(r); err != nil {
			return nil, nil, malformed(encoding, err)
		}
		return zstdReader, func() { zstdReader.Reset(nil) }, nil
	}
	if encoding == "deflate" {
		// RFC 9110 means zlib. Loki, and who sends to it, mean the bare stream: that never begins
		// like zlib's header, but for a stored block with padding that is not zero.
		if len(wire) > 1 && wire[0]&0x0f == 8 && binary.BigEndian.Uint16(wire)%31 == 0 {
			zr, err := zlib.NewReader(r)
			if err != nil {
				return nil, nil, malformed(encoding, err)
			}
			return zr, func() {}, nil
		}
		return flate.NewReader(r), func() {}, nil
	}
	zr, ok := gzipReaders.Get().(*gzip.Reader)
	if ok {
		err = zr.Reset(r)
	} else {
		zr, err = gzip.NewReader(r)
	}
	if err != nil {
		return nil, nil, malformed(encoding, err)
	}
	return zr, func() { gzipReaders.Put(zr) }, nil
}
