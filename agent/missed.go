package agent

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
	"github.com/spillway-io/spillway/wal"
)

// Missed writes into the ledger what was not read of a log file.
func (a *Agent) Missed(m tail.Missed) {
	a.store.Missed(forward.Logs.String(), m.Bytes, m.Reason, m.Path)
	a.losses.add(wal.Loss{Time: time.Now(), Lane: forward.Logs.String(), Reason: m.Reason, Bytes: m.Bytes, Detail: m.Path})
}

// missedFiles is how many bytes were missed, by file and reason.
type missedFiles struct {
	mu    sync.Mutex
	bytes map[missedFile]uint64
}

type missedFile struct{ path, reason string }

// maxMissedFiles bounds the files that are named; the others are counted together.
const maxMissedFiles = 256

func (f *missedFiles) add(m tail.Missed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bytes == nil {
		f.bytes = make(map[missedFile]uint64)
	}
	at := missedFile{m.Path, m.Reason}
	if _, named := f.bytes[at]; !named && len(f.bytes) >= maxMissedFiles {
		at.path = "other"
	}
	f.bytes[at] += uint64(m.Bytes)
}

func (f *missedFiles) all() map[missedFile]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.bytes)
}

// A MissedFile is one whose bytes nobody will read, and why.
type MissedFile struct {
	Path, Reason string
	Bytes        uint64
}

// Missed is what was missed by file, most first.
func (f *Files) Missed() (list []MissedFile) {
	for at, n := range f.missed.all() {
		list = append(list, MissedFile{at.path, at.reason, n})
	}
	slices.SortFunc(list, func(a, b MissedFile) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}
