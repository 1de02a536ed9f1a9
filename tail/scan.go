package tail

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// A sighting is a path at which a scan saw a file.
type sighting struct {
	status
	path string
	cfg  *config
}

// scan finds the files that the globs match, and compares them with those that are known. It
// returns the directories in which there could be others.
func (t *Tailer) scan(now time.Time) (dirs map[string]bool) {
	seen, dirs := t.see()
	return t.compare(seen, dirs, now)
}

// compare adds to dirs where links lead to. What was seen may have another name by now.
func (t *Tailer) compare(seen []sighting, dirs map[string]bool, now time.Time) map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	first := !t.scanned
	if first {
		for _, p := range t.pos.all() {
			t.newest = max(t.newest, p.born)
			root := rootOf(p.path)
			if born, ok := t.known[root]; !ok || p.born < born {
				t.known[root] = p.born
			}
		}
	}
	for id, was := range t.unclear {
		if t.clock().Sub(was.since) > 2*patience {
			delete(t.unclear, id)
		}
	}
	places := make(directories)
	at := t.whereabouts(seen)
	for id, tw := range t.copies {
		if !t.isKept(tw) {
			delete(t.copies, id)
		}
	}
	for id, f := range t.files {
		if s, ok := at[id]; !ok {
			t.absent(f, places, now)
		} else if t.recognize(f, s) {
			t.meet(f, s, now)
			delete(at, id)
		}
	}
	fresh := byModification(at)
	if first {
		t.rescue(at, places, now)
		for _, s := range fresh {
			t.resume(s)
		}
		t.recollect(at)
	}
	t.trim()
	// What lies beside is listed after what was looked into, so that a copy that was made meanwhile is there.
	t.settle(make(directories))
	for _, s := range fresh {
		if t.files[s.inode] == nil {
			t.meetNew(s, first)
		}
	}
	if first {
		t.scanned, t.cleared = true, now
	}
	t.catchUp(make(directories))
	for _, f := range t.files {
		if f.real != "" {
			dirs[filepath.Dir(f.real)] = true
		}
	}
	return dirs
}

// see walks the globs. It holds no lock.
func (t *Tailer) see() (seen []sighting, dirs map[string]bool) {
	t.mu.Lock()
	known := len(t.files)
	t.mu.Unlock()
	seen, dirs = make([]sighting, 0, known+known/8), make(map[string]bool)
	had := make(map[string]bool, known)
	for i := range t.configs {
		cfg := &t.configs[i]
		for _, g := range cfg.include {
			g.walk(func(path string) {
				if had[path] || cfg.excludes(path) {
					return
				}
				had[path] = true
				if st, ok := t.stat(path); ok {
					seen = append(seen, sighting{status: st, path: path, cfg: cfg})
				}
			}, func(dir string, err error) {
				dirs[dir] = true
				t.once(dir, "directory cannot be read, its log files are not found", err)
			})
		}
	}
	return seen, dirs
}

// stat is the status of a regular file; links are followed.
func (t *Tailer) stat(path string) (status, bool) {
	st, err := lookAt(path)
	if errors.Is(err, fs.ErrNotExist) {
		return status{}, false // lately removed, or a link to nothing
	}
	t.once(path, "log file cannot be looked at", err)
	return st, err == nil && st.regular
}

// whereabouts is one sighting of each file: at the name it is known by, else the first. Needs mu.
func (t *Tailer) whereabouts(seen []sighting) map[inode]sighting {
	at := make(map[inode]sighting, len(seen))
	for _, s := range seen {
		f := t.files[s.inode]
		if _, twice := at[s.inode]; !twice || f != nil && f.name == s.path {
			at[s.inode] = s
		}
	}
	return at
}

// byModification puts the oldest first, so that rotated files come in the order they were written, behind
// the logs themselves, of which they may be copies.
func byModification(at map[inode]sighting) []sighting {
	all := make([]sighting, 0, len(at))
	for _, s := range at {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b sighting) int {
		if ra, rb := rotatedFrom(a.path) != "", rotatedFrom(b.path) != ""; ra != rb {
			if ra {
				return 1
			}
			return -1
		}
		return cmp.Or(a.modified.Compare(b.modified), cmp.Compare(a.path, b.path))
	})
	return all
}

// meet notes that f was seen at a path that the globs match. Needs mu.
func (t *Tailer) meet(f *file, s sighting, now time.Time) {
	if f.name != s.path || f.gone {
		t.rename(f, s.path, now)
	}
	t.pushIfWritten(f, s)
}

// recognize says whether s, which has the inode of f, is f. Else f is dropped, or the next scan says. Needs mu.
func (t *Tailer) recognize(f *file, s sighting) bool {
	switch f.at(s) {
	case same:
		return true
	case differs:
		t.replaced(f)
	default:
		t.scanSoon()
	}
	return false
}

// at says whether s, which has the inode of f, is f: same, or differs if the inode was used again, which that of an
// open file cannot be. It is unclear if what was seen has another name by now, and while f is busy with something else.
func (f *file) at(s sighting) verdict {
	if f.handle != nil || f.name == s.path && !f.isWritten(s) {
		return same
	}
	id, at, ok := birthAt(s.path)
	switch {
	case !ok || id != f.id.inode:
		return unclear
	case at == f.id.birth:
		return same
	case f.busy: // its turn, or what follows from that, comes first
		return unclear
	}
	return differs
}

func (f *file) isWritten(s sighting) bool {
	return f.zip == nil && s.size != f.size || !s.modified.Equal(f.modified)
}

// pushIfWritten queues f if it was written to since it was seen last. Needs mu.
func (t *Tailer) pushIfWritten(f *file, s sighting) {
	if f.isWritten(s) {
		f.modified = s.modified
		t.push(f)
	}
}

// rename notes the name that f has now. Needs mu.
func (t *Tailer) rename(f *file, name string, now time.Time) {
	if f.name != name {
		t.stats.Rotations++
		t.log.Debug("log file has another name", "path", f.path, "name", name)
		t.lookBack(f) // what has the name that it had may not be the next one
	}
	t.unname(f)
	f.name, f.gone = name, false
	t.name(f)
	f.rotated = f.name != f.path
	f.still, f.looks, f.last = now, 0, false
	t.push(f)
}

// name makes f the file that notifications about its path are for. Needs mu.
func (t *Tailer) name(f *file) {
	f.real = ""
	if real, err := filepath.EvalSymlinks(f.name); err == nil && real != f.name {
		f.real = real
		t.paths[real] = f
	}
	t.paths[f.name] = f
}

// unname is the reverse, unless another file has the path by now. Needs mu.
func (t *Tailer) unname(f *file) {
	for _, path := range []string{f.name, f.real} {
		if t.paths[path] == f {
			delete(t.paths, path)
		}
	}
}

// absent notes that no path that the globs match leads to f. Perhaps it has a name beside its
// old one, as the kubelet gives it. Needs mu.
func (t *Tailer) absent(f *file, places directories, now time.Time) {
	if s, ok := places.find(f.name, f.real, f.id.inode); ok {
		if !t.recognize(f, s) {
			return
		}
		if s.path != f.name || f.gone {
			t.rename(f, s.path, now)
		} else {
			t.pushIfWritten(f, s)
		}
		return
	}
	if f.handle == nil && !f.busy {
		if f.id.head.n == 0 {
			// Nobody has looked into it since it was empty. What it holds is what is looked for then, and there is
			// nothing by which it could be known again.
			t.drop(f)
			return
		}
		t.strays[f] = true
	}
	if !f.gone {
		f.gone, f.goneAt, f.rotated = true, now, true
		f.still, f.looks, f.last = now, 0, false
		t.unname(f)
		t.lookBack(f)
	}
	// A file that was moved elsewhere may come back.
	if f.handle == nil && !f.busy && now.Sub(f.goneAt) >= awayFor {
		t.drop(f)
	}
}

// maxAway is how many files without a name are remembered of a log: those that lost it last.
const maxAway = 16

// trim drops the others. Needs mu.
func (t *Tailer) trim() {
	logs := make(map[string][]*file)
	for f := range t.strays {
		logs[f.root] = append(logs[f.root], f)
	}
	for _, away := range logs {
		if len(away) <= maxAway {
			continue
		}
		slices.SortFunc(away, func(a, b *file) int { return b.goneAt.Compare(a.goneAt) })
		for _, f := range away[maxAway:] {
			delete(t.strays, f)
			t.drop(f)
		}
	}
}

// resume goes on, at the first scan, with a file that has a position of its own. Needs mu.
func (t *Tailer) resume(s sighting) {
	if !t.pos.has(s.inode) || t.tooMany(s.path) {
		return
	}
	c, err := t.openCandidate(s)
	if err != nil || c == nil {
		return // meetNew says so
	}
	if _, ok := t.pos.find(c.id, c.head, c.length(), c.source()); !ok {
		c.close()
		return
	}
	t.lookBack(t.begin(c, s.path, nil))
}

// meetNew begins with a file that is not known. Needs mu.
func (t *Tailer) meetNew(s sighting, first bool) {
	c := t.stranger(s)
	if c == nil {
		return
	}
	f := t.begin(c, s.path, nil)
	_, known := t.known[rootOf(s.path)]
	if first && !known && f.cfg.StartAt == StartAtEnd && f.taken == nil && f.zip == nil {
		start, err := lineStart(f.handle, f.size)
		t.onceLocked(s.path, "end of the log file cannot be found, reading it from the start", err)
		f.taken = f.taken.add(0, start)
		f.skipped = start > 0
	}
	t.lookBack(f)
}

// stranger opens a file that is not known, and whose content is not. It is nil if it cannot be told yet. Needs mu.
func (t *Tailer) stranger(s sighting) *candidate {
	root := rotatedFrom(s.path)
	if root != "" {
		c, v := t.claim(s, root)
		if c == nil && v != same {
			t.search(root, s.cfg) // by the next scan it may be compressed
		}
		return c
	}
	if t.tooMany(s.path) {
		return nil
	}
	c, err := t.openCandidate(s)
	t.onceLocked(s.path, "log file cannot be opened, trying again at each scan", err)
	if c != nil || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c
	}
	// It was rotated since it was seen. The search does not find it if it is older than we are.
	t.search(s.path, s.cfg)
	if moved, ok := make(directories).find(s.path, "", s.inode); ok && rotatedFrom(moved.path) == s.path {
		moved.cfg = s.cfg
		c, _ = t.claim(moved, s.path)
	}
	return c
}

// rescue looks for files that have a position and were renamed while nobody looked, to names
// that the globs do not match. Needs mu.
func (t *Tailer) rescue(at map[inode]sighting, places directories, now time.Time) {
	for _, p := range t.pos.all() {
		cfg := t.find(p.path)
		if _, seen := at[p.id.inode]; seen || t.files[p.id.inode] != nil || cfg == nil {
			continue
		}
		s, ok := places.find(p.path, "", p.id.inode)
		if !ok || t.tooMany(s.path) {
			continue
		}
		s.cfg = cfg
		c, err := t.openCandidate(s)
		t.onceLocked(s.path, "rotated log file cannot be opened, its rest is not read", err)
		if c == nil {
			continue
		}
		found, ok := t.pos.find(c.id, c.head, c.length(), c.source())
		if !ok || found.key != p.key {
			c.close()
			continue
		}
		f := t.begin(c, p.path, nil)
		f.still = now
		t.lookBack(f)
	}
}

// discover looks at one path that a notification named.
func (t *Tailer) discover(path string, now time.Time) error {
	cfg := t.find(path)
	if cfg == nil {
		return fmt.Errorf("%s does not match", path)
	}
	st, ok := t.stat(path)
	if !ok {
		return nil
	}
	s := sighting{status: st, path: path, cfg: cfg}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	f := t.files[st.inode]
	if f != nil && t.recognize(f, s) {
		t.meet(f, s, now)
	} else if t.files[st.inode] == nil {
		t.meetNew(s, false)
	}
	return nil
}

// find is the configuration that decides about a path, or nil.
func (t *Tailer) find(path string) *config {
	for i := range t.configs {
		if t.configs[i].matches(path) {
			return &t.configs[i]
		}
	}
	return nil
}

// indexOf is the index of the configuration that decides about a path, or -1.
func (t *Tailer) indexOf(path string) int {
	if cfg := t.find(path); cfg != nil {
		return cfg.index
	}
	return -1
}
