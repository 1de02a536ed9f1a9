package forward

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// An outage is logged when it begins, seldom while it lasts, and when it ends.
type outage struct {
	mu       sync.Mutex
	since    time.Time
	lastLine time.Time
	attempts int
}

// outageEvery is how often a lasting outage is mentioned.
const outageEvery = time.Minute

func (d *Drain) note(err error, parts []parcelPart) {
	o := &d.outage
	o.mu.Lock()
	defer o.mu.Unlock()
	if delivered(err) || Refused(err) != nil {
		if !o.since.IsZero() {
			d.Logger.Info("delivering again", "signal", d.Signal.String(), "after", time.Since(o.since).Round(time.Millisecond), "failed_attempts", o.attempts)
		}
		o.since, o.lastLine, o.attempts = time.Time{}, time.Time{}, 0
		return
	}
	if errors.Is(err, context.Canceled) || d.tooSoon(err, parts) {
		return
	}
	d.Circuit.failure(err)
	o.attempts++
	if o.since.IsZero() {
		o.since = time.Now()
	}
	if time.Since(o.lastLine) < outageEvery {
		return
	}
	o.lastLine = time.Now()
	d.Logger.Warn("delivery fails, the data waits in the log", "signal", d.Signal.String(), "records", len(parts),
		"failing_for", time.Since(o.since).Round(time.Second), "attempts", o.attempts, "err", fmt.Sprint(err))
}
