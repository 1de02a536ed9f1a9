package forward

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// RetryConfig has the keys and meaning of the OpenTelemetry Collector's retry_on_failure, but
// for one thing: max_elapsed_time ends no delivery. After it the circuit opens and one small
// batch at a time is tried; the data waits in the log.
type RetryConfig struct {
	InitialInterval time.Duration `yaml:"initial_interval"` // the first wait
	MaxInterval     time.Duration `yaml:"max_interval"`     // the longest wait
	MaxElapsedTime  time.Duration `yaml:"max_elapsed_time"` // nothing delivered for so long: the circuit opens
}

// DefaultRetryConfig is 5 s, 30 s, 300 s.
func DefaultRetryConfig() RetryConfig {
	return RetryConfig{InitialInterval: 5 * time.Second, MaxInterval: 30 * time.Second, MaxElapsedTime: 300 * time.Second}
}

// Validate names everything that is wrong.
func (c RetryConfig) Validate() error {
	var errs []error
	if c.InitialInterval <= 0 {
		errs = append(errs, errors.New("initial_interval must be positive, for instance 5s"))
	}
	if c.MaxInterval < c.InitialInterval {
		errs = append(errs, errors.New("max_interval must not be below initial_interval"))
	}
	if c.MaxElapsedTime <= 0 {
		errs = append(errs, errors.New("max_elapsed_time must be positive; it opens the circuit, it drops nothing"))
	}
	return errors.Join(errs...)
}

const (
	backoffFactor = 1.5
	// maxHint caps what a server may ask for: a wrong one must not silence a node for hours.
	maxHint = 5 * time.Minute
)

// A Backoff says how long to wait after each failure.
type Backoff struct {
	cfg  RetryConfig
	next time.Duration
}

// NewBackoff starts at the initial interval.
func NewBackoff(cfg RetryConfig) *Backoff { return &Backoff{cfg: cfg, next: cfg.InitialInterval} }

// Reset starts over.
func (b *Backoff) Reset() { b.next = b.cfg.InitialInterval }

// After is the wait after err: the back-off with ±50 % jitter, or the server's hint stretched
// by up to half, so that those who were told the same do not come back together, whichever is longer.
func (b *Backoff) After(err error) time.Duration {
	wait := time.Duration(float64(b.next) * (0.5 + rand.Float64()))
	b.next = min(time.Duration(float64(b.next)*backoffFactor), b.cfg.MaxInterval)
	if busy := Busy(err); busy != nil && busy.After > 0 {
		wait = max(wait, time.Duration(float64(min(busy.After, maxHint))*(1+rand.Float64()/2)))
	}
	return wait
}

// sleep waits d, or until woken is closed or ctx done. It says whether it was woken.
func sleep(ctx context.Context, d time.Duration, woken <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-woken:
		return true
	}
	return false
}

// A Circuit is shared by all deliveries to one target. When nothing got through for long
// enough it opens: then one delivery at a time may try.
type Circuit struct {
	after time.Duration
	turn  chan struct{} // holds the one permit to try while open

	mu           sync.Mutex
	failingSince time.Time
	successes    uint64
	last         time.Time // of the last success
	underway     int
	err          string // of the last failure since failingSince
	failed       time.Time
}

// NewCircuit opens after that long without a success.
func NewCircuit(after time.Duration) *Circuit {
	c := &Circuit{after: after, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// Open says whether the circuit is open, and since when nothing got through.
func (c *Circuit) Open() (open bool, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.failingSince.IsZero() && time.Since(c.failingSince) >= c.after, c.failingSince
}

// A CircuitState is a Circuit at one moment.
type CircuitState struct {
	Open         bool
	FailingSince time.Time // nothing got through since then; zero: nothing fails
	LastSuccess  time.Time // zero: none since the start
	Underway     int       // batches that are being sent now
	Err          string    // the last failure since FailingSince
	Failed       time.Time // when that was
}

// State is all of it, for people.
func (c *Circuit) State() CircuitState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CircuitState{Open: !c.failingSince.IsZero() && time.Since(c.failingSince) >= c.after, FailingSince: c.failingSince,
		LastSuccess: c.last, Underway: c.underway, Err: c.err, Failed: c.failed}
}

// failure notes what a try that Leave called failed has met.
func (c *Circuit) failure(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.failingSince.IsZero() {
		c.err, c.failed = err.Error(), time.Now()
	}
}

// Successes counts deliveries.
func (c *Circuit) Successes() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.successes
}

// Enter waits for the right to try: at once while closed, for the one turn while open. probe
// says that it is such a turn. Leave must follow.
func (c *Circuit) Enter(ctx context.Context) (probe bool, err error) {
	if open, _ := c.Open(); !open {
		c.enter()
		return false, nil
	}
	select {
	case <-c.turn:
		c.enter()
		return true, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

func (c *Circuit) enter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underway++
}

// Leave reports how the try went.
func (c *Circuit) Leave(probe, ok bool) {
	c.mu.Lock()
	c.underway--
	switch {
	case ok:
		c.successes++
		c.failingSince, c.last, c.err = time.Time{}, time.Now(), ""
	case c.failingSince.IsZero():
		c.failingSince = time.Now()
	}
	c.mu.Unlock()
	if probe {
		c.turn <- struct{}{}
	}
}
