package otlp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/spillway-io/spillway/forward"
)

// Whatever the size and however well it compresses, what was compressed comes out.
func TestExpandGivesBackWhatWasCompressed(t *testing.T) {
	const limit = 8 << 20
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	l := forward.NewLimiter(1<<40, 1<<39, forward.Hard, time.Second, quiet)
	for i := range 150 {
		size := r.IntN(1 << r.IntN(24))
		unit := 1 + r.IntN(1<<r.IntN(12)) // the same bytes again and again: from incompressible to 1000:1
		part := make([]byte, unit)
		for j := range part {
			part[j] = byte(r.Uint32())
		}
		plain := bytes.Repeat(part, size/unit+1)[:size]
		var members bytes.Buffer
		for half := range 2 { // gzip allows several members
			w := gzip.NewWriter(&members)
			w.Write(plain[len(plain)/2*half : len(plain)/2+(len(plain)-len(plain)/2)*half])
			w.Close()
		}
		enc, _ := zstd.NewWriter(nil)
		for name, wire := range map[string][]byte{
			"gzip": zipped(t, "gzip", plain), "zstd": zipped(t, "zstd", plain),
			"gzip of two members": members.Bytes(), "zstd of two frames": append(enc.EncodeAll(plain[:len(plain)/2], nil), enc.EncodeAll(plain[len(plain)/2:], nil)...),
		} {
			b := newBody(l)
			err := b.expand(wire, name[:4], limit)
			if size > limit {
				if refused := forward.Refused(err); refused == nil || refused.Reason != forward.ReasonTooLarge {
					t.Fatalf("%d: %s of %d bytes: %v, want too large", i, name, size, err)
				}
			} else if err != nil || !bytes.Equal(b.bytes, plain) {
				t.Fatalf("%d: %s of %d bytes, %d on the wire: %d bytes, %v", i, name, size, len(wire), len(b.bytes), err)
			}
			b.free()
			if len(wire) > 30 && len(name) == 4 { // what is made of two can be cut between them
				b := newBody(l)
				if err := b.expand(wire[:len(wire)-1-r.IntN(len(wire)/2)], name[:4], limit); err == nil || errors.Is(err, forward.ErrMemory) {
					t.Fatalf("%d: %s cut off: %v", i, name, err)
				}
				b.free()
			}
		}
	}
	if taken, _, _, _ := l.Usage(); taken != 0 {
		t.Errorf("%d bytes not given back", taken)
	}
}

// The encodings that only Loki's clients use: Snappy's block, and deflate with and without zlib's header.
func TestExpandUndoesSnappyAndDeflate(t *testing.T) {
	const limit = 1 << 20
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	l := forward.NewLimiter(1<<40, 1<<39, forward.Hard, time.Second, quiet)
	through := func(w io.WriteCloser, buf *bytes.Buffer, plain []byte) []byte {
		w.Write(plain)
		w.Close()
		return buf.Bytes()
	}
	for i := range 40 {
		plain := make([]byte, r.IntN(1<<r.IntN(22)))
		if i%3 > 0 { // else it compresses as well as anything can
			for j := range plain {
				plain[j] = byte(r.Uint32()) % byte(2<<r.IntN(7))
			}
		}
		var bare, headed bytes.Buffer
		f, _ := flate.NewWriter(&bare, r.IntN(10))
		for _, c := range []struct {
			encoding string
			wire     []byte
		}{
			{"snappy", snappy.Encode(nil, plain)}, {"deflate", through(f, &bare, plain)}, {"deflate", through(zlib.NewWriter(&headed), &headed, plain)},
		} {
			b := newBody(l)
			err := b.expand(c.wire, c.encoding, limit)
			if len(plain) > limit {
				if refused := forward.Refused(err); refused == nil || refused.Reason != forward.ReasonTooLarge {
					t.Fatalf("%d: %s of %d bytes: %v, want too large", i, c.encoding, len(plain), err)
				}
			} else if err != nil || !bytes.Equal(b.bytes, plain) {
				t.Fatalf("%d: %s of %d bytes, %d on the wire: %d bytes, %v", i, c.encoding, len(plain), len(c.wire), len(b.bytes), err)
			}
			b.free()
			if len(c.wire) > 1 {
				b := newBody(l)
				if err := b.expand(c.wire[:len(c.wire)-1-r.IntN(len(c.wire)/2)], c.encoding, limit); err == nil {
					t.Fatalf("%d: %s cut off passes", i, c.encoding)
				}
				b.free()
			}
		}
	}
	if taken, _, _, _ := l.Usage(); taken != 0 {
		t.Errorf("%d bytes not given back", taken)
	}

	// A promise that the block cannot keep takes no memory: the limiter would say so.
	tiny := forward.NewLimiter(1<<20, 1<<19, forward.Hard, time.Second, quiet)
	lie := append(binary.AppendUvarint(nil, limit), make([]byte, limit/snappyRatio-8)...)
	if refused := forward.Refused(newBody(tiny).expand(lie, "snappy", limit)); refused == nil || refused.Reason != forward.ReasonMalformed {
		t.Errorf("a lie: %v", refused)
	}
}
