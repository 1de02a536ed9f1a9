package forward

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// An outage is logged when it begins, more and more seldom while it lasts, and when it ends.
type outage struct {
	mu       sync.Mutex
	since    time.Time
	nextLine time.Time
	pause    time.Duration // after that line
	attempts int
}

// What ends a connection is seldom why there is no new one: the second line of an outage comes soon.
// The pauses between lines grow twofold.
const (
	outageSoon  = 2 * time.Second
	outageEvery = time.Minute
)

func (d *Drain) note(err error, parts []parcelPart) {
	o := &d.outage
	o.mu.Lock()
	defer o.mu.Unlock()
	if delivered(err) || Refused(err) != nil {
		if !o.since.IsZero() {
			d.Logger.Info("delivering again", "signal", d.Signal.String(), "after", time.Since(o.since).Round(time.Millisecond), "failed_attempts", o.attempts)
		}
		o.since, o.attempts = time.Time{}, 0
		return
	}
	if errors.Is(err, context.Canceled) || d.tooSoon(err, parts) {
		return
	}
	d.Circuit.failure(err)
	o.attempts++
	if o.since.IsZero() {
		o.since, o.nextLine, o.pause = time.Now(), time.Now(), outageSoon
	}
	if time.Now().Before(o.nextLine) {
		return
	}
	o.nextLine = time.Now().Add(o.pause)
	o.pause = min(2*o.pause, outageEvery)
	d.Logger.Warn("delivery fails, the data waits in the log", "signal", d.Signal.String(), "records", len(parts),
		"failing_for", time.Since(o.since).Round(time.Second), "attempts", o.attempts, "err", fmt.Sprint(err))
}
