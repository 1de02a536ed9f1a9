package tail

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// A candidate is an unknown file, opened to see what it holds.
type candidate struct {
	*file
	seen   sighting
	head   []byte
	shared int64 // bytes that it has in common with the content that whose found
}

// openCandidate opens the file that s is a sighting of. It is nil if it was another one by then.
func (t *Tailer) openCandidate(s sighting) (*candidate, error) {
	h, st, err := openFile(s.path)
	if err != nil {
		return nil, err
	}
	if st.inode != s.inode {
		h.Close()
		return nil, nil // the next scan sees which
	}
	f := &file{cfg: s.cfg, path: s.path, name: s.path, handle: h, size: st.size, modified: s.modified, written: st.modified, links: st.links}
	f.id = identity{inode: st.inode, birth: birth(h)}
	head, err := readHead(h, make([]byte, fingerprintBytes))
	if err == nil && isGzip(head) {
		f.zip = &gunzip{file: h}
		f.size = f.zip.size()
		head, err = readHead(f.zip, head)
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	f.id.head, _ = fingerprint{}.extend(head)
	return &candidate{file: f, seen: s, head: head}, nil
}

// length is how much may be read of it.
func (c *candidate) length() int64 {
	if c.zip != nil {
		return math.MaxInt64
	}
	return c.size
}

// isEmpty says whether there is nothing in it yet: a copy may be slow to come.
func (c *candidate) isEmpty() bool {
	return c.zip == nil && bytes.HasPrefix(gzipMagic, c.head) || c.zip != nil && len(c.head) == 0 && c.isUnfinished()
}

// unzips says whether it is compressed and holds n bytes, as far as its end says.
func (c *candidate) unzips(n int64) bool { return c.zip != nil && c.size == n&math.MaxUint32 }

// isUnfinished says whether it is compressed, and ended before its end when it was read last.
func (c *candidate) isUnfinished() bool { return c.zip != nil && !c.zip.whole && c.zip.z == nil }

// close lets go of a candidate that nobody wants.
func (c *candidate) close() { c.handle.Close() }

// A verdict is what a candidate is to a content.
type verdict uint8

const (
	differs verdict = iota
	same            // it holds the content, and may hold more
	less            // it holds the beginning of the content: a copy that was made earlier, or is being made
	unclear         // that cannot be told at the moment
	stale           // the file that had the content has another one
)

// holds compares the candidate with what is known of a content. shared is how much they have in common.
func (c *candidate) holds(of *content) (v verdict, shared int64) {
	end := of.done.end()
	switch {
	case of.id.head.n == 0 || len(c.head) == 0:
		return differs, 0
	case len(c.head) < of.id.head.n:
		switch {
		case !of.rungs.begin(c.head):
			return differs, 0
		case c.isUnfinished():
			return unclear, 0
		case len(c.head) < firstRung:
			return differs, 0
		}
		return less, int64(len(c.head))
	}
	if _, ok := of.id.head.extend(c.head); !ok {
		return differs, 0
	}
	if c.zip == nil && c.size < end {
		return less, c.size
	}
	if c.unzips(end) && !c.isUnfinished() && c.isTimed() {
		return same, end // to the byte; nothing is left to read
	}
	switch ok, err := of.seam.holds(c.source()); {
	case err != nil:
		return unclear, 0
	case ok:
		return same, end
	case c.isUnfinished():
		return unclear, 0
	case c.zip != nil && c.zip.whole && c.zip.pos < end:
		return less, c.zip.pos
	}
	return differs, 0
}

// copyOf is holds for what was seen to be a copy of the content, which may be shorter than any hash can tell. What was
// compared then is not decompressed again.
func (c *candidate) copyOf(of *content, was twin) verdict {
	if end := of.done.end(); was.shared == end && c.unzips(end) {
		return same
	}
	v, _ := c.holds(of)
	switch {
	case v != differs || len(c.head) >= firstRung:
		return v
	case c.zip == nil && c.size >= of.done.end():
		return same
	}
	return less
}

// against compares the candidate with what is in a file that is read, at this moment, of which the
// last turn may not have seen all.
func (c *candidate) against(f *file) (v verdict, shared int64) {
	of := f.content()
	switch {
	case f.zip != nil || f.handle == nil && (f.gone || f.name != f.path && of.id.head.n > 0):
		// It is not written to in place. Before it is read it is known by its beginning only, which others may have, too.
		switch v, shared = c.holds(&of); {
		case v != same || shared > 0 || f.isAway():
			return v, shared
		case f.zip != nil && c.zip != nil && f.size != c.size:
			return differs, 0
		}
		return unclear, 0
	case f.handle != nil:
		return c.beside(f.handle, &of)
	}
	h, st, err := openFile(f.name)
	if err != nil {
		return unclear, 0
	}
	defer h.Close()
	if st.inode != f.id.inode || birth(h) != f.id.birth {
		return unclear, 0 // the next scan says which
	}
	return c.beside(h, &of)
}

// beside is against, of an open file that had the content of when it was last read. A copy is not longer
// than what it was made of.
func (c *candidate) beside(h *os.File, of *content) (v verdict, shared int64) {
	st, err := look(h)
	if err != nil {
		return unclear, 0
	}
	head, err := readHead(h, make([]byte, fingerprintBytes))
	if err != nil {
		return unclear, 0
	}
	switch in, err := of.isIn(h, st.size, head); {
	case err != nil:
		return unclear, 0
	case !in:
		// A copy of it holds what it had then.
		if v, shared = c.holds(of); v == same || v == less {
			return v, shared
		}
		return stale, 0
	case c.zip == nil && c.size > st.size || !bytes.HasPrefix(head, c.head):
		return differs, 0
	case of.id.head.n == 0:
		return unclear, 0 // its first turn comes soon; if it is truncated before, nobody knows that it held that
	case c.unzips(st.size) && c.isTimed():
		return same, st.size
	case c.zip != nil:
		return c.holds(of)
	}
	v, err = alike(c.handle, h, c.size)
	switch {
	case err != nil:
		return unclear, 0
	case v == same && c.size < of.done.end():
		v = less
	}
	return v, c.size
}

// alike compares what stands before end in a copy and in a file that was at least as long a moment ago. If
// that is shorter now, it was truncated since.
func alike(copied, file io.ReaderAt, end int64) (verdict, error) {
	var mine, theirs [seamBytes]byte
	n := min(end, seamBytes)
	if got, err := copied.ReadAt(mine[:n], end-n); int64(got) < n {
		return unclear, err
	}
	if got, err := file.ReadAt(theirs[:n], end-n); int64(got) < n {
		if err == io.EOF {
			return stale, nil
		}
		return unclear, err
	}
	if mine != theirs {
		return differs, nil
	}
	return same, nil
}

// isIn says whether the content is in a file of this size that begins with head.
func (c *content) isIn(h io.ReaderAt, size int64, head []byte) (bool, error) {
	if _, ok := c.id.head.extend(head); !ok || size < c.done.end() {
		return false, nil
	}
	return c.seam.holds(h)
}

// begin takes a candidate in as a file that was first seen at path. Its position is that of the
// content it inherits, or the one it has. Needs mu.
func (t *Tailer) begin(c *candidate, path string, inherits *content) *file {
	f := c.file
	f.reader, f.path = newReader(rand.Uint64(), f.id, f.cfg, &t.budget), path
	f.rungs = rungsOf(c.head)
	switch {
	case inherits != nil:
		f.key, f.taken, f.safe, f.path, f.born = inherits.key, inherits.done, inherits.seam, inherits.path, inherits.born
		f.skipped, f.heir = len(f.taken) > 0, true // so that a cursor says where the content is now
		t.log.Debug("log file's content was found elsewhere", "path", f.path, "name", f.name, "read", f.taken.size())
	default:
		if p, ok := t.pos.find(f.id, c.head, c.length(), f.source()); ok {
			f.key, f.taken, f.safe, f.born = p.key, p.done, p.seam, p.born
			if filepath.Dir(p.path) == filepath.Dir(path) {
				f.path = p.path // it was renamed meanwhile
			}
		}
	}
	f.root = rootOf(f.path)
	if f.born == 0 {
		// Of what was there before us nothing older counts as unseen at a later start either.
		f.born = max(c.contentBirth(), t.floor(f.root, f.cfg))
	}
	f.rotated = f.name != f.path
	f.flushAt = never
	f.moved = true // so that the next look begins to count
	h := f.handle
	f.handle = nil
	t.files[f.id.inode] = f
	f.next, t.origins[f.root] = t.origins[f.root], f
	f.bucket = t.bucket(f)
	t.name(f)
	t.attach(f, h)
	t.push(f)
	return f
}

// tooMany says whether there is no room for another file. Needs mu.
func (t *Tailer) tooMany(path string) bool {
	full := len(t.files) >= maxFiles
	if full && !t.full {
		t.log.Error("too many log files, further ones are not read: narrow the globs", "files", len(t.files), "path", path)
	}
	t.full = full
	return full
}

// tick is as coarse as the kernel's times of files may be, in ns: what is made at a time may seem to be that much older.
const tick = int64(10 * time.Millisecond)

// contentBirth is when the file was made that had the content first, as far as can be told: a compressed one is
// younger, also than what was written after it.
func (c *candidate) contentBirth() int64 {
	first := c.firstWritten() - tick
	if c.id.birth > 0 {
		return min(c.id.birth, first)
	}
	return first
}

// firstWritten is when what it holds began to be written, in ns since 1970, if its first line says so, else when the file
// was written last: it may have been made long before, and truncated since.
func (c *candidate) firstWritten() int64 {
	if at, ok := c.lineTime(); ok {
		return at
	}
	return c.seen.modified.UnixNano()
}

// isTimed says whether its first line has a time, as no other file begins with.
func (c *candidate) isTimed() bool {
	_, ok := c.lineTime()
	return ok
}

// lineTime is when its first line was written, in ns since 1970, if that says so.
func (c *candidate) lineTime() (at int64, ok bool) {
	line, _, _ := bytes.Cut(c.head, newline)
	if p, ok := parseCRI(line); ok {
		return p.time.UnixNano(), true
	}
	if p, _, ok := parseDocker(line, nil); ok {
		return p.time.UnixNano(), true
	}
	return 0, false
}
