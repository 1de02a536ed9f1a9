package tail

import (
	"cmp"
	"slices"
	"time"
)

// A FileStatus is one file at one moment, for people.
type FileStatus struct {
	Path       string // where it was first seen: what its lines say
	Name       string // where it is now; "": it has no name any more
	Format     string // auto: not decided yet, or being read
	Config     int    // index of the Config that found it
	Size       int64  // at the last look
	Unread     int64  // bytes that are not in a chunk that was taken
	Open       bool
	Compressed bool
	Limited    bool      // it waits, because its source is over its budget
	Broken     bool      // its rest cannot be decompressed
	Written    time.Time // its own time of modification, at the last turn or scan
}

// Files are the most files of those that are known, the one with most unread first, and how many are known.
func (t *Tailer) Files(most int) (list []FileStatus, known int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*file, 0, len(t.files))
	for _, f := range t.files {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *file) int {
		return cmp.Or(cmp.Compare(b.unread(), a.unread()), b.modified.Compare(a.modified), cmp.Compare(a.path, b.path))
	})
	for _, f := range all[:min(most, len(all))] {
		list = append(list, f.status())
	}
	return list, len(all)
}

// status needs Tailer.mu.
func (f *file) status() FileStatus {
	s := FileStatus{Path: f.path, Name: f.name, Format: f.asked, Config: f.cfg.index, Size: f.size, Unread: f.unread(),
		Open: f.handle != nil, Compressed: f.zip != nil, Limited: f.held, Broken: f.broken, Written: f.written}
	if f.gone {
		s.Name = ""
	}
	if !f.busy { // else it is its reader's
		s.Format = f.format
	}
	if s.Written.IsZero() {
		s.Written = f.modified
	}
	return s
}
