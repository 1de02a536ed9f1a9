package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/loki"
	"github.com/spillway-io/spillway/forward/otlp"
)

func (p *program) collectorCommand() *cobra.Command {
	var file string
	c := &cobra.Command{Use: "collector", Short: "receive from agents, write to ClickHouse", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.serve(c.Context(), file, func(_ context.Context, log *slog.Logger, r *reloads) (service, error) {
				cfg, err := load(roleCollector, file, p.env)
				if err != nil {
					return nil, usageError{err}
				}
				t, err := newTier(cfg.config, log, r)
				if err != nil {
					return nil, err
				}
				t.again = func() (*loaded, error) { return load(roleCollector, file, p.env) }
				log.Info("collector started", "version", versionString(), "otlp_grpc", t.listening.GRPC, "otlp_http", t.listening.HTTP, "loki", addr(t.loki), "admin", t.admin.addr(), "clickhouse", t.hop().conn.Addr())
				return t, nil
			})
		}}
	c.Flags().StringVar(&file, "config", "", "configuration file")
	return c
}

// A tier is a collector: it keeps nothing, and answers OK when ClickHouse has committed.
type tier struct {
	cfg       *config                // of the start
	now       atomic.Pointer[config] // of the last reload, which alone sets it
	again     func() (*loaded, error)
	log       *slog.Logger
	started   time.Time
	reloads   *reloads // nil of a standalone process: its node's
	doors     *doors
	limiter   *forward.Limiter
	metrics   *forward.Counters
	server    *otlp.Server
	pushes    *loki.Server
	listening *otlp.Listening
	loki      net.Addr // nil: off
	admin     *admin

	left chan struct{} // closed when the last request to the hop before this one is answered; reload's own

	mu   sync.Mutex
	last *hop
}

func newTier(cfg *config, log *slog.Logger, r *reloads) (*tier, error) {
	reg := newRegistry()
	r.register(reg)
	t := &tier{cfg: cfg, started: time.Now(), reloads: r, doors: newDoors(), left: make(chan struct{}), log: log, limiter: newLimiter(cfg.MemoryLimiter, forward.Soft, log), metrics: forward.NewCounters(reg, "collector")}
	t.now.Store(cfg)
	close(t.left)
	var err error
	if t.last, err = t.newHop(cfg); err != nil {
		return nil, err
	}
	t.server = otlp.NewServer(t.ports(cfg, t.last), t.doors.otlp(t.limiter.Before(t)), t.limiter, t.metrics, log)
	if t.listening, err = t.server.Listen(); err != nil {
		return nil, errors.Join(err, t.last.conn.Close())
	}
	t.pushes = loki.NewServer(cfg.Receivers.Loki, doorway{&t.doors.loki, t.limiter.Before(t)}, t.limiter, t.metrics, log)
	if t.loki, err = t.pushes.Beside(t.listening); err != nil {
		return nil, errors.Join(err, t.last.conn.Close())
	}
	t.doors.grpc.address, t.doors.http.address, t.doors.loki.address = addr(t.listening.GRPC), addr(t.listening.HTTP), addr(t.loki)
	if t.admin, err = newAdmin(cfg.Admin.Endpoint, reg, t.ready, t.status); err != nil {
		return nil, err
	}
	t.last.start()
	return t, nil
}

// ports is what the OTLP server is made of.
func (t *tier) ports(cfg *config, h *hop) otlp.ServerConfig {
	c := cfg.Receivers.OTLP
	c.SinkDecodes = true // the writer makes columns of a body before anything else
	c.Clock = h.conn.Clock()
	return c
}

// hop is the one that requests to come go to.
func (t *tier) hop() *hop {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// Put hands b to the last hop there is. It waits for the tables before, and not for those of a
// ClickHouse that is the target no more.
func (t *tier) Put(ctx context.Context, b forward.Batch) error {
	for {
		h := t.enter()
		select {
		case <-h.tables:
		case <-h.replaced:
			h.puts.Done()
			continue
		case <-ctx.Done(): // the writer has the words
		}
		defer h.puts.Done()
		return h.writer.Put(ctx, b)
	}
}

// enter counts a request to the hop that it goes to.
func (t *tier) enter() *hop {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last.puts.Add(1)
	return t.last
}

// run serves until ctx is done, answers those who wait, and ends.
func (t *tier) run(ctx context.Context) error {
	stop := t.admin.start(t.log)
	defer stop()
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go t.limiter.Run(background)
	// What waits for company leaves at once: its callers are waiting for the answer.
	defer context.AfterFunc(ctx, func() { t.hop().writer.Hurry() })()
	err := t.listening.Serve(ctx, t.cfg.ShutdownTimeout)
	<-t.left
	return errors.Join(err, t.hop().close())
}

func (t *tier) reload(ctx context.Context) ([]string, error) {
	cfg, err := t.again()
	if err != nil {
		return nil, err
	}
	c, err := t.prepare(ctx, cfg.config)
	if err != nil {
		return nil, err
	}
	return c.keys, c.apply(ctx)
}

// prepare finds out whether cfg can hold while the tier runs. It waits until the last request to the
// hop before the one there is has been answered: there are two at most.
func (t *tier) prepare(ctx context.Context, cfg *config) (*change, error) {
	keys, err := compare(t.now.Load(), cfg, tierCan)
	if err != nil {
		return nil, err
	}
	next := t.hop()
	if anyWithin(keys, "forward.clickhouse") || cfg.Forward.ClickHouse.TLS != nil { // the files that it names may have changed
		select {
		case <-t.left:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if next, err = t.newHop(cfg); err != nil {
			return nil, fmt.Errorf("forward.clickhouse: %w", err)
		}
	}
	discard := func() {
		if next != t.hop() {
			next.conn.Close()
		}
	}
	ports, err := t.server.Prepare(t.ports(cfg, next))
	if err != nil {
		discard()
		return nil, err
	}
	pushes, err := t.pushes.Prepare(cfg.Receivers.Loki)
	if err != nil {
		discard()
		return nil, err
	}
	return &change{keys: keys, discard: discard, apply: func(context.Context) error {
		t.turnTo(next)
		ports()
		pushes()
		t.now.Store(cfg)
		return nil
	}}, nil
}

// turnTo has requests to come go to next. Those under way end where they are: to whoever sends one of
// them again, the two hops are two collectors.
func (t *tier) turnTo(next *hop) {
	old := t.hop()
	if next == old {
		return
	}
	next.start()
	t.mu.Lock()
	t.last = next
	t.mu.Unlock()
	close(old.replaced)
	old.writer.Hurry()
	left := make(chan struct{})
	t.left = left
	go func() {
		defer close(left)
		old.puts.Wait() // no more come
		if err := old.close(); err != nil {
			t.log.Warn("connections to the ClickHouse before were not closed", "addr", old.conn.Addr(), "err", err)
		}
	}()
}

func (t *tier) ready() error {
	if !t.hop().isReady() {
		return errors.New("the tables of ClickHouse are not ready yet")
	}
	if t.limiter.Pressure() != forward.Normal {
		return errors.New("memory limit reached, refusing")
	}
	return nil
}

func (t *tier) summary() string {
	if err := t.ready(); err != nil {
		return err.Error()
	}
	if last := t.hop().writer.LastError(); last != "" {
		return "ClickHouse refused the last INSERT: " + last
	}
	return "inserting into " + t.hop().conn.Addr()
}

func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// They keep a node's footprint small: its heap is a few buffers that come and go, and while nothing comes
// all of it is what is known of files, of which little is garbage.
const (
	gcPercent     = 75
	gcPercentCalm = 20
)

// newLimiter also tells the Go runtime, so that the heap is collected before the limit is met.
func newLimiter(cfg forward.LimiterConfig, refuseAt forward.Pressure, log *slog.Logger) *forward.Limiter {
	hard, soft := cfg.Limits(forward.AvailableMemory())
	debug.SetMemoryLimit(hard / 10 * 8)
	l := forward.NewLimiter(hard, soft, refuseAt, cfg.CheckInterval, log)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
		l.OnCalm(func(calm bool) {
			if calm {
				debug.SetGCPercent(gcPercentCalm)
			} else {
				debug.SetGCPercent(gcPercent)
			}
		})
	}
	return l
}
