package tail

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
)

// gzipMagic is how a file of gzip begins (RFC 1952), with deflate as its method.
var gzipMagic = []byte{0x1f, 0x8b, 8}

// A gunzip reads what a compressed file holds, front to back: a step back begins anew, but for
// the few bytes that every read begins with.
type gunzip struct {
	file  *os.File
	from  *bufio.Reader
	z     *gzip.Reader
	pos   int64  // of the next byte of z
	last  []byte // the bytes before pos, at most seamBytes
	whole bool   // its end was reached, and its checksum is right
}

// ReadAt is an io.ReaderAt's. A file that is cut off, as it is while somebody writes it, ends
// where it does: whole tells the difference.
func (g *gunzip) ReadAt(p []byte, off int64) (n int, err error) {
	if back := g.pos - off; g.z != nil && back > 0 && back <= int64(len(g.last)) {
		n = copy(p, g.last[int64(len(g.last))-back:])
		if n == len(p) {
			return n, nil
		}
	} else if err := g.moveTo(off); err != nil {
		return 0, err
	}
	for n < len(p) && err == nil {
		var got int
		got, err = g.z.Read(p[n:])
		g.passed(p[n : n+got])
		n += got
	}
	return n, g.ended(err)
}

// ended closes the stream behind its last byte.
func (g *gunzip) ended(err error) error {
	switch {
	case err == nil:
		return nil
	case err == io.EOF:
		g.whole = true
		return io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		g.close()
		return io.EOF
	}
	g.close()
	return fmt.Errorf("decompress %s at %d: %w", g.file.Name(), g.pos, err)
}

// passed notes that z has given b.
func (g *gunzip) passed(b []byte) {
	g.pos += int64(len(b))
	if len(b) >= seamBytes {
		g.last = append(g.last[:0], b[len(b)-seamBytes:]...)
		return
	}
	g.last = append(g.last, b...)
	g.last = g.last[:copy(g.last, g.last[max(0, len(g.last)-seamBytes):])]
}

func (g *gunzip) moveTo(off int64) error {
	if g.z == nil || off < g.pos {
		g.close()
		g.from = bufio.NewReaderSize(io.NewSectionReader(g.file, 0, 1<<62), 16<<10)
		z, err := gzip.NewReader(g.from)
		if err != nil {
			return g.ended(err)
		}
		g.z = z
	}
	var buf [8 << 10]byte
	for g.pos < off {
		n, err := g.z.Read(buf[:min(int64(len(buf)), off-g.pos)])
		g.passed(buf[:n])
		if err != nil {
			return g.ended(err)
		}
	}
	return nil
}

// close gives back what decompressing takes. Reading begins anew.
func (g *gunzip) close() {
	g.from, g.z, g.pos, g.last, g.whole = nil, nil, 0, g.last[:0], false
}

// size is how much the file holds, by its last four bytes: modulo 4 GiB, and only the last part
// when it was put together of several. -1: it does not say.
func (g *gunzip) size() int64 {
	st, err := g.file.Stat()
	if err != nil || st.Size() < 18 {
		return -1
	}
	var tail [4]byte
	if _, err := g.file.ReadAt(tail[:], st.Size()-4); err != nil {
		return -1
	}
	return int64(binary.LittleEndian.Uint32(tail[:]))
}

func isGzip(head []byte) bool { return bytes.HasPrefix(head, gzipMagic) }
