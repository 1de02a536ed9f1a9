package forward

import (
	"math"
	"sync"
	"time"
)

const (
	// AttemptTime is how long one attempt to send a record may take until its rows are at
	// ClickHouse; after that the server refuses them. See docs/adr/0012.
	AttemptTime = 15 * time.Second
	// ClockError is by how much two processes may differ about ClickHouse's time.
	ClockError = 2 * time.Second
)

// A Clock tells ClickHouse's time by this process's monotonic clock, so that nobody who sets a
// clock here changes it. What it is told comes late and never early: it goes by what is furthest
// ahead. The zero Clock knows nothing.
type Clock struct {
	mu    sync.Mutex
	there time.Time // what it was there
	here  time.Time // when that arrived; zero: never
}

// staleAfter is when a later reading counts even if it is behind: the clock there may have been
// set back.
const staleAfter = time.Minute

// Set says that it is there at the other end, or was a little before now.
func (c *Clock) Set(there time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if age := now.Sub(c.here); c.here.IsZero() || age >= staleAfter || there.After(c.there.Add(age)) {
		c.there, c.here = there.Round(0), now
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

// Fences are what a sender states about its attempts.
type Fences struct {
	Clock   *Clock
	Started time.Time // of this process: what an earlier one left may have been sent until then
}

// Next says what an attempt states that begins now: how long it may be stored itself (0: nobody
// knows what time it is), until when what an earlier process sent may be, and the latest that any
// attempt so far can have stated, unless the clock was set back since.
func (f Fences) Next() (until, inherited, latest uint32) {
	now, ok := f.Clock.Now()
	if !ok {
		return 0, 1, math.MaxUint32
	}
	started, _ := f.Clock.At(f.Started)
	return Fence(now.Add(AttemptTime)), Fence(started.Add(AttemptTime + ClockError)), Fence(now.Add(AttemptTime + ClockError))
}

// Fence is the second on a Clock in which t is, as markers and ClickHouse's DateTime hold it.
func Fence(t time.Time) uint32 { return uint32(max(t.Unix(), 1)) }
