package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// result runs a statement that brings no data and sends its result: a header, the blocks, then what it took.
func (c *nativeConn) result(ctx context.Context, s *session, st statement) error {
	var (
		header  bool
		profile proto.Profile
		read    stats
		framed  []byte
	)
	each := func(piece []byte, now stats) error {
		for cur := (cursor{buf: piece}); cur.pos < len(cur.buf); {
			var b block
			var err error
			if framed, b, err = cur.reframe(framed[:0], engineRevision, c.revision); err != nil {
				return err
			}
			if !header {
				header = true
				if err := c.data(b.header(c.revision)); err != nil {
					return err
				}
			}
			if b.rows == 0 {
				continue
			}
			profile.Rows += uint64(b.rows)
			profile.Blocks++
			profile.Bytes += uint64(len(framed))
			if err := c.data(framed); err != nil {
				return err
			}
		}
		c.progress(now, &read)
		return c.flush()
	}
	err := c.watched(ctx, s, func() error {
		if st.kind == selects {
			return s.stream(st.text, "Native", each)
		}
		piece, now, err := s.query(st.text, "Native")
		if err != nil {
			return err
		}
		return each(piece, now)
	})
	if err != nil {
		return err
	}
	if !header && st.readonly {
		b, err := s.describeResult(st)
		if err != nil {
			return err
		}
		if err := c.data(b.header(c.revision)); err != nil {
			return err
		}
	}
	profile.EncodeAware(&c.out, c.revision)
	return nil
}

// progress adds a packet about what was read and written since the last one; the engine counts from the start of the statement.
func (c *nativeConn) progress(now stats, last *stats) {
	p := proto.Progress{
		Rows: now.rowsRead - min(last.rowsRead, now.rowsRead), Bytes: now.bytesRead - min(last.bytesRead, now.bytesRead),
		WroteRows: now.rowsWritten - min(last.rowsWritten, now.rowsWritten), WroteBytes: now.bytesWritten - min(last.bytesWritten, now.bytesWritten),
	}
	*last = now
	c.out.PutByte(byte(proto.ServerCodeProgress))
	p.EncodeAware(&c.out, c.revision)
}

// insert takes the data of an INSERT from the client: a header for it to go by, its blocks, and an empty one at the end. When the
// client leaves before that, nothing is inserted.
func (c *nativeConn) insert(ctx context.Context, s *session, st statement) error {
	header, err := s.describeTarget(st)
	if err != nil {
		return err
	}
	in, err := s.conn.insert(st.text, "Native")
	if err != nil {
		return err
	}
	if err := c.feed(in, header); err != nil {
		in.cancel()
		return err
	}
	var written stats
	if err := c.watched(ctx, s, func() error {
		written, err = in.commit()
		return err
	}); err != nil {
		return err
	}
	c.progress(written, new(stats))
	return nil
}

func (c *nativeConn) feed(in *insertion, header block) error {
	if err := c.data(header.header(c.revision)); err != nil {
		return err
	}
	var framed []byte
	for {
		var b block
		var err error
		if framed, b, err = c.readBlock(framed[:0]); err != nil {
			return err
		}
		if len(b.names) == 0 {
			return nil
		}
		// The client goes on sending whatever we make of it, so an error waits for commit to report it.
		_ = in.append(framed)
	}
}

// insertInline runs an INSERT whose data stands in the statement.
func (c *nativeConn) insertInline(ctx context.Context, s *session, st statement) error {
	return c.watched(ctx, s, func() error {
		in, err := s.conn.insert(st.text, st.format)
		if err != nil {
			return err
		}
		_ = in.append([]byte(st.data)) // commit reports it
		written, err := in.commit()
		if err == nil {
			c.progress(written, new(stats))
		}
		return err
	})
}

// data sends a block, framed for the client.
func (c *nativeConn) data(framed []byte) error {
	c.out.PutByte(byte(proto.ServerCodeData))
	c.out.PutString("") // name of a temporary table
	if c.frames == nil {
		c.out.PutRaw(framed)
		return c.flush()
	}
	err := compressFrames(c.frames, framed, func(frame []byte) error {
		c.out.PutRaw(frame)
		return nil
	})
	if err != nil {
		return &lostError{err}
	}
	return c.flush()
}

// readBlock reads a Data packet and appends its block to dst in the engine's framing. Its errors end the connection: where the
// next packet begins is unknown.
func (c *nativeConn) readBlock(dst []byte) ([]byte, block, error) {
	var b block
	err := c.receive(func() error {
		code, err := c.packet()
		if err != nil {
			return err
		}
		if code == proto.ClientCodeCancel {
			return errors.New("cancelled by the client")
		}
		if code != proto.ClientCodeData {
			return fmt.Errorf("packet %d where data is expected", code)
		}
		if _, err := c.r.Str(); err != nil { // name of the table
			return err
		}
		if c.frames != nil {
			c.r.EnableCompression()
			defer c.r.DisableCompression()
		}
		cur := cursor{buf: c.in[:0], more: nil}
		cur.more = func(n int) error { return c.readMore(&cur, n) }
		dst, b, err = cur.reframe(dst, c.revision, engineRevision)
		c.in = cur.buf
		if err == nil && cur.pos != len(cur.buf) {
			err = errors.New("bytes behind the end of the block")
		}
		return err
	})
	if err != nil {
		var e *Exception
		if errors.As(err, &e) { // a block we cannot walk: say so before leaving
			_ = c.exception(e)
		}
		return dst, b, &lostError{fmt.Errorf("data: %w", err)}
	}
	return dst, b, nil
}

// readStep bounds how much memory is taken before its bytes have come.
const readStep = 1 << 20

// readMore appends n bytes of the connection to the cursor's buffer: exactly n, for what follows the block is not the block's; of
// compressed blocks perhaps more, up to the end of a frame, as a frame holds one block only.
func (c *nativeConn) readMore(cur *cursor, n int) error {
	for n > 0 {
		start := len(cur.buf)
		cur.buf = slices.Grow(cur.buf, min(n, readStep))
		room := cur.buf[start : start+min(n, readStep)]
		if c.frames != nil {
			room = cur.buf[start:cap(cur.buf)]
		}
		got, err := c.r.Read(room)
		cur.buf = cur.buf[:start+got]
		n -= got
		if err != nil && n > 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// describeTarget tells the names and types of the columns that an INSERT writes.
func (s *session) describeTarget(st statement) (block, error) {
	all, kinds, err := s.describe(st.target)
	if err != nil {
		return block{}, err
	}
	var b block
	if st.columns == nil {
		for i, kind := range kinds {
			if kind != "MATERIALIZED" && kind != "ALIAS" && kind != "EPHEMERAL" {
				b.names, b.types = append(b.names, all.names[i]), append(b.types, all.types[i])
			}
		}
		return b, nil
	}
	for _, name := range st.columns {
		i := slices.Index(all.names, name)
		if i < 0 {
			return block{}, exception(proto.ErrNoSuchColumnInTable, "NO_SUCH_COLUMN_IN_TABLE", fmt.Sprintf("No such column %s in table %s", name, st.target))
		}
		b.names, b.types = append(b.names, name), append(b.types, all.types[i])
	}
	return b, nil
}

// describeResult tells the names and types of a result without rows, for which the engine gives nothing at all.
func (s *session) describeResult(st statement) (block, error) {
	if st.kind == selects {
		b, _, err := s.describe("(" + st.text + ")")
		return b, err
	}
	text, _, err := s.query(st.text, "JSONCompact")
	if err != nil {
		return block{}, err
	}
	var result struct {
		Meta []struct{ Name, Type string }
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return block{}, fmt.Errorf("header of an empty result: %w", err)
	}
	var b block
	for _, m := range result.Meta {
		b.names, b.types = append(b.names, m.Name), append(b.types, m.Type)
	}
	return b, nil
}

// describe returns the columns of a table, a table function or a subquery, and for each how it is computed ("" if it is not).
func (s *session) describe(target string) (b block, kinds []string, err error) {
	text, _, err := s.query("DESCRIBE TABLE "+target+" SETTINGS print_pretty_type_names = 0, describe_compact_output = 0", "JSONCompactStringsEachRow")
	if err != nil {
		return b, nil, err
	}
	for line := range strings.Lines(string(text)) {
		var row []string
		if err := json.Unmarshal([]byte(line), &row); err != nil || len(row) < 3 {
			return b, nil, fmt.Errorf("columns of %s: unexpected %q", target, line)
		}
		b.names, b.types, kinds = append(b.names, row[0]), append(b.types, row[1]), append(kinds, row[2])
	}
	return b, kinds, nil
}
