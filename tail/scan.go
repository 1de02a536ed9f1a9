package tail

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
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
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	first := !t.scanned
	if first {
		for _, p := range t.pos.all() {
			t.known[p.path] = true
		}
	}
	places := make(directories)
	at := t.whereabouts(seen)
	for id, f := range t.files {
		if s, ok := at[id]; ok {
			t.meet(f, s, now)
			delete(at, id)
			continue
		}
		t.miss(f, places, now)
	}
	for _, s := range byModification(at) {
		t.meetNew(s, first)
	}
	if first {
		t.rescue(places, now)
		t.known, t.scanned, t.orphans = nil, true, now
	}
	for _, f := range t.files {
		if f.real != "" {
			dirs[filepath.Dir(f.real)] = true
		}
	}
	return dirs
}

// see walks the globs. It holds no lock.
func (t *Tailer) see() (seen []sighting, dirs map[string]bool) {
	dirs = make(map[string]bool)
	had := make(map[string]bool)
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
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return status{}, false // lately removed, or a link to nothing
	}
	t.once(path, "log file cannot be looked at", err)
	if err != nil {
		return status{}, false
	}
	st, ok := statusOf(info)
	return st, ok && st.regular
}

// A complaint is about a path. It is logged once, until what it is about went well again.
type complaint struct{ path, message string }

// maxQuiet bounds the complaints that are remembered, beyond which there are no more.
const maxQuiet = 4096

// once logs err, which may be nil.
func (t *Tailer) once(path, message string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.onceLocked(path, message, err)
}

// onceLocked is once with mu held.
func (t *Tailer) onceLocked(path, message string, err error) {
	about := complaint{path, message}
	if err == nil {
		delete(t.quiet, about)
		return
	}
	if t.quiet[about] || len(t.quiet) >= maxQuiet {
		return
	}
	t.quiet[about] = true
	t.log.Warn(message, "path", path, "err", err)
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

// byModification puts the oldest first, so that rotated files come in the order they were written.
func byModification(at map[inode]sighting) []sighting {
	all := make([]sighting, 0, len(at))
	for _, s := range at {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b sighting) int {
		return cmp.Or(a.modified.Compare(b.modified), cmp.Compare(a.path, b.path))
	})
	return all
}

// meet notes that f was seen at a path that the globs match. Needs mu.
func (t *Tailer) meet(f *file, s sighting, now time.Time) {
	f.outside = false
	if f.name != s.path || f.gone {
		t.rename(f, s.path, now)
	}
	if s.size != f.size || !s.modified.Equal(f.modified) {
		f.modified = s.modified
		t.push(f)
	}
}

// rename notes the name that f has now. Needs mu.
func (t *Tailer) rename(f *file, name string, now time.Time) {
	if f.name != name {
		t.stats.Rotations++
		t.log.Debug("log file has another name", "path", f.path, "name", name)
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

// miss notes that no path that the globs match leads to f. Perhaps it has a name beside its
// old one, as the kubelet gives it. Needs mu.
func (t *Tailer) miss(f *file, places directories, now time.Time) {
	if s, ok := places.find(f.name, f.real, f.id.inode); ok {
		f.outside = true
		if s.path != f.name || f.gone {
			t.rename(f, s.path, now)
		} else if s.size != f.size {
			t.push(f)
		}
		return
	}
	if !f.gone {
		f.gone, f.goneAt, f.rotated = true, now, true
		f.still, f.looks, f.last = now, 0, false
		t.unname(f)
	}
	// A file that was moved elsewhere may come back.
	if f.handle == nil && !f.busy && now.Sub(f.goneAt) >= awayFor {
		t.drop(f)
	}
}

// meetNew begins with a file that is not known. Needs mu.
func (t *Tailer) meetNew(s sighting, first bool) {
	f, err := t.begin(s, s.path)
	t.onceLocked(s.path, "log file cannot be opened, trying again at each scan", err)
	if err != nil || f == nil {
		return
	}
	atEnd := first && f.cfg.StartAt == StartAtEnd && f.taken == nil && !t.known[s.path]
	if atEnd {
		start, err := lineStart(f.handle, f.size)
		t.onceLocked(s.path, "end of the log file cannot be found, reading it from the start", err)
		f.taken = f.taken.add(0, start)
		f.skipped = start > 0
	}
}

// begin opens the file that s is a sighting of and looks up its position. It is nil if it
// was another one by then. Needs mu.
func (t *Tailer) begin(s sighting, path string) (*file, error) {
	if len(t.files) >= maxFiles {
		if !t.full {
			t.full = true
			t.log.Error("too many log files, further ones are not read: narrow the globs", "files", len(t.files), "path", s.path)
		}
		return nil, nil
	}
	t.full = false
	h, st, err := openFile(s.path)
	if err != nil {
		return nil, err
	}
	if st.inode != s.inode {
		h.Close()
		return nil, nil // the next scan sees which
	}
	var buf [fingerprintBytes]byte
	head, err := readHead(h, buf[:])
	if err != nil {
		h.Close()
		return nil, err
	}
	id := identity{inode: st.inode, birth: birth(h)}
	id.head, _ = fingerprint{}.extend(head)
	f := &file{cfg: s.cfg.Config, path: path, name: s.path, size: st.size, modified: s.modified, links: st.links}
	f.reader = newReader(rand.Uint64(), id, s.cfg.Config, &t.budget)
	if p, ok := t.pos.find(id, head, st.size); ok {
		f.key, f.taken = p.key, p.done
		if filepath.Dir(p.path) == filepath.Dir(path) {
			f.path = p.path // it was renamed meanwhile
		}
	}
	f.rotated = f.name != f.path
	f.moved = true // so that the next look begins to count
	t.files[id.inode] = f
	t.name(f)
	t.attach(f, h)
	t.push(f)
	return f, nil
}

// rescue looks for files that have a position and were renamed while nobody looked, to names
// that the globs do not match. Needs mu.
func (t *Tailer) rescue(places directories, now time.Time) {
	for _, p := range t.pos.all() {
		if t.files[p.id.inode] != nil {
			continue
		}
		i := slices.IndexFunc(t.configs, func(c config) bool { return c.matches(p.path) })
		if i < 0 {
			continue
		}
		s, ok := places.find(p.path, "", p.id.inode)
		if !ok {
			continue
		}
		s.cfg = &t.configs[i]
		f, err := t.begin(s, p.path)
		t.onceLocked(s.path, "rotated log file cannot be opened, its rest is not read", err)
		if err != nil || f == nil {
			continue
		}
		if f.key != p.key {
			t.detach(f)
			t.unlist(f)
			continue
		}
		f.outside, f.still = true, now
	}
}

// directories caches what regular files a scan found beside others, by inode.
type directories map[string]map[inode]sighting

// find looks for a file in the directory of the name, and of the real name, that it had.
func (d directories) find(name, real string, id inode) (sighting, bool) {
	for _, path := range []string{name, real} {
		if path == "" {
			continue
		}
		if s, ok := d.list(filepath.Dir(path))[id]; ok {
			return s, true
		}
	}
	return sighting{}, false
}

func (d directories) list(dir string) map[inode]sighting {
	if list, ok := d[dir]; ok {
		return list
	}
	list := make(map[inode]sighting)
	d[dir] = list
	entries, err := os.ReadDir(dir)
	if err != nil {
		return list // it may be gone with its files
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			if st, ok := statusOf(info); ok && st.regular {
				list[st.inode] = sighting{status: st, path: filepath.Join(dir, e.Name())}
			}
		}
	}
	return list
}

// discover looks at one path that a notification named.
func (t *Tailer) discover(path string, now time.Time) error {
	i := slices.IndexFunc(t.configs, func(c config) bool { return c.matches(path) })
	if i < 0 {
		return fmt.Errorf("%s does not match", path)
	}
	st, ok := t.stat(path)
	if !ok {
		return nil
	}
	s := sighting{status: st, path: path, cfg: &t.configs[i]}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	if f := t.files[st.inode]; f != nil {
		t.meet(f, s, now)
		return nil
	}
	t.meetNew(s, false)
	return nil
}
