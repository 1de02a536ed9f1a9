package clickhouse

import (
	"io"
	"net/http"
	"sync"

	"github.com/ClickHouse/ch-go/compress"
)

// frameBytes is how much of a block goes into one compressed frame, as in ClickHouse's own
// clients.
const frameBytes = 1 << 20

// frames reads a block in ClickHouse's compressed frames: a checksum, a header and the
// compressed bytes of each piece. It compresses while it is read.
type frames struct {
	mu    sync.Mutex // an HTTP request may go on reading its body after it has failed
	pool  *sync.Pool // nil: not compressed
	comp  framer
	block []byte // not compressed yet; lent
	ready []byte // not read yet
	freed bool
}

// A framer makes a compressed frame of data, valid until the next call.
type framer interface {
	Frame(data []byte) ([]byte, error)
}

// framers have large tables.
var framers = map[compress.Method]*sync.Pool{
	compress.LZ4:  {New: func() any { return new(lz4Framer) }},
	compress.ZSTD: {New: func() any { return zstdFramer{compress.NewWriter(compress.LevelZero, compress.ZSTD)} }},
}

// zstdFramer is ch-go's.
type zstdFramer struct{ *compress.Writer }

func (z zstdFramer) Frame(data []byte) ([]byte, error) {
	err := z.Compress(data)
	return z.Data, err
}

// newFrames reads block, which must not change until free.
func newFrames(block []byte, method compress.Method) *frames {
	f := &frames{block: block, pool: framers[method]}
	if f.pool != nil {
		f.comp = f.pool.Get().(framer)
	}
	return f
}

func (f *frames) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.freed {
		return 0, io.ErrClosedPipe
	}
	if len(f.ready) == 0 {
		if len(f.block) == 0 {
			return 0, io.EOF
		}
		n := min(frameBytes, len(f.block))
		f.ready = f.block[:n]
		if f.comp != nil {
			var err error
			if f.ready, err = f.comp.Frame(f.block[:n]); err != nil {
				return 0, err
			}
		}
		f.block = f.block[n:]
	}
	n := copy(p, f.ready)
	f.ready = f.ready[n:]
	return n, nil
}

// Close is for an HTTP request whose body f is. It may come after the request has failed.
func (f *frames) Close() error { return nil }

// framed tells the server of a body in compressed frames. It cannot be told with the INSERT's
// settings: clickhouse-go sends those with the questions of a new connection, too.
type framed struct{ http.RoundTripper }

func (t framed) RoundTrip(r *http.Request) (*http.Response, error) {
	if f, ok := r.Body.(*frames); ok && f.comp != nil {
		u := *r.URL
		u.RawQuery += "&decompress=1"
		r = r.Clone(r.Context())
		r.URL = &u
	}
	return t.RoundTripper.RoundTrip(r)
}

// free gives block and compressor back: whoever still reads, reads an error.
func (f *frames) free() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.freed = true
	if f.pool != nil {
		f.pool.Put(f.comp)
	}
}
