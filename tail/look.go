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
	// idleLooks is after how many looks at which it has not grown a file gives its buffers back.
	idleLooks = 5
	// awayFor is how long a file without a name is remembered, and a position without a file,
	// in case it comes back: a file system may be mounted late or fail for a while. Of each log it is
	// maxAway files at most.
	awayFor = time.Hour
)

// A parting is a content that nobody has any more.
type parting struct {
	content
	parted time.Time // zero: no look has seen it yet
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
	for f := range t.failing {
		t.push(f)
	}
	t.catchUp(make(directories))
	t.partWith(now)
	if now.Sub(t.cleared) >= awayFor {
		t.cleared = now
		t.forgetOrphans()
	}
}

// catchUp looks for what has no file any more, and for files that nobody saw. Needs mu.
func (t *Tailer) catchUp(places directories) {
	t.settle(places)
	for root, r := range t.searches {
		if t.generations(r, places) {
			delete(t.searches, root)
		}
	}
}

// lookAt has f read if it grew, and lets go of it if it is rotated and will not. Needs mu.
func (t *Tailer) lookAt(f *file, now time.Time) {
	if f.moved {
		f.moved, f.last = false, false
		f.still, f.looks = now, 0
	}
	if f.busy || f.queued || !f.rotated && t.watch.covers(f) && now.Sub(f.still) > activeFor {
		return
	}
	st, err := look(f.handle)
	if err != nil {
		t.push(f) // its turn reports it
		return
	}
	f.links = st.links
	if f.held && f.links == 0 {
		f.size = st.size
		t.giveUp(f)
		return
	}
	if f.zip == nil && (st.size != f.size || !st.modified.Equal(f.written)) {
		t.push(f)
		return
	}
	if f.holds() && now.Sub(f.still) >= f.cfg.join.wait {
		f.flushAt = st.size
		t.push(f)
		return
	}
	f.looks++
	if f.looks == idleLooks {
		f.idle()
	}
	if !f.rotated || f.looks < settleLooks || now.Sub(f.still) < settleFor {
		return
	}
	switch {
	case f.held:
	case f.zip == nil && (f.unfinished() || f.format == FormatAuto && f.size > 0):
		f.last = true
		t.push(f)
	case f.links == 0:
		t.drop(f)
	default:
		t.detach(f)
	}
}

// drop forgets a file that is gone, but not what was in it. Needs mu.
func (t *Tailer) drop(f *file) {
	t.leave(f.content())
	t.detach(f)
	t.unlist(f)
}

// giveUp drops a file that is gone with its rest: its source wrote more than it may, and the file
// takes room on the disk until it is closed. Needs mu.
func (t *Tailer) giveUp(f *file) {
	if n := f.unread(); n > 0 {
		t.miss(Missed{Path: f.path, Config: f.cfg.index, Bytes: n, Reason: MissedRateLimit})
	}
	of := f.content()
	of.givenUp = true
	t.parted = append(t.parted, parting{content: of})
	t.coverCopies(f)
	t.detach(f)
	t.unlist(f)
}

// unlist takes f from the tables. Needs mu.
func (t *Tailer) unlist(f *file) {
	f.rewind() // gives back what it kept
	t.unname(f)
	delete(t.files, f.id.inode)
	delete(t.failing, f)
	if first := t.origins[f.root]; first != f {
		for first.next != f {
			first = first.next
		}
		first.next = f.next
	} else if t.origins[f.root] = f.next; f.next == nil {
		delete(t.origins, f.root)
	}
	t.leaveBucket(f)
	if f.queued {
		t.queue.remove(f)
	}
}

// partWith finds those that can be forgotten: all that was taken of them is safe, so that no
// cursor can come later and bring the position back. Needs mu.
func (t *Tailer) partWith(now time.Time) {
	for i := range t.parted {
		if t.parted[i].parted.IsZero() {
			t.parted[i].parted = now
		}
	}
	t.parted = slices.DeleteFunc(t.parted, func(p parting) bool {
		switch {
		case len(p.done) == 0:
			return true
		case t.pos.covers(p.key, p.done) && !t.isNeeded(p.root):
			t.forget = append(t.forget, p.key)
			return true
		}
		// Whoever keeps the positions is late. If it is never, the orphans' time comes.
		return now.Sub(p.parted) >= awayFor
	})
	t.signal()
}

// isNeeded says whether a content of a log must not be forgotten yet. If it is the last with a position of a log
// that is still written, nobody would know after a restart that the log was read at all; and if what was
// taken from a file, or copied from one, is not safe yet, nobody would know what that file holds. Needs mu.
func (t *Tailer) isNeeded(root string) bool {
	last := t.origins[root] != nil
	for f := t.origins[root]; f != nil; f = f.next {
		if _, ok := t.pos.done(f.key); ok {
			last = false
		} else if len(f.taken) > 0 {
			return true
		}
	}
	return last
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
	for _, o := range t.orphans {
		kept[o.key] = true
	}
	t.away = nil
	for _, p := range t.pos.all() {
		if kept[p.key] || slices.Contains(t.forget, p.key) || t.find(p.path) == nil && t.isThere(p) {
			continue // of what was taken out of the configuration it may be asked for again
		}
		// What lies between two spans was in a record of the log that could not be read.
		missed := p.done.end() - p.done.size()
		t.log.Info("position of a log file that did not turn up is forgotten", "path", p.path, "read", p.done.size())
		if missed > 0 {
			t.miss(Missed{Path: p.path, Config: t.indexOf(p.path), Bytes: missed, Reason: MissedGone})
		}
		t.forget = append(t.forget, p.key)
	}
	t.signal()
}

// isThere says whether the file of a position is where it was.
func (t *Tailer) isThere(p progress) bool {
	id, at, ok := birthAt(p.path)
	return ok && id == p.id.inode && at == p.id.birth
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
