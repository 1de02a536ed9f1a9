package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
	"github.com/spillway-io/spillway/wal"
)

// A Source produces telemetry until ctx is done. Run returns only when every Put it began has
// returned.
type Source interface {
	Run(ctx context.Context, next forward.Sink) error
}

// Config is the node's part of the configuration.
type Config struct {
	WAL             WALConfig
	Batch           forward.BatchConfig
	Retry           forward.RetryConfig
	Parallel        int           // batches in flight for each signal
	ShutdownTimeout time.Duration // how long a stop may go on delivering
}

// WALConfig is the node's log.
type WALConfig struct {
	Dir        string        `yaml:"dir"`          // where it lies; its disk is the unit of loss
	Mode       forward.Mode  `yaml:"mode"`         // always: on disk before the answer; overflow: only under pressure
	MaxSizeMiB int64         `yaml:"max_size_mib"` // cap; 0: the smaller of 4096 and half the file system
	MinFreeMiB int64         `yaml:"min_free_mib"` // keep this much of the file system free; 0: the smaller of 1024 and a tenth of it
	WhenFull   wal.WhenFull  `yaml:"when_full"`    // refuse or drop_oldest
	MaxAge     time.Duration `yaml:"max_age"`      // remove what was accepted longer ago, with a line in the ledger; 0: never
}

// DefaultWALConfig keeps what was acknowledged.
func DefaultWALConfig() WALConfig {
	return WALConfig{Dir: "/var/lib/spillway/wal", Mode: forward.ModeAlways, WhenFull: wal.Refuse}
}

// Validate names everything that is wrong.
func (c WALConfig) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("dir: name a directory on a local disk"))
	}
	if c.Mode != forward.ModeAlways && c.Mode != forward.ModeOverflow {
		errs = append(errs, fmt.Errorf("mode: %q: use always or overflow", c.Mode))
	}
	if c.WhenFull != wal.Refuse && c.WhenFull != wal.DropOldest {
		errs = append(errs, fmt.Errorf("when_full: %q: use refuse or drop_oldest", c.WhenFull))
	}
	if c.MaxSizeMiB < 0 || c.MinFreeMiB < 0 {
		errs = append(errs, errors.New("max_size_mib and min_free_mib cannot be negative"))
	}
	if c.MaxAge < 0 || c.MaxAge > 0 && c.MaxAge < time.Minute {
		errs = append(errs, fmt.Errorf("max_age: %s: use 0 for no limit, or at least 1m", c.MaxAge))
	}
	return errors.Join(errs...)
}

// An Agent is a node's log with its stages. Open makes it, Run runs it.
type Agent struct {
	cfg     Config
	limiter *forward.Limiter
	metrics *forward.Counters
	circuit *forward.Circuit
	log     *slog.Logger
	started time.Time // when no earlier process had the log any more

	view    *view
	store   *wal.Store
	cursors *tail.Positions
	spool   *forward.Spool
	losses  losses
}

// parked is the lane of records that keep failing while others pass.
func parked(s forward.Signal) string { return "parked-" + s.String() }

// Open opens the log and takes stock of what an earlier process left.
func Open(cfg Config, l *forward.Limiter, reg prometheus.Registerer, log *slog.Logger) (*Agent, error) {
	a := &Agent{cfg: cfg, limiter: l, log: log, metrics: forward.NewCounters(reg, "agent"), cursors: tail.NewPositions(),
		circuit: forward.NewCircuit(cfg.Retry.MaxElapsedTime)}
	a.view = openView(filepath.Join(cfg.WAL.Dir, "view.db"), log)
	var lanes []string
	for _, s := range forward.Signals {
		lanes = append(lanes, s.String(), parked(s))
	}
	store, err := wal.Open(wal.Config{
		Dir: cfg.WAL.Dir, Lanes: lanes,
		MaxBytes: cfg.WAL.MaxSizeMiB << 20, MinFreeBytes: cfg.WAL.MinFreeMiB << 20, WhenFull: cfg.WAL.WhenFull, MaxAge: cfg.WAL.MaxAge,
		NewFold: func(lane string) wal.Fold {
			if lane == forward.Logs.String() {
				return a.cursors
			}
			return nil
		},
		Done: a.view.done,
		OnLoss: func(loss wal.Loss) {
			a.losses.add(loss)
			if loss.Reason != "refused" { // the drain counts those by its own reason
				a.metrics.Lost.WithLabelValues(signalOf(loss.Lane), loss.Reason).Add(float64(loss.Items))
			}
		},
		Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, a.view.close())
	}
	a.store, a.started = store, time.Now()
	a.spool = forward.NewSpool(store, cfg.WAL.Mode, l, a.metrics)
	for _, s := range forward.Signals {
		found := store.Lane(s.String()).Stats().Recovered + store.Lane(parked(s)).Stats().Recovered
		a.metrics.Recovered.WithLabelValues(s.String()).Set(float64(found))
	}
	if reg != nil {
		reg.MustRegister(newCollector(a))
	}
	return a, nil
}

// signalOf is the signal that a lane holds.
func signalOf(lane string) string {
	const prefix = "parked-"
	if len(lane) > len(prefix) && lane[:len(prefix)] == prefix {
		return lane[len(prefix):]
	}
	return lane
}

// Cursors is how far files are safe: the truth that tailing resumes from.
func (a *Agent) Cursors() *tail.Positions { return a.cursors }

// Metrics are the agent's counters, for its receivers.
func (a *Agent) Metrics() *forward.Counters { return a.metrics }

// Entrance is the Sink that receivers put into: the limiter, and behind it the log.
func (a *Agent) Entrance() forward.Sink { return a.limiter.Before(a.spool) }

// Close lets go of the log without running.
func (a *Agent) Close() error { return errors.Join(a.store.Close(), a.view.close()) }

// Totals are items, over all signals: taken in by this process, in the log now, and handed on
// by this process; oldest is when the longest-waiting ones came in.
func (a *Agent) Totals() (received, held, delivered uint64, oldest time.Time) {
	for _, s := range forward.Signals {
		st, slow := a.store.Lane(s.String()).Stats(), a.store.Lane(parked(s)).Stats()
		received += st.Appended
		held += st.Held + slow.Held
		delivered += st.Acked + slow.Acked - slow.Appended // what was parked was acknowledged in its lane
		if !st.Oldest.IsZero() && (oldest.IsZero() || st.Oldest.Before(oldest)) {
			oldest = st.Oldest
		}
	}
	return received, held, delivered, oldest
}

// Circuit is open when nothing got through for long.
func (a *Agent) Circuit() *forward.Circuit { return a.circuit }

// A Target is where an agent delivers to.
type Target interface {
	forward.Sink
	Woken() <-chan struct{} // closed when it has just become reachable
	Clock() *forward.Clock  // that it states fences on
}

// Run takes telemetry from sources into the log, and delivers from there to out, until ctx is
// done. Then it stops intake, goes on delivering for the shutdown timeout, and leaves the rest
// in the log for the next start.
func (a *Agent) Run(ctx context.Context, sources []Source, out Target) error {
	// Downstream first: nothing is taken in before it can go out.
	draining, stopDraining := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDraining()
	var drains sync.WaitGroup
	for _, d := range a.newDrains(out) {
		drains.Go(func() {
			if err := d.Run(draining); err != nil && draining.Err() == nil {
				a.log.Error("delivery stopped", "signal", d.Signal.String(), "err", err)
			}
		})
	}
	views, stopViews := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { a.view.run(views, a.store) })
	background.Go(func() { a.limiter.Run(views) })
	a.limiter.OnChange(func(p forward.Pressure) {
		if p != forward.Normal {
			a.spool.Spill()
		}
	})

	err := runAll(ctx, sources, a.Entrance()) // until ctx is done or a source fails

	// Upstream first: nothing arrives at a stage that has stopped.
	err = errors.Join(err, a.store.CloseWrite())
	timeout := time.AfterFunc(a.cfg.ShutdownTimeout, stopDraining)
	drains.Wait()
	timeout.Stop()
	stopViews()
	background.Wait()
	a.report()
	return errors.Join(err, a.view.commit(a.store), a.view.close(), a.store.Close())
}

// report says what a stop leaves behind.
func (a *Agent) report() {
	var items uint64
	var bytes int64
	for _, s := range forward.Signals {
		for _, lane := range []string{s.String(), parked(s)} {
			st := a.store.Lane(lane).Stats()
			items += st.Held
			if st.Held > 0 {
				bytes += st.Bytes
			}
		}
	}
	if items > 0 {
		a.log.Info("stopped; what is not delivered waits in the log", "items", items, "bytes", bytes, "dir", a.cfg.WAL.Dir)
		return
	}
	a.log.Info("stopped; everything was delivered")
}

func (a *Agent) newDrains(out Target) (drains []*forward.Drain) {
	letters, claims := forward.NewDeadLetters(a.store), new(forward.Claims)
	fences := forward.Fences{Clock: out.Clock(), Started: a.started}
	for _, s := range forward.Signals {
		d := forward.Drain{Log: a.store.Lane(s.String()), Signal: s, Next: out, Batch: a.cfg.Batch, Retry: a.cfg.Retry, Parallel: a.cfg.Parallel,
			Circuit: a.circuit, Limiter: a.limiter, Metrics: a.metrics, DeadLetters: letters, Parked: a.store.Lane(parked(s)),
			Woken: out.Woken, OnFailure: a.spillIfOverflow(), Logger: a.log, Fences: fences, Claims: claims}
		slow := forward.Drain{Log: a.store.Lane(parked(s)), Signal: s, Next: out, Parallel: 1,
			Batch:   a.cfg.Batch,
			Retry:   forward.RetryConfig{InitialInterval: a.cfg.Retry.MaxInterval, MaxInterval: 10 * a.cfg.Retry.MaxInterval, MaxElapsedTime: a.cfg.Retry.MaxElapsedTime},
			Circuit: a.circuit, Limiter: a.limiter, Metrics: a.metrics, DeadLetters: letters, Logger: a.log, Fences: fences, Claims: claims}
		drains = append(drains, &d, &slow)
	}
	return drains
}

func (a *Agent) spillIfOverflow() func() {
	if a.cfg.WAL.Mode != forward.ModeOverflow {
		return nil
	}
	return a.spool.Spill
}

// runAll runs the sources side by side. The first that fails ends all.
func runAll(ctx context.Context, sources []Source, next forward.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(sources))
	var wg sync.WaitGroup
	for i, s := range sources {
		wg.Go(func() {
			if errs[i] = s.Run(ctx, next); errs[i] != nil {
				cancel()
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	return errors.Join(errs...)
}
