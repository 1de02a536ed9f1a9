package otlp

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// A raw message goes through gRPC as bytes: nothing is decoded or built.
type raw struct {
	out []byte // to send; lent until the call returns
	// shared: out itself would be handed to the connection, which may still be sending when a call
	// has failed, and out is somebody else's again.
	shared bool
	in     mem.BufferSlice // received; free it
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
		if m.shared {
			return mem.BufferSlice{mem.Copy(m.out, mem.DefaultBufferPool())}, nil
		}
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
