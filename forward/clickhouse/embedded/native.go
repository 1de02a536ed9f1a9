package embedded

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The Native format differs by the protocol revision that both sides agreed on. The engine reads and writes revision 0.
const (
	engineRevision = 0
	// nativeRevision is what we speak: the newest one at which clickhouse-go sends query parameters and whose blocks differ from the
	// engine's only by the two things below.
	nativeRevision = 54460

	revisionWithBlockInfo           = 1     // any but 0
	revisionWithCustomSerialization = 54454 // a flag behind each column's type
)

// Bounds of a block, against nonsense lengths; far above what any client sends.
const (
	maxBlockBytes   = 1 << 30
	maxBlockRows    = 100_000_000
	maxBlockColumns = 10_000
)

// blockInfo is what the native protocol puts before a block: no overflow rows, no bucket.
var blockInfo = []byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0}

// block is the outline of a block: all but its data.
type block struct {
	names, types []string
	rows         int
}

// cursor walks over bytes of the Native format.
type cursor struct {
	buf []byte
	pos int
	// more appends at least n bytes to buf, or fails. nil: buf is all there is.
	more func(n int) error
}

// need makes sure that n bytes are there to be read.
func (c *cursor) need(n int) error {
	missing := n - (len(c.buf) - c.pos)
	if missing <= 0 {
		return nil
	}
	if n > maxBlockBytes || c.pos > maxBlockBytes {
		return fmt.Errorf("native block above %d MiB", maxBlockBytes>>20)
	}
	if c.more == nil {
		return io.ErrUnexpectedEOF
	}
	return c.more(missing)
}

// skip moves over n values of the given size in bytes.
func (c *cursor) skip(n, size int) error {
	if n < 0 || size < 0 || size > 0 && n > maxBlockBytes/size {
		return fmt.Errorf("native block above %d MiB", maxBlockBytes>>20)
	}
	if err := c.need(n * size); err != nil {
		return err
	}
	c.pos += n * size
	return nil
}

// count reads a varint that says how many of something follow.
func (c *cursor) count(most int) (int, error) {
	for {
		v, n := binary.Uvarint(c.buf[c.pos:])
		switch {
		case n < 0 || n > 0 && v > uint64(most):
			return 0, fmt.Errorf("native block: count above %d", most)
		case n > 0:
			c.pos += n
			return int(v), nil
		}
		if err := c.need(len(c.buf) - c.pos + 1); err != nil {
			return 0, err
		}
	}
}

// word reads 8 bytes, little endian.
func (c *cursor) word() (uint64, error) {
	if err := c.need(8); err != nil {
		return 0, err
	}
	v := binary.LittleEndian.Uint64(c.buf[c.pos:])
	c.pos += 8
	return v, nil
}

func (c *cursor) string() (string, error) {
	n, err := c.count(maxBlockBytes)
	if err != nil {
		return "", err
	}
	if err := c.need(n); err != nil {
		return "", err
	}
	s := string(c.buf[c.pos : c.pos+n])
	c.pos += n
	return s, nil
}

// reframe reads one block at revision from and appends it to dst at revision to. Only the framing changes; the data of the columns
// is walked to find where it ends, and copied.
func (c *cursor) reframe(dst []byte, from, to int) ([]byte, block, error) {
	var b block
	if from >= revisionWithBlockInfo {
		if err := c.skipBlockInfo(); err != nil {
			return dst, b, err
		}
	}
	columns, err := c.count(maxBlockColumns)
	if err != nil {
		return dst, b, err
	}
	if b.rows, err = c.count(maxBlockRows); err != nil {
		return dst, b, err
	}
	dst = appendBlockHead(dst, columns, b.rows, to)
	for range columns {
		if dst, err = c.reframeColumn(dst, &b, from, to); err != nil {
			return dst, b, err
		}
	}
	return dst, b, nil
}

func (c *cursor) reframeColumn(dst []byte, b *block, from, to int) ([]byte, error) {
	name, err := c.string()
	if err != nil {
		return dst, err
	}
	typ, err := c.string()
	if err != nil {
		return dst, err
	}
	b.names, b.types = append(b.names, name), append(b.types, typ)
	dst = appendColumnHead(dst, name, typ, to)
	if from >= revisionWithCustomSerialization {
		custom, err := c.count(255)
		if err != nil {
			return dst, err
		}
		if custom != 0 {
			return dst, unsupported(fmt.Sprintf("Column %s: custom serialization", name))
		}
	}
	if b.rows == 0 {
		return dst, nil
	}
	t, err := parseType(typ, 0)
	if err != nil {
		return dst, err
	}
	start := c.pos
	if err := t.skipPrefix(c); err != nil {
		return dst, fmt.Errorf("column %s %s: %w", name, typ, err)
	}
	if err := t.skipData(c, b.rows); err != nil {
		return dst, fmt.Errorf("column %s %s: %w", name, typ, err)
	}
	return append(dst, c.buf[start:c.pos]...), nil
}

func (c *cursor) skipBlockInfo() error {
	for {
		field, err := c.count(2)
		if err != nil {
			return err
		}
		switch field {
		case 0:
			return nil
		case 1: // is_overflows
			err = c.skip(1, 1)
		case 2: // bucket_num
			err = c.skip(1, 4)
		}
		if err != nil {
			return err
		}
	}
}

func appendBlockHead(dst []byte, columns, rows, revision int) []byte {
	if revision >= revisionWithBlockInfo {
		dst = append(dst, blockInfo...)
	}
	dst = binary.AppendUvarint(dst, uint64(columns))
	return binary.AppendUvarint(dst, uint64(rows))
}

func appendColumnHead(dst []byte, name, typ string, revision int) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	dst = append(dst, name...)
	dst = binary.AppendUvarint(dst, uint64(len(typ)))
	dst = append(dst, typ...)
	if revision >= revisionWithCustomSerialization {
		dst = append(dst, 0)
	}
	return dst
}

// header encodes b without its rows: names and types alone.
func (b block) header(revision int) []byte {
	dst := appendBlockHead(nil, len(b.names), 0, revision)
	for i := range b.names {
		dst = appendColumnHead(dst, b.names[i], b.types[i], revision)
	}
	return dst
}

// reframeAll converts a piece of a result, which holds whole blocks.
func reframeAll(piece []byte, from, to int) ([]byte, error) {
	c := cursor{buf: piece}
	dst := make([]byte, 0, len(piece)+256)
	for c.pos < len(c.buf) {
		var err error
		if dst, _, err = c.reframe(dst, from, to); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
