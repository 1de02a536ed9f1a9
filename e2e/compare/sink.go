package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // registers it
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// A sink is an OTLP server that counts log records and throws them away. It is any collector: it
// says nothing of itself that only one of the programs would understand.
type sink struct {
	server   *grpc.Server
	addr     string
	records  atomic.Int64
	requests atomic.Int64
	bytes    atomic.Int64  // of protobuf, not compressed
	arrived  chan struct{} // something has
}

func newSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{addr: l.Addr().String(), arrived: make(chan struct{}, 1)}
	s.server = grpc.NewServer(grpc.ForceServerCodecV2(countCodec{}), grpc.MaxRecvMsgSize(64<<20))
	s.server.RegisterService(&grpc.ServiceDesc{ServiceName: "opentelemetry.proto.collector.logs.v1.LogsService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: s.export}}}, s)
	go s.server.Serve(l) // until close
	return s, nil
}

func (s *sink) close() { s.server.Stop() }

func (s *sink) reset() {
	s.records.Store(0)
	s.requests.Store(0)
	s.bytes.Store(0)
}

func (s *sink) export(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var c counted
	if err := decode(&c); err != nil {
		return nil, err
	}
	s.records.Add(int64(c.records))
	s.requests.Add(1)
	s.bytes.Add(int64(c.bytes))
	select {
	case s.arrived <- struct{}{}:
	default:
	}
	return &c, nil
}

// A counted is a request of which only its size is known.
type counted struct{ records, bytes int }

// countCodec counts instead of decoding, and answers with an empty message.
type countCodec struct{}

func (countCodec) Name() string                         { return "proto" }
func (countCodec) Marshal(any) (mem.BufferSlice, error) { return nil, nil }

func (countCodec) Unmarshal(data mem.BufferSlice, v any) (err error) {
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	c := v.(*counted)
	c.bytes = buf.Len()
	c.records, err = countRecords(buf.ReadOnlyData(), 1, 2, 2)
	return err
}

// countRecords counts the fields at the end of a path: resource_logs, scope_logs, log_records.
func countRecords(b []byte, path ...protowire.Number) (n int, err error) {
	for len(b) > 0 {
		field, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return 0, protowire.ParseError(tag)
		}
		size := protowire.ConsumeFieldValue(field, typ, b[tag:])
		if size < 0 {
			return 0, protowire.ParseError(size)
		}
		value := b[tag : tag+size]
		b = b[tag+size:]
		switch {
		case field != path[0] || typ != protowire.BytesType:
		case len(path) == 1:
			n++
		default:
			inner, _ := protowire.ConsumeBytes(value)
			below, err := countRecords(inner, path[1:]...)
			if err != nil {
				return 0, fmt.Errorf("field %d: %w", field, err)
			}
			n += below
		}
	}
	return n, nil
}

func init() { encoding.RegisterCompressor(unzstd{}) }

// unzstd lets the server read what both programs send. It sends nothing compressed itself.
type unzstd struct{}

var zstdDecoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0)) // without options that can be wrong

func (unzstd) Name() string { return "zstd" }

func (unzstd) Decompress(r io.Reader) (io.Reader, error) {
	packed, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	plain, err := zstdDecoder.DecodeAll(packed, nil)
	return bytes.NewReader(plain), err
}

// Compress answers as it is: gRPC compresses an answer as the request was, and not if it is empty.
func (unzstd) Compress(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }
