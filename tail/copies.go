package tail

import (
	"math/rand/v2"
	"time"
)

// A twin is a file that holds what another one holds, which is read instead of it.
type twin struct {
	sighting
	of     *file
	key    uint64
	shared int64 // bytes that were compared
}

// isKept says whether a twin need not be looked at again: what it is a copy of is still read, or waits for its
// heir. Needs mu.
func (t *Tailer) isKept(tw twin) bool {
	if t.isRead(tw) {
		return true
	}
	for o := range t.lost() {
		if o.key == tw.key {
			return true
		}
	}
	return false
}

// isRead says whether the file that a twin is a copy of is still read. Needs mu.
func (t *Tailer) isRead(tw twin) bool {
	f := tw.of
	return t.files[f.id.inode] == f && f.key == tw.key && !f.isAway()
}

// isCopy says whether the file of s was seen to be a copy of one that is still read. Needs mu.
func (t *Tailer) isCopy(s sighting) bool {
	was, ok := t.copies[s.inode]
	return ok && was.seen() == s.seen() && t.isRead(was)
}

// cover takes in a candidate that holds what is safe elsewhere, a part of it: that is not read. Needs mu.
func (t *Tailer) cover(c *candidate, path string, born int64, done spans) {
	f := t.begin(c, path, &content{progress: progress{key: rand.Uint64(), path: path, done: done, born: born}})
	f.heir = false
}

// coverCopies notes that nothing is to be read of what copies of f hold. Needs mu.
func (t *Tailer) coverCopies(f *file) {
	for id, tw := range t.copies {
		if tw.key != f.key || t.files[id] != nil {
			continue
		}
		delete(t.copies, id)
		c, err := t.openCandidate(tw.sighting)
		t.onceLocked(tw.path, "copy of a log file cannot be opened, it may be read again", err)
		if c == nil || t.tooMany(tw.path) {
			continue
		}
		t.cover(c, f.root, f.born, spans{}.add(0, c.size))
	}
}

// A glimpse is how a file was that could not be told from others yet, and since when.
type glimpse struct {
	seen
	since time.Time
}

// isStill says whether the file of s has been what it is now for so long that nobody is writing it any
// more, and it will not become clearer. Until then there is a scan soon. Needs mu.
func (t *Tailer) isStill(s sighting) bool {
	was, ok := t.unclear[s.inode]
	if ok = ok && was.seen == s.seen(); ok && t.clock().Sub(was.since) >= patience {
		return true
	}
	if !ok && len(t.unclear) < maxFiles {
		t.unclear[s.inode] = glimpse{s.seen(), t.clock()}
	}
	t.scanSoon()
	return false
}

// A seen is what tells whether a file was written to since.
type seen struct {
	size     int64
	modified time.Time
}

func (s *sighting) seen() seen { return seen{s.size, s.modified} }
