package agent

import (
	"slices"
	"sync"
	"time"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/wal"
)

// A Status is the log at one moment, for people.
type Status struct {
	Dir              string
	Mode             forward.Mode
	WhenFull         wal.WhenFull
	Used, Limit      int64
	SecondsUntilFull float64 // +Inf: it does not grow
	Free, Reserve    int64   // of the file system
	DiskErr          error   // why these two are not known
	Troubles         []string
	Lanes            []LaneStatus
}

// A LaneStatus is a signal's part of the log.
type LaneStatus struct {
	Signal   forward.Signal
	Stream   string // what tables call the records that are appended now
	Held     uint64 // items
	Parked   uint64 // of these, out of the way of the others
	Bytes    int64
	Deferred int64
	Files    int
	Oldest   time.Time // zero: nothing waits
	Failures uint64
}

// Status is a snapshot.
func (a *Agent) Status() Status {
	s := Status{Dir: a.cfg.WAL.Dir, Mode: a.cfg.WAL.Mode, WhenFull: a.cfg.WAL.WhenFull, SecondsUntilFull: a.store.SecondsUntilFull(), Troubles: a.store.Troubles()}
	s.Used, s.Limit = a.store.Usage()
	s.Free, s.Reserve, s.DiskErr = a.store.Disk()
	for _, sig := range forward.Signals {
		st := a.lanes(sig)
		s.Lanes = append(s.Lanes, LaneStatus{Signal: sig, Stream: forward.Marker{Stream: a.store.Lane(sig.String()).Stream()}.StreamID(),
			Held: st.Held, Parked: a.store.Lane(parked(sig)).Stats().Held, Bytes: st.Bytes, Deferred: st.Deferred, Files: st.Files, Oldest: st.Oldest, Failures: st.Failures})
	}
	return s
}

// maxLosses is how many of the last losses are remembered; the ledger has all.
const maxLosses = 8

type losses struct {
	mu   sync.Mutex
	last []wal.Loss // the oldest first
}

func (l *losses) add(loss wal.Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) == maxLosses {
		l.last = slices.Delete(l.last, 0, 1)
	}
	l.last = append(l.last, loss)
}

// Losses are the last ones since the start, the newest first: of records, and of what was never read.
func (a *Agent) Losses() []wal.Loss {
	a.losses.mu.Lock()
	defer a.losses.mu.Unlock()
	all := slices.Clone(a.losses.last)
	slices.Reverse(all)
	return all
}
