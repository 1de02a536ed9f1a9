package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// LimiterConfig has the keys, units and meaning of the OpenTelemetry Collector's memory_limiter.
type LimiterConfig struct {
	CheckInterval        time.Duration `yaml:"check_interval"`         // how often the heap is looked at
	LimitMiB             int64         `yaml:"limit_mib"`              // hard limit; 0: by percentage
	SpikeLimitMiB        int64         `yaml:"spike_limit_mib"`        // soft limit = hard - spike; 0: a fifth of the hard limit
	LimitPercentage      int64         `yaml:"limit_percentage"`       // of the memory this process may use (cgroup, else machine); 32 MiB are left alone in any case, or a half of less than 64
	SpikeLimitPercentage int64         `yaml:"spike_limit_percentage"` // likewise
}

// DefaultLimiterConfig is the profile of a node: the numbers of the gateway profile are
// 1536 MiB, 256 MiB and 100 ms; by default the limit follows the memory there is.
func DefaultLimiterConfig() LimiterConfig {
	return LimiterConfig{CheckInterval: 100 * time.Millisecond, LimitPercentage: 75, SpikeLimitPercentage: 15}
}

// Validate names everything that is wrong.
func (c LimiterConfig) Validate() error {
	var errs []error
	if c.CheckInterval <= 0 {
		errs = append(errs, errors.New("check_interval must be positive, for instance 100ms"))
	}
	if c.LimitMiB == 0 && (c.LimitPercentage <= 0 || c.LimitPercentage > 100) {
		errs = append(errs, errors.New("limit_mib or limit_percentage (1 to 100) is needed"))
	}
	if c.LimitMiB < 0 || c.SpikeLimitMiB < 0 || c.SpikeLimitPercentage < 0 {
		errs = append(errs, errors.New("limits cannot be negative"))
	}
	if c.LimitMiB > 0 && c.SpikeLimitMiB >= c.LimitMiB {
		errs = append(errs, fmt.Errorf("spike_limit_mib (%d) must be below limit_mib (%d)", c.SpikeLimitMiB, c.LimitMiB))
	}
	if c.LimitMiB == 0 && c.SpikeLimitPercentage >= c.LimitPercentage && c.SpikeLimitPercentage > 0 {
		errs = append(errs, fmt.Errorf("spike_limit_percentage (%d) must be below limit_percentage (%d)", c.SpikeLimitPercentage, c.LimitPercentage))
	}
	return errors.Join(errs...)
}

// leftAlone is what a percentage leaves at least to what nobody counts: the runtime, buffers of connections,
// and what was used and waits to be used again. Below 128 MiB a quarter is less than that takes.
const leftAlone = 32 << 20

// Limits are the bytes that c stands for on a machine that may use total bytes.
func (c LimiterConfig) Limits(total int64) (hard, soft int64) {
	hard = c.LimitMiB << 20
	if hard == 0 {
		hard = min(total/100*c.LimitPercentage, max(total-leftAlone, total/2))
	}
	spike := c.SpikeLimitMiB << 20
	if spike == 0 && c.LimitMiB == 0 {
		spike = total / 100 * c.SpikeLimitPercentage
	}
	if spike == 0 {
		spike = hard / 5
	}
	return hard, hard - spike
}

// A Pressure is how close memory is to its limits.
type Pressure int32

const (
	Normal Pressure = iota
	Soft            // spill: keep nothing in memory that is or can be on disk
	Hard            // refuse
)

func (p Pressure) String() string { return [...]string{"normal", "soft", "hard"}[p] }

// A Limiter knows how much memory is spoken for. It counts exactly what it is told of (bodies,
// batches being sent, records held in memory) and looks at the heap as the backstop for what
// nobody counted. It never waits: above its limit it says Busy.
type Limiter struct {
	hard, soft int64
	refuseAt   Pressure
	interval   time.Duration
	heap       func() int64
	held       func() int64 // the heap, and what is free in it and not given back
	gc         func()
	giveBack   func() // collects, and returns to the system what it can
	log        *slog.Logger

	taken    atomic.Int64
	lastHeap atomic.Int64
	pressure atomic.Int32 // as last logged
	changed  atomic.Pointer[func(Pressure)]
	calm     atomic.Bool
	calmed   atomic.Pointer[func(bool)]
	stirred  chan struct{} // to Run: calm has ended
}

// NewLimiter limits to hard bytes. A process with a log refuses at Hard, one without at Soft,
// as the OpenTelemetry Collector does. Run must be started for the heap to be looked at.
func NewLimiter(hard, soft int64, refuseAt Pressure, interval time.Duration, log *slog.Logger) *Limiter {
	return &Limiter{hard: hard, soft: soft, refuseAt: refuseAt, interval: interval, heap: heapInUse, held: heapHeld, gc: runtime.GC, giveBack: giveBack, log: log, stirred: make(chan struct{}, 1)}
}

// heapInUse is the live heap and what was allocated since, read without stopping the world.
func heapInUse() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// heapHeld counts what is free, too.
func heapHeld() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() + s[1].Value.Uint64() + s[2].Value.Uint64())
}

// OnChange has f called, from whichever goroutine notices, when the pressure changes.
func (l *Limiter) OnChange(f func(Pressure)) { l.changed.Store(&f) }

// OnCalm has f called by Run when nothing was taken for a while, with true, and when something is again, with false.
func (l *Limiter) OnCalm(f func(calm bool)) { l.calmed.Store(&f) }

// Pressure is the greater of what is counted and what the heap said last.
func (l *Limiter) Pressure() Pressure {
	n := max(l.taken.Load(), l.lastHeap.Load())
	switch {
	case n >= l.hard:
		return Hard
	case n >= l.soft:
		return Soft
	}
	return Normal
}

// ErrMemory is inside every BusyError of a Limiter.
var ErrMemory = errors.New("memory limit reached")

// busyAfter is how long a refused sender is asked to wait. Senders jitter it.
const busyAfter = time.Second

// Take counts n bytes, or says Busy and counts nothing. What was taken is given back with Give.
func (l *Limiter) Take(n int64) error {
	l.stir()
	if l.taken.Add(n) >= l.limit() || l.lastHeap.Load() >= l.limit() {
		l.taken.Add(-n)
		return &BusyError{After: busyAfter, NotTaken: true, Err: fmt.Errorf("%w: %d MiB counted, heap %d MiB, limit %d MiB",
			ErrMemory, l.taken.Load()>>20, l.lastHeap.Load()>>20, l.limit()>>20)}
	}
	return nil
}

func (l *Limiter) limit() int64 {
	if l.refuseAt == Soft {
		return l.soft
	}
	return l.hard
}

// Charge counts n bytes that are there already, whatever the limit. They are given back with Give.
func (l *Limiter) Charge(n int64) {
	l.stir()
	l.taken.Add(n)
}

// stir ends calm. What follows from that is Run's, so that nobody waits for it here.
func (l *Limiter) stir() {
	if l.calm.Load() && l.calm.CompareAndSwap(true, false) {
		select {
		case l.stirred <- struct{}{}:
		default:
		}
	}
}

// Give returns n bytes.
func (l *Limiter) Give(n int64) { l.taken.Add(-n) }

// Usage is what is counted, what the heap was, and the limits, all in bytes.
func (l *Limiter) Usage() (taken, heap, soft, hard int64) {
	return l.taken.Load(), l.lastHeap.Load(), l.soft, l.hard
}

// Before returns next with the limiter in front of it.
func (l *Limiter) Before(next Sink) Sink { return limited{l, next} }

type limited struct {
	l    *Limiter
	next Sink
}

func (s limited) Put(ctx context.Context, b Batch) error {
	n := int64(len(b.Body))
	if err := s.l.Take(n); err != nil {
		return err
	}
	defer s.l.Give(n)
	return s.next.Put(ctx, b)
}

const (
	gcMinInterval = 10 * time.Second // a forced collection that did not help is not repeated sooner than this, and then ever later
	gcMaxInterval = 5 * time.Minute
)

// Run looks at the heap every interval until ctx is done. Above the hard limit it forces a
// collection, and backs off when collections do not bring the heap below the limit.
func (l *Limiter) Run(ctx context.Context) {
	tick := time.NewTimer(l.interval)
	defer tick.Stop()
	wait, next := gcMinInterval, time.Time{}
	var calm calm
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.stirred:
			calm.since = time.Now()
			l.calm.Store(false)
			l.tell(false)
		case now := <-tick.C:
			l.lastHeap.Store(l.heap())
			tick.Reset(l.pause())
			l.rest(&calm, now)
			if l.lastHeap.Load() >= l.hard && !now.Before(next) {
				l.gc()
				l.lastHeap.Store(l.heap())
				next = now.Add(wait)
				if l.lastHeap.Load() >= l.hard {
					wait = min(2*wait, gcMaxInterval)
				} else {
					wait = gcMinInterval
				}
			}
			l.notice()
		}
	}
}

// A calm is a time in which nothing is taken. What a burst left behind it is given back to the system then:
// the next collection may be far off.
type calm struct {
	since time.Time // something was taken, or memory given back
	given time.Time // the last time
	held  int64     // after it, or less since
}

const (
	calmFor   = 10 * time.Second
	calmAgain = time.Minute // no sooner than this because calm has begun
	calmHeld  = 2 << 20     // but when this much has gathered
)

// rest looks whether calm has begun, or lasts, and gives memory back when that is worth a collection.
func (l *Limiter) rest(c *calm, now time.Time) {
	if l.taken.Load() > 0 {
		l.stir()
		c.since = now
	}
	if c.since.IsZero() {
		c.since = now
	}
	if now.Sub(c.since) < calmFor {
		return
	}
	began := l.calm.CompareAndSwap(false, true)
	if began {
		l.tell(true)
	}
	held := l.held()
	c.held = min(c.held, held)
	if held < c.held+calmHeld && (!began || now.Sub(c.given) < calmAgain) {
		return
	}
	if began {
		l.gc() // a sync.Pool lets go in two steps
	}
	l.giveBack()
	l.lastHeap.Store(l.heap())
	c.since, c.given, c.held = now, now, l.held()
}

func (l *Limiter) tell(calm bool) {
	if f := l.calmed.Load(); f != nil {
		(*f)(calm)
	}
}

// quietInterval is how often the heap is looked at while it is far from any limit: what could bring it there
// in that time is counted before it is allocated.
const quietInterval = time.Second

// pause is the time until the next look.
func (l *Limiter) pause() time.Duration {
	if max(l.taken.Load(), l.lastHeap.Load()) < l.soft/4 {
		return max(l.interval, quietInterval)
	}
	return l.interval
}

// notice logs and reports a change of pressure, once each.
func (l *Limiter) notice() {
	now := l.Pressure()
	was := Pressure(l.pressure.Swap(int32(now)))
	if was == now {
		return
	}
	args := []any{"pressure", now.String(), "was", was.String(), "counted_mib", l.taken.Load() >> 20, "heap_mib", l.lastHeap.Load() >> 20, "soft_mib", l.soft >> 20, "hard_mib", l.hard >> 20}
	if now > was {
		l.log.Warn("memory pressure rises", args...)
	} else {
		l.log.Info("memory pressure falls", args...)
	}
	if f := l.changed.Load(); f != nil {
		(*f)(now)
	}
}
