package tail

import (
	"cmp"
	"path/filepath"
	"slices"
	"time"
)

// A search looks for the files of a log that are unknown: those that came and went by its name between two looks, or
// while nobody looked. It looks at all that lies beside the log, whatever was looked at before: a generation that one
// search could not tell, or did not see, is there at the next, which every rotation asks for.
type search struct {
	root   string
	beside []string // the names that its files are rotated from: root, and where links lead to
	cfg    *config
	from   time.Time  // when it was last asked for
	begun  int        // files that were found
	lost   []*content // what is missed if there are none
}

// lookBack asks for a search for files of the log of f. Needs mu.
func (t *Tailer) lookBack(f *file) { t.search(f.root, f.cfg, f.name, f.real) }

// search asks for one for a log, beside files of which it has these names. Needs mu.
func (t *Tailer) search(root string, cfg *config, names ...string) *search {
	r := t.searches[root]
	if r == nil {
		r = &search{root: root, beside: []string{root}, cfg: cfg}
		t.searches[root] = r
	}
	r.from = t.clock()
	r.beside = addRoots(r.beside, names...)
	return r
}

// floor is the age of what was there before us, and is left alone if the globs do not match it, in ns since 1970: of a log
// that has a position all that is older than what is known of it. One that has none may have begun while
// nobody looked; then all of it is newer than any file that has a position, of whatever path. Needs mu.
func (t *Tailer) floor(root string, cfg *config) int64 {
	began := t.began.UnixNano()
	if born := t.known[root]; born > 0 {
		return min(born, began)
	}
	if t.newest > 0 && cfg.StartAt != StartAtEnd {
		return min(t.newest, began)
	}
	return began
}

// generations begins with the files that r looks for. It says whether these are all: there may be some that cannot be
// told yet. Needs mu.
func (t *Tailer) generations(r *search, places directories) (all bool) {
	var (
		fresh []*candidate
		told  = differs
		floor = t.floor(r.root, r.cfg)
	)
	for _, base := range r.beside {
		l := places.list(filepath.Dir(base))
		if l.torn {
			told = max(told, unclear)
		}
		for _, s := range l.rotated[base] {
			if s.modified.UnixNano()+tick <= floor {
				continue
			}
			c, v := t.unseen(s, r)
			switch {
			case c == nil:
				if v != same {
					told = max(told, v)
				}
				continue
			case c.firstWritten() <= floor:
				c.close()
				continue
			}
			fresh = append(fresh, c)
		}
	}
	slices.SortFunc(fresh, func(a, b *candidate) int { return cmp.Compare(a.firstWritten(), b.firstWritten()) })
	for _, c := range fresh {
		if v, _, _ := t.whose(c, r.root); v != differs { // of one that was only begun here
			c.close()
			told = max(told, unclear)
			continue
		}
		t.log.Info("log file was rotated while nobody looked, reading it", "path", r.root, "name", c.name)
		t.stats.Rotations++
		t.begin(c, r.root, nil)
		r.begun++
	}
	switch {
	case told == stale:
		return false
	case told == unclear && t.clock().Sub(r.from) < patience:
		t.scanSoon()
		return false
	}
	for _, o := range r.lost {
		if r.begun == 0 && !t.isFoundAgain(o) {
			t.missedContent(o)
		}
	}
	return true
}

// unseen opens the file of s, if it holds what nobody has seen. Else, and if that cannot be told yet, it is nil. Needs mu.
func (t *Tailer) unseen(s sighting, r *search) (*candidate, verdict) {
	switch v := t.knows(s); {
	case v != differs:
		return nil, v
	case t.isCopy(s):
		return nil, same
	case s.size == 0 && t.clock().Sub(s.modified) >= patience:
		return nil, same // else it may be a copy that is slow to come
	case s.size == 0, t.find(s.path) != nil:
		return nil, unclear // the next scan begins with what the globs match, unless it is compressed before
	}
	s.cfg = r.cfg
	return t.claim(s, r.root)
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
			t.search(root, cfg)
		}
	}
}
