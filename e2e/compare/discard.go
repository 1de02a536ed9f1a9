package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/ClickHouse/ch-go/compress"
)

// A discard stands before a ClickHouse, so that the processor time that is measured is that of its
// client: storing rows would take several times as much, on the processors that the client needs.
// It counts the rows that an INSERT into a table of telemetry says it has, and throws them away.
// All else goes to ClickHouse, where each program makes its tables and looks at them as it likes.
type discard struct {
	server  *http.Server
	addr    string
	engine  http.Handler
	tables  map[string]*atomic.Int64 // rows; the map is fixed
	inserts atomic.Int64
	bytes   atomic.Int64  // of INSERT bodies, as they came
	arrived chan struct{} // something has
	failed  atomic.Pointer[error]
}

func newDiscard(engine string) (*discard, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &discard{addr: l.Addr().String(), tables: make(map[string]*atomic.Int64), arrived: make(chan struct{}, 1),
		engine: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: engine})}
	for _, s := range signals {
		for _, table := range s.tables {
			d.tables[table] = new(atomic.Int64)
		}
	}
	d.server = &http.Server{Handler: d}
	go d.server.Serve(l) // until close
	return d, nil
}

func (d *discard) close() error { return d.server.Close() }

func (d *discard) reset() {
	for _, rows := range d.tables {
		rows.Store(0)
	}
	d.inserts.Store(0)
	d.bytes.Store(0)
	d.failed.Store(nil)
}

// err is the last thing since reset that could not be counted.
func (d *discard) err() error {
	if err := d.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (d *discard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rows := d.tables[insertedInto(r.URL.Query().Get("query"))]
	if rows == nil {
		d.engine.ServeHTTP(w, r)
		return
	}
	if err := d.count(rows, r); err != nil {
		err = fmt.Errorf("discarding server: %w", err)
		d.failed.Store(&err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// insertedInto is the table of an INSERT whose rows come in the body, without its database; "" if
// the statement is something else.
func insertedInto(sql string) string {
	words := strings.Fields(sql)
	if len(words) < 3 || words[0] != "INSERT" || words[1] != "INTO" {
		return ""
	}
	name, _, _ := strings.Cut(words[2], "(")
	return strings.Trim(name[strings.LastIndexByte(name, '.')+1:], "`\"")
}

// count adds the rows of a body of one Native block. A second block would not be seen, and its
// rows be missing at the end.
func (d *discard) count(rows *atomic.Int64, r *http.Request) error {
	counted := &countReader{r: r.Body}
	body := bufio.NewReader(counted)
	block := body
	if r.URL.Query().Get("decompress") == "1" {
		block = bufio.NewReader(compress.NewReader(body))
	}
	if _, err := binary.ReadUvarint(block); err != nil { // columns
		return fmt.Errorf("block: %w", err)
	}
	n, err := binary.ReadUvarint(block)
	if err != nil {
		return fmt.Errorf("block: %w", err)
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return fmt.Errorf("block: %w", err)
	}
	rows.Add(int64(n))
	d.inserts.Add(1)
	d.bytes.Add(counted.n)
	select {
	case d.arrived <- struct{}{}:
	default:
	}
	return nil
}

type countReader struct {
	r io.Reader
	n int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
