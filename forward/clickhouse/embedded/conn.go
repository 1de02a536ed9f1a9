package embedded

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"
)

// conn is one connection into the engine: a session of its own, with its own settings and current database. It runs one
// statement at a time, and while an insert is open it refuses everything else, so it must not be shared.
type conn struct {
	box    cConnBox
	handle cConn
}

// stats is what the engine knows about a statement that ran, or about one block of its result.
type stats struct {
	seconds                   float64
	rowsRead, bytesRead       uint64 // from tables
	resultRows, resultBytes   uint64
	rowsWritten, bytesWritten uint64 // dropped duplicates and rows of materialized views included
}

// errConnect says where to look: the library prints the reason and does not return it.
var errConnect = errors.New("engine refused the connection; its reason is on stderr")

// connect opens a connection. The first one of the process boots the engine with the arguments --path and --config-file; later
// ones must give the same path. Further arguments are settings of this connection alone. When the last connection is closed the
// engine shuts down for good.
func connect(args []string) (*conn, error) {
	var pinned runtime.Pinner
	defer pinned.Unpin()
	argv := make([]*byte, 0, len(args)+2) // NUL-terminated strings, then nil
	for _, arg := range append([]string{"clickhouse"}, args...) {
		b := append([]byte(arg), 0)
		pinned.Pin(&b[0])
		argv = append(argv, &b[0])
	}
	argv = append(argv, nil)
	pinned.Pin(&argv[0])
	box := capi.connect(int32(len(argv)-1), &argv[0])
	if box == nil {
		return nil, errConnect
	}
	return &conn{box: box, handle: *(*cConn)(box)}, nil
}

// close ends the session. No statement may be running on it.
func (c *conn) close() { capi.closeConn(c.box) }

// query runs a statement and returns its whole result in the given format. A FORMAT clause in sql goes before the argument.
func (c *conn) query(sql, format string) ([]byte, stats, error) {
	q, f := []byte(sql), []byte(format)
	return take(capi.query(c.handle, cBytes(q), uintptr(len(q)), cBytes(f), uintptr(len(f))))
}

// exec runs a statement whose result does not matter.
func (c *conn) exec(sql string) error {
	_, _, err := c.query(sql, "Null")
	return err
}

// stream runs a SELECT and hands over its result piece by piece: in Native, whole blocks. The piece belongs to each. When each
// fails the statement is cancelled, and its error returned. Other statements than SELECT the engine does not stream.
func (c *conn) stream(sql, format string, each func(piece []byte, s stats) error) error {
	q, f := []byte(sql), []byte(format)
	stream := capi.streamQuery(c.handle, cBytes(q), uintptr(len(q)), cBytes(f), uintptr(len(f)))
	if stream == nil {
		return errNoResult
	}
	defer capi.destroyResult(stream)
	if text := cString(capi.resultError(stream)); text != "" {
		return parseException(text)
	}
	for {
		piece, s, err := take(capi.streamFetch(c.handle, stream))
		if err != nil || len(piece) == 0 {
			return err
		}
		if err := each(piece, s); err != nil {
			capi.streamCancel(c.handle, stream)
			return err
		}
	}
}

var errNoResult = errors.New("engine gave no result")

// take copies a result out of the engine's memory and destroys it.
func take(r cResult) ([]byte, stats, error) {
	if r == nil {
		return nil, stats{}, errNoResult
	}
	defer capi.destroyResult(r)
	if text := cString(capi.resultError(r)); text != "" {
		return nil, stats{}, parseException(text)
	}
	s := stats{
		seconds:      capi.resultElapsed(r),
		rowsRead:     capi.storageRowsRead(r),
		bytesRead:    capi.storageBytesRead(r),
		resultRows:   capi.resultRowsRead(r),
		resultBytes:  capi.resultBytesRead(r),
		rowsWritten:  capi.rowsWritten(r),
		bytesWritten: capi.bytesWritten(r),
	}
	n := capi.resultLength(r)
	if n == 0 {
		return nil, s, nil
	}
	return append([]byte(nil), unsafe.Slice((*byte)(capi.resultBuffer(r)), n)...), s, nil
}

// insertion is an INSERT whose data is being fed. It must be ended by commit or cancel, exactly once.
type insertion struct {
	handle cInsert
	broken error // of append; commit returns it and commits nothing
}

// insert begins an INSERT; sql is the statement up to, not including, its FORMAT or VALUES.
func (c *conn) insert(sql, format string) (*insertion, error) {
	q, f := []byte(sql), []byte(format)
	handle := capi.insert(c.handle, cBytes(q), uintptr(len(q)), cBytes(f), uintptr(len(f)))
	if text := cString(capi.insertError(handle)); text != "" {
		capi.destroyInsert(handle)
		return nil, parseException(text)
	}
	return &insertion{handle: handle}, nil
}

// append feeds data, which may be cut anywhere and is copied. It blocks while the engine is behind.
func (i *insertion) append(data []byte) error {
	if i.broken != nil || len(data) == 0 {
		return i.broken
	}
	if capi.insertAppend(i.handle, &data[0], uintptr(len(data))) != 0 {
		i.broken = errors.New("engine refused the data")
		if text := cString(capi.insertError(i.handle)); text != "" {
			i.broken = parseException(text)
		}
	}
	runtime.KeepAlive(data)
	return i.broken
}

// commit ends the data. With a nil error the rows are in the table; with an error none of the last block are.
func (i *insertion) commit() (stats, error) {
	_, s, err := take(capi.insertDone(i.handle))
	capi.destroyInsert(i.handle)
	if err != nil {
		return stats{}, err // says more than what append returned
	}
	if i.broken != nil {
		return stats{}, fmt.Errorf("insert: %w", i.broken)
	}
	return s, nil
}

// cancel drops what was fed and not yet written to the table.
func (i *insertion) cancel() {
	capi.insertCancel(i.handle)
	capi.destroyInsert(i.handle)
}
