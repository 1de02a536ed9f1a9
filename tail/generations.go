package tail

import (
	"cmp"
	"path/filepath"
	"slices"
	"time"
)

// A round is what a path may have been through since a time, in ns since 1970.
type round struct {
	path  string
	since int64
	cfg   *config
	from  time.Time // when it began to be looked for
	begun int       // files that were found
	lost  *content  // what is missed if there are none
}

// generations begins with the rotated files of a path that are unknown and were written since:
// those that came and went by that name between two looks, or while nobody looked. It says whether
// these are all: there may be some that cannot be told yet. Needs mu.
func (t *Tailer) generations(r *round, places directories) (all bool) {
	type unseen struct {
		*candidate
		written int64
	}
	var (
		fresh []unseen
		told  = differs
		l     = places.list(filepath.Dir(r.path))
	)
	if l.torn {
		told = unclear
	}
	for _, s := range l.rotated[r.path] {
		if s.modified.UnixNano() <= r.since || t.find(s.path) != nil {
			continue // those that the globs match come by themselves
		}
		if v := t.knows(s); v != differs {
			if v == unclear {
				told = max(told, unclear)
			}
			continue
		}
		if s.size == 0 {
			if t.clock().Sub(s.modified) < patience {
				told = max(told, unclear) // it may be a copy that is slow to come
			}
			continue
		}
		s.cfg = r.cfg
		c, v := t.claim(s, r.path)
		switch {
		case c == nil:
			if v != same {
				told = max(told, v)
			}
			continue
		case c.firstWritten() <= r.since:
			c.close()
			continue
		}
		fresh = append(fresh, unseen{c, c.firstWritten()})
	}
	slices.SortFunc(fresh, func(a, b unseen) int { return cmp.Compare(a.written, b.written) })
	for _, c := range fresh {
		if v, _, _ := t.whose(c.candidate, r.path); v != differs { // of one that was only begun here
			c.close()
			told = max(told, unclear)
			continue
		}
		t.log.Info("log file was rotated while nobody looked, reading it", "path", r.path, "name", c.name)
		t.stats.Rotations++
		t.begin(c.candidate, r.path, nil)
		r.begun++
	}
	switch {
	case told == stale:
		return false
	case told == unclear && t.clock().Sub(r.from) < patience:
		t.scanSoon()
		return false
	}
	if r.lost != nil && r.begun == 0 && !t.isFoundAgain(r.lost) {
		t.missedContent(r.lost)
	}
	return true
}

// isFoundAgain says whether a content into which nobody had looked seems to be in a file that the globs
// match: one beside its own that is as long. Needs mu.
func (t *Tailer) isFoundAgain(o *content) bool {
	for f := t.origins[o.root]; f != nil; f = f.next {
		if f.name != f.root && f.born >= o.born && f.size >= o.size {
			return true
		}
	}
	return false
}

// succeed notes that f has the place of another file, or a new one, between which and f there may
// have been more. Needs mu.
func (t *Tailer) succeed(f *file, first, resumed bool) {
	since, ok := t.known[f.path]
	if first {
		// What is older than all that we know was there before us, and is left alone. Where the file system
		// does not say how old files are, only a file that is not there any more had successors.
		// What is newer than any file that we know, of whatever path, was not.
		if !ok && f.cfg.StartAt != StartAtEnd {
			since, ok = t.newest, t.newest > 0
		}
		if !ok || resumed && since == 0 {
			return
		}
	} else {
		// What had the path at the first scan may have been renamed before it was opened: then this is the
		// first one that has it, and there may be more before it than since the newest that is known.
		delete(t.known, f.path)
		newest := int64(0)
		for o := f.next; o != nil; o = o.next {
			newest = max(newest, o.born)
		}
		since = cmp.Or(since, newest, t.before(f))
	}
	t.lookBack(f.path, since, f.cfg)
}

// before is what the generations of a log that was first seen after the first scan are newer than, in ns since 1970:
// it may have begun before, while nobody looked. Needs mu.
func (t *Tailer) before(f *file) int64 {
	began := t.began.UnixNano()
	if t.newest > 0 && f.cfg.StartAt != StartAtEnd {
		return min(t.newest, began)
	}
	return began
}

// precede looks back from f, which was seen first by the name that it has since its rotation: between it and the
// one before that is known there may have been more. Needs mu.
func (t *Tailer) precede(f *file) {
	newest := int64(0)
	for o := t.origins[f.root]; o != nil; o = o.next {
		if o != f && o.born < f.born {
			newest = max(newest, o.born)
		}
	}
	if newest > 0 {
		t.lookBack(f.root, newest, f.cfg)
	}
}

// lookBack begins a round. Needs mu.
func (t *Tailer) lookBack(path string, since int64, cfg *config) {
	t.rounds = append(t.rounds, &round{path: path, since: since, cfg: cfg, from: t.clock()})
}

// recollect looks back, at the first scan, at files with a position that are not there any more:
// where their content is now, and what came after them. Needs mu.
func (t *Tailer) recollect(at map[inode]sighting) {
	there := make(map[string]bool, len(at))
	for _, s := range at {
		there[s.path] = true
	}
	kept := make(map[uint64]bool, len(t.files))
	for _, f := range t.files {
		kept[f.key] = true
	}
	for _, p := range t.pos.all() {
		cfg := t.find(p.path)
		if kept[p.key] || cfg == nil {
			continue
		}
		root := rootOf(p.path)
		t.orphans = append(t.orphans, &content{progress: p, cfg: cfg, root: root, name: p.path, size: -1, since: t.clock(), away: true})
		if !there[root] {
			there[root] = true
			t.lookBack(root, t.known[root], cfg)
		}
	}
}
