package otlp

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/forward"
)

// A raw message goes through gRPC as bytes: nothing is decoded or built.
type raw struct {
	out []byte          // to send; lent until the call returns
	in  mem.BufferSlice // received; free it
}

func (m *raw) free() {
	m.in.Free()
	m.in = nil
}

// rawCodec passes raw messages through and marshals everything else (health, status) as protobuf.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *raw:
		return mem.BufferSlice{mem.SliceBuffer(m.out)}, nil
	case proto.Message:
		b, err := proto.Marshal(m)
		return mem.BufferSlice{mem.SliceBuffer(b)}, err
	}
	return nil, fmt.Errorf("BUG: otlp: cannot marshal a %T", v)
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *raw:
		data.Ref()
		m.in = data
		return nil
	case proto.Message:
		return proto.Unmarshal(data.Materialize(), m)
	}
	return fmt.Errorf("BUG: otlp: cannot unmarshal a %T", v)
}

// gRPC decompresses a message before a handler can say that there is no memory for it. So the
// decompressors registered here do not decompress: they put two bytes in front of what they are
// given, and expand does the work, within limits. No protobuf message begins with a zero byte.
//
// The registry is one per process and also serves our own client, whose answers are tiny.

const (
	compressedGzip = 1
	compressedZstd = 2
)

func init() {
	encoding.RegisterCompressor(compressor{"gzip", compressedGzip, func(w io.Writer) (io.WriteCloser, error) {
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	}})
	encoding.RegisterCompressor(compressor{"zstd", compressedZstd, func(w io.Writer) (io.WriteCloser, error) {
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	}})
}

type compressor struct {
	name string
	id   byte
	open func(io.Writer) (io.WriteCloser, error)
}

func (c compressor) Name() string { return c.name }

type resetWriter interface {
	io.WriteCloser
	Reset(io.Writer)
}

var writers [3]sync.Pool // by compressor id

func (c compressor) Compress(w io.Writer) (io.WriteCloser, error) {
	if rw, ok := writers[c.id].Get().(resetWriter); ok {
		rw.Reset(w)
		return &pooledWriter{rw, c.id}, nil
	}
	wc, err := c.open(w)
	if err != nil {
		return nil, err
	}
	return &pooledWriter{wc.(resetWriter), c.id}, nil
}

type pooledWriter struct {
	resetWriter
	id byte
}

func (w *pooledWriter) Close() error {
	err := w.resetWriter.Close()
	writers[w.id].Put(w.resetWriter)
	return err
}

func (c compressor) Decompress(r io.Reader) (io.Reader, error) {
	return &tagged{tag: [2]byte{0, c.id}, r: r}, nil
}

type tagged struct {
	tag [2]byte
	n   int
	r   io.Reader
}

func (t *tagged) Read(p []byte) (int, error) {
	if t.n < len(t.tag) {
		n := copy(p, t.tag[t.n:])
		t.n += n
		return n, nil
	}
	return t.r.Read(p)
}

// untag says how p, as received, is compressed ("" if it is not), and what follows the tag.
func untag(p []byte) (encoding string, rest []byte) {
	if len(p) >= 2 && p[0] == 0 {
		switch p[1] {
		case compressedGzip:
			return "gzip", p[2:]
		case compressedZstd:
			return "zstd", p[2:]
		}
	}
	return "", p
}

// errTooLarge says that a body is over the limit, and what to do.
type errTooLarge struct{ limit int }

func (e errTooLarge) Error() string {
	return fmt.Sprintf("request is larger than %d MiB decompressed: send smaller batches or raise max_recv_msg_size_mib", e.limit>>20)
}

// zstdWindow bounds the memory that a zstd frame may claim.
const zstdWindow = 8 << 20

var (
	gzipReaders sync.Pool
	zstdReaders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			panic("BUG: otlp: " + err.Error())
		}
		return d
	}}
)

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

// free gives the memory back, to the limiter and to the next request.
func (b *body) free() {
	b.l.Give(b.taken)
	b.slab.free()
}

const (
	smallBody  = 1 << 20
	usualRatio = 8 // telemetry seldom compresses better
)

// expanding bounds decompressions under way: they only use the processor, and each has a
// window and a buffer.
var expanding = make(chan struct{}, runtime.GOMAXPROCS(0))

// expand decompresses wire, of size bytes, into b, up to limit bytes. wire may be opened
// twice: what is neither small nor in proportion to its size on the wire is measured before
// memory is taken for it, so that a bomb costs time and little memory.
func (b *body) expand(wire func() io.Reader, size int, encoding string, limit int) error {
	expanding <- struct{}{}
	defer func() { <-expanding }()
	r, done, err := decompressor(wire(), encoding)
	if err != nil {
		return err
	}
	more, err := b.fill(r, min(limit, max(smallBody, usualRatio*size)))
	if err != nil || !more {
		done()
		if err == nil && len(b.bytes) > limit {
			err = &forward.RefusedError{Reason: forward.ReasonTooLarge, Err: errTooLarge{limit}}
		}
		return err
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(r, int64(limit-len(b.bytes)+1)))
	done()
	whole := len(b.bytes) + int(rest)
	switch {
	case whole > limit:
		return &forward.RefusedError{Reason: forward.ReasonTooLarge, Err: errTooLarge{limit}}
	case err != nil:
		return malformed(encoding, err)
	}
	if err := b.room(whole); err != nil {
		return err
	}
	if r, done, err = decompressor(wire(), encoding); err != nil {
		return err
	}
	defer done()
	if _, err := io.ReadFull(r, b.bytes[:whole]); err != nil {
		return malformed(encoding, err)
	}
	b.bytes = b.bytes[:whole]
	return nil
}

// read takes r as it is, up to limit bytes.
func (b *body) read(r io.Reader, limit int) error {
	more, err := b.fill(io.LimitReader(r, int64(limit)+1), limit+1)
	if err == nil && (more || len(b.bytes) > limit) {
		return &forward.RefusedError{Reason: forward.ReasonTooLarge, Err: errTooLarge{limit}}
	}
	return err
}

// fill reads until the end of r, or until a buffer of at least stop bytes is full.
func (b *body) fill(r io.Reader, stop int) (more bool, err error) {
	for {
		if len(b.bytes) == cap(b.bytes) {
			if len(b.bytes) >= stop {
				return true, nil
			}
			if err := b.room(max(smallestSlab, 2*cap(b.bytes))); err != nil {
				return false, err
			}
		}
		n, err := r.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, malformed("request body", err)
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
	b.l.Give(b.taken)
	b.taken = int64(size)
	old := b.slab
	if b.slab = slabFor(size); b.slab != nil {
		b.bytes = append(b.slab.buf[:0], b.bytes...)
	} else {
		b.bytes = append(make([]byte, 0, size), b.bytes...)
	}
	old.free()
	return nil
}

func malformed(what string, err error) error {
	return &forward.RefusedError{Reason: forward.ReasonMalformed, Err: fmt.Errorf("%s: %w", what, err)}
}

// decompressor reads what encoding ("", "gzip" or "zstd") says r is. done ends its use.
func decompressor(r io.Reader, encoding string) (out io.Reader, done func(), err error) {
	switch encoding {
	case "", "identity":
		return r, func() {}, nil
	case "gzip":
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
	case "zstd":
		zr := zstdReaders.Get().(*zstd.Decoder)
		if err := zr.Reset(r); err != nil {
			return nil, nil, malformed(encoding, err)
		}
		return zr, func() { zr.Reset(nil); zstdReaders.Put(zr) }, nil
	}
	return nil, nil, &forward.RefusedError{Reason: forward.ReasonUnsupported, Err: fmt.Errorf("encoding %q: use gzip, zstd or none", encoding)}
}
