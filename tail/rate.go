package tail

import (
	"errors"
	"path/filepath"
	"time"
)

// RateLimit is how fast one source is read, so that one that writes without measure does not
// fill the log behind it. What is beyond stays in the file for now; when the file is removed
// meanwhile, its rest is given up and counted as missed.
type RateLimit struct {
	BytesPerSecond int64 // 0: no limit
	BurstBytes     int64 // 0: ten seconds' worth
	Per            Source
}

// A Source is what has a budget of its own.
type Source string

const (
	PerFile      Source = "file"      // and what becomes of it when it rotates
	PerDirectory Source = "directory" // in Kubernetes a container, with all its restarts
)

// burstSeconds is how long a source may have been quiet to be read at once.
const burstSeconds = 10

// Validate names everything that is wrong.
func (r RateLimit) Validate() error {
	var errs []error
	if r.BytesPerSecond < 0 || r.BurstBytes < 0 {
		errs = append(errs, errors.New("rate_limit: bytes_per_second and burst_bytes cannot be negative"))
	}
	if r.Per != "" && r.Per != PerFile && r.Per != PerDirectory {
		errs = append(errs, errors.New("rate_limit.per: use file or directory"))
	}
	return errors.Join(errs...)
}

// A bucket is the budget of a source: it may be overdrawn by a window, and is waited for then.
// Tailer.mu guards it; nil has no limit.
type bucket struct {
	rate, burst int64
	left        int64
	at          time.Time
	users       int
}

// bucket is that of the source that f belongs to. Needs mu.
func (t *Tailer) bucket(f *file) *bucket {
	limit := f.cfg.RateLimit
	if limit.BytesPerSecond == 0 {
		return nil
	}
	source := f.budgetOf(limit.Per)
	b := t.buckets[source]
	if b == nil {
		b = &bucket{rate: limit.BytesPerSecond, burst: limit.BurstBytes, at: t.clock()}
		if b.burst == 0 {
			b.burst = burstSeconds * b.rate
		}
		b.left = b.burst
		t.buckets[source] = b
	}
	b.users++
	return b
}

func (f *file) budgetOf(per Source) string {
	if per == PerDirectory {
		return filepath.Dir(f.path)
	}
	return f.path
}

// leaveBucket forgets the budget of a source without files. Needs mu.
func (t *Tailer) leaveBucket(f *file) {
	if f.bucket == nil {
		return
	}
	if f.bucket.users--; f.bucket.users == 0 {
		delete(t.buckets, f.budgetOf(f.cfg.RateLimit.Per))
	}
}

func (b *bucket) spend(n int64) {
	if b != nil {
		b.left -= n
	}
}

// wait is how long until something may be read.
func (b *bucket) wait(now time.Time) time.Duration {
	if b == nil {
		return 0
	}
	if passed := now.Sub(b.at); passed > 0 {
		b.left = min(b.burst, b.left+int64(float64(b.rate)*passed.Seconds()))
		b.at = now
	}
	if b.left > 0 {
		return 0
	}
	return time.Duration(float64(1-b.left)/float64(b.rate)*float64(time.Second)) + time.Millisecond
}

// hold says whether f, which was taken from the queue, must wait for its budget, and puts it aside
// for that long. Needs mu.
func (t *Tailer) hold(f *file) bool {
	wait := f.bucket.wait(t.clock())
	if wait <= 0 {
		return false
	}
	t.stats.RateLimited++
	if !f.limited {
		f.limited = true
		t.log.Warn("log file is written faster than its rate limit, the rest waits in the file",
			"path", f.path, "bytes_per_second", f.bucket.rate)
	}
	f.queued, f.held = false, true
	time.AfterFunc(wait, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		f.held = false
		t.push(f)
	})
	return true
}
