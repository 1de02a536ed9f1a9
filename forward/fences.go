package forward

import (
	"context"
	"errors"
	"math"
	"time"
)

const (
	// AttemptTime is how long one attempt to send a record may take until its rows are at
	// ClickHouse; after that the server refuses them. See docs/adr/0012.
	AttemptTime = 15 * time.Second
	// ClockError is by how much two processes may differ about ClickHouse's time.
	ClockError = 2 * time.Second
)

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

// stamp states the fences of an attempt that begins now, and returns its own.
func (d *Drain) stamp(p *parcel, parts []parcelPart) uint32 {
	until, inherited, latest := d.Fences.Next()
	for i := range parts {
		part := &parts[i]
		if part.entry.Stream != d.Log.Stream() {
			part.after = max(part.after, inherited)
		}
		part.after = min(part.after, latest)
		Stamp(p.body[part.start:], part.after, until)
	}
	return until
}

// holdBack has new records go first for as long as what an earlier process sent last may still
// be stored: until then the old ones could only wait.
func (d *Drain) holdBack() (stop func()) {
	left := AttemptTime + ClockError - time.Since(d.Fences.Started)
	if left <= 0 || d.Log.Stats().Recovered == 0 {
		return func() {}
	}
	d.Log.HoldBack(true)
	timer := time.AfterFunc(left, func() { d.Log.HoldBack(false) })
	return func() { timer.Stop() }
}

// tooSoon says that err only tells that the records may still be stored by an earlier attempt.
func (d *Drain) tooSoon(err error, parts []parcelPart) bool {
	return NotTaken(err) && !errors.Is(err, ErrNotSent) && d.fenced(parts) > 0
}

// wait is sleep. A batch that waits for a fence keeps no new ones from being sent: it gives its
// place away meanwhile.
func (d *Drain) wait(ctx context.Context, after time.Duration, woken <-chan struct{}, parts []parcelPart) bool {
	if d.fenced(parts) > 0 && d.stepAside() {
		defer d.stepBack()
	}
	return sleep(ctx, after, woken)
}

// fenced is how long an earlier attempt of a record may still be stored.
func (d *Drain) fenced(parts []parcelPart) (left time.Duration) {
	now, ok := d.Fences.Clock.Now()
	for _, p := range parts {
		if end := time.Unix(int64(p.after)+1, 0); ok && end.After(now) {
			left = max(left, end.Sub(now))
		}
	}
	return left
}

// pause is how long to wait after err. The first look for a record that may be stored comes soon,
// for it mostly is; the next one when the answer is certain, and no later.
func (d *Drain) pause(back *Backoff, err error, parts []parcelPart) time.Duration {
	wait := back.After(err)
	if left := d.fenced(parts); left > 0 && NotTaken(err) {
		return left
	}
	return wait
}

// stepAside gives a place away, unless too many did so or memory is short.
func (d *Drain) stepAside() bool {
	if d.aside.Add(1) > int32(d.Parallel) || d.Limiter.Pressure() != Normal {
		d.aside.Add(-1)
		return false
	}
	<-d.places
	return true
}

func (d *Drain) stepBack() {
	d.places <- struct{}{} // whoever has one gives it back
	d.aside.Add(-1)
}
