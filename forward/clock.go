package forward

import (
	"sync"
	"time"
)

// A Clock tells ClickHouse's time by this process's monotonic clock, so that nobody who sets a
// clock here changes it. What it is told may have been long under way: it goes by what is furthest
// ahead, and turns back only when the clock there must have been set back. The zero Clock knows
// nothing.
type Clock struct {
	mu    sync.Mutex
	there time.Time // what it was there
	here  time.Time // when that arrived; zero: never
}

// Set says that it was there at the other end at some time since it was asked.
func (c *Clock) Set(there, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	believed := c.there.Add(now.Sub(c.here))
	atMost := there.Add(now.Sub(asked))
	switch {
	case c.here.IsZero() || there.After(believed):
		c.there, c.here = there.Round(0), now
	case atMost.Before(believed.Add(-ClockError)):
		c.there, c.here = atMost.Round(0), now
	}
}

// Now is the time there; not ok: nobody has said, and it is ours.
func (c *Clock) Now() (now time.Time, ok bool) { return c.At(time.Now()) }

// At is what it was, or will be, there at that time of ours; likewise.
func (c *Clock) At(here time.Time) (there time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.here.IsZero() {
		return here, false
	}
	return c.there.Add(here.Sub(c.here)), true
}

// Here is the time of ours at which it is that there. As long as nobody has said what time it is
// there, it is taken to be the same.
func (c *Clock) Here(there time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.here.IsZero() {
		return there
	}
	return c.here.Add(there.Sub(c.there))
}
