package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/clickhouse"
)

// A hop is a ClickHouse that a collector writes to, with what writes and what keeps its tables. A
// reload that names another one makes another hop.
type hop struct {
	cfg    *config
	log    *slog.Logger
	conn   *clickhouse.Conn
	writer *clickhouse.Writer

	puts     sync.WaitGroup // requests under way; grows under tier.mu
	tables   chan struct{}  // closed when they are known to exist
	trouble  trouble        // what keeps them from it
	replaced chan struct{}  // closed when another hop has its place
	keeping  sync.WaitGroup
	stop     context.CancelFunc // of keeping; nil before start
}

// newHop does not connect yet.
func (t *tier) newHop(cfg *config) (*hop, error) {
	conn, err := cfg.openClickHouse()
	if err != nil {
		return nil, err
	}
	w := clickhouse.NewWriter(conn, clickhouse.Config{Batch: cfg.Batch, Retry: cfg.Forward.ClickHouse.RetryOnFailure}, t.limiter, t.metrics, t.log)
	return &hop{cfg: cfg, log: t.log, conn: conn, writer: w, tables: make(chan struct{}), replaced: make(chan struct{})}, nil
}

// start begins to keep the tables, until close.
func (h *hop) start() {
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	h.keeping.Go(func() { h.keepTables(ctx) })
}

// close returns when every request was answered.
func (h *hop) close() error {
	h.writer.Close()
	h.stop()
	h.keeping.Wait()
	return h.conn.Close()
}

func (h *hop) isReady() bool {
	select {
	case <-h.tables:
		return true
	default:
		return false
	}
}

// clockEvery is how often the server's clock is compared with ours.
const clockEvery = time.Minute

// keepTables makes the tables, trying until ClickHouse is there, and then keeps an eye on its
// clock. When an INSERT meets a fault such as a table that is gone, it looks at the tables again.
func (h *hop) keepTables(ctx context.Context) {
	back := forward.NewBackoff(forward.RetryConfig{InitialInterval: 500 * time.Millisecond, MaxInterval: 5 * time.Second})
	tables := h.cfg.Schema.Create
	for {
		wait := clockEvery
		err := h.setUp(ctx, tables)
		h.trouble.note(err)
		if err == nil {
			tables = false
			if !h.isReady() {
				h.log.Info("ClickHouse is ready", "addr", h.conn.Addr(), "database", h.conn.Database())
				h.writer.Ready()
				close(h.tables)
			}
			back.Reset()
		} else if ctx.Err() == nil {
			h.log.Warn("ClickHouse is not ready, senders wait", "addr", h.conn.Addr(), "err", err)
			wait = back.After(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case <-h.writer.Misconfigured():
			tables = h.cfg.Schema.Create
		}
	}
}

func (h *hop) setUp(ctx context.Context, tables bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if tables {
		m, err := h.conn.Migrate(ctx, false)
		if err != nil {
			return err
		}
		for _, s := range m.Done {
			h.log.Info("schema changed", "table", s.Table, "why", s.Why)
		}
		for _, s := range m.Left {
			h.log.Warn("schema not changed, because rows would be removed: run spillway schema apply --allow-destructive", "table", s.Table, "why", s.Why)
		}
		for _, err := range m.Failed {
			h.log.Warn("schema not changed", "err", err)
		}
		for _, n := range m.Notes {
			h.log.Info("schema differs from ours", "table", n.Table, "note", n.Text)
		}
	}
	return h.conn.Ping(ctx)
}

// A trouble is an error that lasts.
type trouble struct {
	mu    sync.Mutex
	text  string
	since time.Time
}

// note takes an outcome; nil ends the trouble.
func (t *trouble) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.text, t.since = "", time.Time{}
		return
	case t.text == "":
		t.since = time.Now()
	}
	t.text = err.Error()
}

func (t *trouble) failure() *failure {
	t.mu.Lock()
	defer t.mu.Unlock()
	return newFailure(t.text, t.since)
}
