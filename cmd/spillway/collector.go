package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/clickhouse"
	"github.com/spillway-io/spillway/forward/loki"
	"github.com/spillway-io/spillway/forward/otlp"
)

func (p *program) collectorCommand() *cobra.Command {
	var file string
	c := &cobra.Command{Use: "collector", Short: "receive from agents, write to ClickHouse", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load(roleCollector, file, p.env)
			if err != nil {
				return usageError{err}
			}
			log := p.logger()
			t, err := newTier(cfg.config, log)
			if err != nil {
				return err
			}
			log.Info("collector started", "version", versionString(), "otlp_grpc", t.listening.GRPC, "otlp_http", t.listening.HTTP, "loki", addr(t.loki), "admin", t.admin.addr(), "clickhouse", t.conn.Addr())
			return t.run(c.Context())
		}}
	c.Flags().StringVar(&file, "config", "", "configuration file")
	return c
}

// A tier is a collector: it keeps nothing, and answers OK when ClickHouse has committed.
type tier struct {
	cfg       *config
	log       *slog.Logger
	limiter   *forward.Limiter
	conn      *clickhouse.Conn
	writer    *clickhouse.Writer
	listening *otlp.Listening
	loki      net.Addr // nil: off
	admin     *admin
	tables    atomic.Bool // known to exist
}

func newTier(cfg *config, log *slog.Logger) (*tier, error) {
	reg := newRegistry()
	t := &tier{cfg: cfg, log: log, limiter: newLimiter(cfg.MemoryLimiter, forward.Soft, log)}
	var err error
	if t.conn, err = cfg.openClickHouse(); err != nil {
		return nil, err
	}
	counters := forward.NewCounters(reg, "collector")
	t.writer = clickhouse.NewWriter(t.conn, clickhouse.Config{Batch: cfg.Batch, Retry: cfg.Forward.ClickHouse.RetryOnFailure}, t.limiter, counters, log)
	receivers := cfg.Receivers.OTLP
	receivers.SinkDecodes = true // the writer makes columns of a body before anything else
	receivers.Clock = t.conn.Clock()
	server := otlp.NewServer(receivers, t.limiter.Before(t.writer), t.limiter, counters, log)
	if t.listening, err = server.Listen(); err != nil {
		return nil, errors.Join(err, t.conn.Close())
	}
	pushes := loki.NewServer(cfg.Receivers.Loki, t.limiter.Before(t.writer), t.limiter, counters, log)
	if t.loki, err = pushes.Beside(t.listening); err != nil {
		return nil, errors.Join(err, t.conn.Close())
	}
	t.admin, err = newAdmin(cfg.Admin.Endpoint, reg, t.ready, t.status)
	return t, err
}

// run serves until ctx is done, answers those who wait, and ends.
func (t *tier) run(ctx context.Context) error {
	stop := t.admin.start(t.log)
	defer stop()
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go t.limiter.Run(background)
	go t.keepTables(background)
	// What waits for company leaves at once: its callers are waiting for the answer.
	defer context.AfterFunc(ctx, t.writer.Hurry)()
	err := t.listening.Serve(ctx, t.cfg.ShutdownTimeout)
	t.writer.Close()
	return errors.Join(err, t.conn.Close())
}

// clockEvery is how often the server's clock is compared with ours.
const clockEvery = time.Minute

// keepTables makes the tables, trying until ClickHouse is there, and then keeps an eye on its
// clock. When an INSERT meets a fault such as a table that is gone, it looks at the tables again.
func (t *tier) keepTables(ctx context.Context) {
	back := forward.NewBackoff(forward.RetryConfig{InitialInterval: 500 * time.Millisecond, MaxInterval: 5 * time.Second})
	tables := t.cfg.Schema.Create
	for {
		wait := clockEvery
		if err := t.setUp(ctx, tables); err == nil {
			tables = false
			if t.tables.CompareAndSwap(false, true) {
				t.log.Info("ClickHouse is ready", "addr", t.conn.Addr(), "database", t.conn.Database())
				t.writer.Ready()
			}
			back.Reset()
		} else {
			t.log.Warn("ClickHouse is not ready, senders wait", "addr", t.conn.Addr(), "err", err)
			wait = back.After(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case <-t.writer.Misconfigured():
			tables = t.cfg.Schema.Create
		}
	}
}

func (t *tier) setUp(ctx context.Context, tables bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if tables {
		m, err := t.conn.Migrate(ctx, false)
		if err != nil {
			return err
		}
		for _, s := range m.Done {
			t.log.Info("schema changed", "table", s.Table, "why", s.Why)
		}
		for _, s := range m.Left {
			t.log.Warn("schema not changed, because rows would be removed: run spillway schema apply --allow-destructive", "table", s.Table, "why", s.Why)
		}
		for _, err := range m.Failed {
			t.log.Warn("schema not changed", "err", err)
		}
		for _, n := range m.Notes {
			t.log.Info("schema differs from ours", "table", n.Table, "note", n.Text)
		}
	}
	return t.conn.Ping(ctx)
}

func (t *tier) ready() error {
	if !t.tables.Load() {
		return errors.New("the tables of ClickHouse are not ready yet")
	}
	if t.limiter.Pressure() != forward.Normal {
		return errors.New("memory limit reached, refusing")
	}
	return nil
}

func (t *tier) status() map[string]any {
	return map[string]any{"role": "collector", "version": versionString(), "pressure": t.limiter.Pressure().String(), "tables_ready": t.tables.Load(),
		"clickhouse": t.conn.Addr(), "last_error": t.writer.LastError()}
}

func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// gcPercent keeps a node's footprint small: its heap is a few buffers that come and go.
const gcPercent = 75

// newLimiter also tells the Go runtime, so that the heap is collected before the limit is met.
func newLimiter(cfg forward.LimiterConfig, refuseAt forward.Pressure, log *slog.Logger) *forward.Limiter {
	hard, soft := cfg.Limits(forward.AvailableMemory())
	debug.SetMemoryLimit(hard / 10 * 8)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	return forward.NewLimiter(hard, soft, refuseAt, cfg.CheckInterval, log)
}
