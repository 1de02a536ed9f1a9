package tail

import (
	"slices"
	"time"
)

const (
	lookEvery = time.Second      // at files that are active
	scanEvery = 10 * time.Second // of the globs

	// activeFor is how long after its last growth a file is looked at without a notification.
	// After that a scan notices it.
	activeFor = time.Minute
	// settleFor and settleLooks are how long a renamed or removed file must not have grown
	// before it counts as read to its end: a container runtime writes on for a while.
	settleFor   = 5 * time.Second
	settleLooks = 2
	// awayFor is how long a file without a name is remembered, and a position without a file,
	// in case it comes back: a file system may be mounted late or fail for a while.
	awayFor = time.Hour
)

// A parting is a file that is gone, or its content.
type parting struct {
	key   uint64
	taken spans
	since time.Time // zero: no look has seen it yet
}

// look looks at the open files that are active, and says goodbye to those that are gone.
func (t *Tailer) look(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	for e := t.open.Front(); e != nil; {
		f := e.Value.(*file)
		e = e.Next()
		t.lookAt(f, now)
	}
	for _, f := range t.files {
		if f.failing {
			t.push(f)
		}
	}
	t.partWith(now)
	if now.Sub(t.orphans) >= awayFor {
		t.orphans = now
		t.forgetOrphans()
	}
}

// lookAt has f read if it grew, and lets go of it if it is rotated and will not. Needs mu.
func (t *Tailer) lookAt(f *file, now time.Time) {
	if f.moved {
		f.moved, f.last = false, false
		f.still, f.looks = now, 0
	}
	if f.busy || f.queued || !f.rotated && t.watch.works() && now.Sub(f.still) > activeFor {
		return
	}
	st, err := look(f.handle)
	if err != nil {
		t.push(f) // its turn reports it
		return
	}
	f.links = st.links
	if st.size != f.size {
		t.push(f)
		return
	}
	f.looks++
	if !f.rotated || f.looks < settleLooks || now.Sub(f.still) < settleFor {
		return
	}
	switch {
	case f.unfinished() || f.format == FormatAuto && f.size > 0:
		f.last = true
		t.push(f)
	case f.links == 0:
		t.drop(f)
	default:
		t.detach(f)
	}
}

// drop forgets a file that is gone. Needs mu.
func (t *Tailer) drop(f *file) {
	if missed := f.unread(); missed > 0 {
		t.stats.BytesMissed += uint64(missed)
		t.log.Error("log file is gone, its rest was not read", "path", f.path, "missed_bytes", missed)
	}
	t.part(f)
	t.detach(f)
	t.unlist(f)
}

// unlist takes f from the tables. Needs mu.
func (t *Tailer) unlist(f *file) {
	f.rewind() // gives back what it kept
	t.unname(f)
	delete(t.files, f.id.inode)
	if f.queued {
		t.queue = slices.DeleteFunc(t.queue, func(o *file) bool { return o == f })
	}
}

// part remembers to have the position of f forgotten. Needs mu.
func (t *Tailer) part(f *file) {
	t.parted = append(t.parted, parting{key: f.key, taken: f.taken})
}

// partWith finds those that can be forgotten: all that was taken of them is safe, so that no
// cursor can come later and bring the position back. Needs mu.
func (t *Tailer) partWith(now time.Time) {
	for i := range t.parted {
		if t.parted[i].since.IsZero() {
			t.parted[i].since = now
		}
	}
	t.parted = slices.DeleteFunc(t.parted, func(p parting) bool {
		switch {
		case len(p.taken) == 0:
			return true
		case t.pos.covers(p.key, p.taken):
			t.forget = append(t.forget, p.key)
			return true
		}
		// Whoever keeps the positions is late. If it is never, the orphans' time comes.
		return now.Sub(p.since) >= awayFor
	})
	t.signal()
}

// forgetOrphans has the positions forgotten that no known file has. Needs mu.
func (t *Tailer) forgetOrphans() {
	kept := make(map[uint64]bool, len(t.files))
	for _, f := range t.files {
		kept[f.key] = true
	}
	for _, p := range t.parted {
		kept[p.key] = true
	}
	for _, p := range t.pos.all() {
		if kept[p.key] || slices.Contains(t.forget, p.key) {
			continue
		}
		// What lies between two spans was in a record of the log that could not be read.
		missed := p.done.end() - p.done.size()
		t.stats.BytesMissed += uint64(missed)
		t.log.Info("position of a log file that did not turn up is forgotten",
			"path", p.path, "read", p.done.size(), "missed_bytes", missed)
		t.forget = append(t.forget, p.key)
	}
	t.signal()
}

// maxForget is how many files one cursor has forgotten.
const maxForget = 1024

// forgetChunk is a chunk without lines that has files forgotten, or nil. Needs mu.
func (t *Tailer) forgetChunk() *Chunk {
	n := min(len(t.forget), maxForget)
	if n == 0 {
		return nil
	}
	c := t.chunk()
	c.out = true
	c.forget = slices.Clone(t.forget[:n])
	t.forget = slices.Delete(t.forget, 0, n)
	c.Cursor = appendForget(c.Cursor, c.forget)
	return c
}
