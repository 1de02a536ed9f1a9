package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

// helloTimeout is how long a new connection may take to say who it is.
const helloTimeout = 10 * time.Second

// nativeServer accepts connections of ClickHouse's native protocol.
type nativeServer struct {
	engine *engine
	log    *slog.Logger
	ctx    context.Context // of all statements; this is a running thing

	wg       sync.WaitGroup // of connections
	mu       sync.Mutex     // guards what follows
	stopping bool
	idle     map[*nativeConn]bool // every connection, and whether it waits for a statement
}

// serve accepts until the listener is closed.
func (s *nativeServer) serve(l net.Listener) error {
	// Counted like a connection, so that wait sees those that come in as the listener closes.
	s.wg.Add(1)
	defer s.wg.Done()
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		c := &nativeConn{server: s, engine: s.engine, conn: conn, r: proto.NewReader(conn)}
		s.wg.Go(func() {
			defer conn.Close()
			defer s.forget(c)
			if err := c.serve(s.ctx); err != nil && !errors.Is(err, io.EOF) {
				s.log.Debug("native connection ended", "peer", conn.RemoteAddr(), "err", err)
			}
		})
	}
}

// stop ends the connections that wait for a statement now, and the others after the one they run.
func (s *nativeServer) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for c, idle := range s.idle {
		if idle {
			c.conn.Close()
		}
	}
}

// setIdle notes what c is at. It is false when c should end instead of waiting for a statement.
func (s *nativeServer) setIdle(c *nativeConn, idle bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle[c] = idle
	return !idle || !s.stopping
}

func (s *nativeServer) forget(c *nativeConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.idle, c)
}

// nativeConn is one client's connection.
type nativeConn struct {
	server *nativeServer
	engine *engine
	conn   net.Conn
	r      *proto.Reader
	out    proto.Buffer // of packets not yet sent

	revision int
	database string

	// Of the statement at hand:
	frames *compress.Writer // nil: blocks are not compressed

	ahead   proto.ClientCode // a packet's code that was read while a statement ran
	isAhead bool
	in      []byte // the last block that was read, kept for its capacity
}

func (c *nativeConn) serve(ctx context.Context) error {
	if !c.server.setIdle(c, true) {
		return nil
	}
	if err := c.hello(); err != nil {
		return err
	}
	for {
		if !c.server.setIdle(c, true) {
			return nil
		}
		code, err := c.packet()
		if err != nil {
			return err
		}
		c.server.setIdle(c, false)
		switch code {
		case proto.ClientCodePing:
			c.out.PutByte(byte(proto.ServerCodePong))
			err = c.flush()
		case proto.ClientCodeCancel: // of a statement that has ended
		case proto.ClientCodeQuery:
			err = c.statement(ctx)
		default:
			err = fmt.Errorf("packet %d where a query is expected", code)
		}
		if err != nil {
			return err
		}
	}
}

func (c *nativeConn) hello() error {
	if err := c.conn.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	code, err := c.packet()
	if err != nil {
		return err
	}
	if code != proto.ClientCodeHello {
		return fmt.Errorf("packet %d where a hello is expected", code)
	}
	var hello proto.ClientHello
	if err := hello.Decode(c.r); err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	c.database = hello.Database
	c.revision = min(hello.ProtocolVersion, nativeRevision)
	if !proto.FeatureSettingsSerializedAsStrings.In(c.revision) {
		return c.exception(unsupported(fmt.Sprintf("Protocol revision %d of the client", hello.ProtocolVersion)))
	}
	answer := proto.ServerHello{
		Name: "ClickHouse", DisplayName: serverName, Timezone: c.engine.timezone, Revision: nativeRevision,
	}
	if _, err := fmt.Sscanf(c.engine.version, "%d.%d.%d", &answer.Major, &answer.Minor, &answer.Patch); err != nil {
		return fmt.Errorf("version %q of the engine: %w", c.engine.version, err)
	}
	answer.EncodeAware(&c.out, c.revision)
	if err := c.flush(); err != nil {
		return err
	}
	if proto.FeatureAddendum.In(c.revision) {
		if _, err := c.r.Str(); err != nil { // quota key
			return fmt.Errorf("hello: %w", err)
		}
	}
	return c.conn.SetDeadline(time.Time{})
}

// packet reads the code that begins a packet.
func (c *nativeConn) packet() (proto.ClientCode, error) {
	if c.isAhead {
		c.isAhead = false
		return c.ahead, nil
	}
	code, err := c.r.UVarInt()
	return proto.ClientCode(code), err
}

// statement runs one statement and answers it. The error is of the connection, and ends it.
func (c *nativeConn) statement(ctx context.Context) error {
	var q proto.Query
	if err := c.receive(func() error { return q.DecodeAware(c.r, c.revision) }); err != nil {
		return fmt.Errorf("query: %w", err)
	}
	settings, params := map[string]string{}, map[string]string{}
	for _, s := range q.Settings {
		settings[s.Key] = s.Value
		if s.Custom {
			settings[s.Key] = unquoteField(s.Value)
		}
	}
	for _, p := range q.Parameters {
		params[p.Key] = unquoteField(p.Value)
	}
	c.frames = nil
	if q.Compression == proto.CompressionEnabled {
		c.frames = newFrameWriter(settings["network_compression_method"])
	}
	external, err := c.externalTables()
	if err != nil {
		return err
	}
	run := func() error {
		if external {
			return unsupported("External tables")
		}
		st, err := parseStatement(q.Body)
		if err != nil {
			return err
		}
		s, err := c.engine.open(ctx, c.database, settings, params)
		if err != nil {
			return err
		}
		defer s.close()
		switch {
		case st.kind == inserts && strings.TrimSpace(st.data) == "":
			return c.insert(ctx, s, st)
		case st.kind == inserts:
			return c.insertInline(ctx, s, st)
		}
		return c.result(ctx, s, st)
	}
	err = run()
	var lost *lostError
	switch {
	case errors.As(err, &lost):
		return err
	case err != nil:
		return c.exception(asException(err))
	}
	c.out.PutByte(byte(proto.ServerCodeEndOfStream))
	return c.flush()
}

// externalTables reads the blocks that may follow a query, up to the empty one that ends them.
func (c *nativeConn) externalTables() (some bool, err error) {
	for {
		_, b, err := c.readBlock(nil)
		if err != nil || len(b.names) == 0 {
			return some, err
		}
		some = true
	}
}

// lostError is an error after which client and server no longer agree on where the next packet begins.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

func (c *nativeConn) exception(e *Exception) error {
	c.out.PutByte(byte(proto.ServerCodeException))
	p := proto.Exception{Code: proto.Error(e.Code), Name: "DB::Exception", Message: e.nativeText()}
	p.EncodeAware(&c.out, c.revision)
	return c.flush()
}

// flush sends the packets in out.
func (c *nativeConn) flush() error {
	defer c.out.Reset()
	if err := c.conn.SetWriteDeadline(time.Now().Add(peerTimeout)); err != nil {
		return &lostError{err}
	}
	if _, err := c.conn.Write(c.out.Buf); err != nil {
		return &lostError{err}
	}
	return nil
}

// receive reads in the middle of a statement, where the client must not fall silent.
func (c *nativeConn) receive(read func() error) error {
	if err := c.conn.SetReadDeadline(time.Now().Add(peerTimeout)); err != nil {
		return err
	}
	if err := read(); err != nil {
		return err
	}
	return c.conn.SetReadDeadline(time.Time{})
}

// watched runs f, a statement of s, while it listens to the client: its cancel, and its leaving, stop the statement.
func (c *nativeConn) watched(ctx context.Context, s *session, f func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		code, err := c.packet()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // f has ended
		case err != nil || code == proto.ClientCodeCancel:
			cancel()
		default:
			c.ahead, c.isAhead = code, true
		}
	}()
	err := s.cancellable(ctx, f)
	// A deadline in the past wakes the listener; no byte is lost by it.
	if err := c.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		<-listened
		return &lostError{err}
	}
	<-listened
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		return &lostError{err}
	}
	return err
}

var fieldUnescaper = strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\n`, "\n", `\t`, "\t", `\r`, "\r", `\0`, "\x00")

// unquoteField reads the value of a parameter or custom setting, which comes as a quoted literal. Inside is the escaped form that
// the engine takes.
func unquoteField(field string) string {
	if len(field) < 2 || field[0] != '\'' || field[len(field)-1] != '\'' {
		return field
	}
	return fieldUnescaper.Replace(field[1 : len(field)-1])
}
