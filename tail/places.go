package tail

import (
	"os"
	"path/filepath"
	"slices"
)

// directories caches what regular files a scan found beside others.
type directories map[string]*listing

// A listing is the files of a directory, by inode, and those that look rotated by their root.
type listing struct {
	files   map[inode]sighting
	rotated map[string][]sighting
	heads   map[inode][]byte // of those that somebody has looked into
	torn    bool             // it changed meanwhile: what has a new name may be missing under both
}

// find looks for a file in the directory of the name, and of the real name, that it had.
func (d directories) find(name, real string, id inode) (sighting, bool) {
	for _, path := range []string{name, real} {
		if path == "" {
			continue
		}
		if s, ok := d.list(filepath.Dir(path)).files[id]; ok {
			return s, true
		}
	}
	return sighting{}, false
}

func (d directories) list(dir string) *listing {
	if l := d[dir]; l != nil {
		return l
	}
	l := &listing{files: make(map[inode]sighting), rotated: make(map[string][]sighting), heads: make(map[inode][]byte)}
	d[dir] = l
	entries, err := os.ReadDir(dir)
	if err != nil {
		return l // it may be gone with its files
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
		info, err := e.Info()
		if err != nil {
			l.torn = true
			continue
		}
		if st, ok := statusOf(info); ok && st.regular {
			s := sighting{status: st, path: filepath.Join(dir, e.Name())}
			l.files[st.inode] = s
			if root := rotatedFrom(s.path); root != "" {
				l.rotated[root] = append(l.rotated[root], s)
			}
		}
	}
	again, err := os.ReadDir(dir)
	l.torn = l.torn || err != nil || !slices.EqualFunc(again, names, func(e os.DirEntry, name string) bool { return e.Name() == name })
	return l
}
