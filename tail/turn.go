package tail

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
)

// turn reads one window of f, which this goroutine has for itself.
func (t *Tailer) turn(f *file, c *Chunk) (more bool, err error) {
	t.mu.Lock()
	if err = t.reopen(f); errors.Is(err, errReplaced) {
		t.replaced(f)
		err = nil
	}
	h, last, skipped, flushAt := f.handle, f.last, f.skipped, f.flushAt
	f.flushAt = never
	t.mu.Unlock()
	switch {
	case err != nil || h == nil:
		return false, err
	case skipped:
		return true, t.skip(f, c)
	case f.zip != nil:
		return t.turnZip(f, c)
	}
	st, err := look(h)
	if err != nil {
		return false, err
	}
	head, err := readHead(h, c.head[:])
	if err != nil {
		return false, err
	}
	extended, same := f.id.head.extend(head)
	if !same && isGzip(head) {
		t.mu.Lock()
		t.replaced(f)
		t.mu.Unlock()
		return false, nil
	}
	if !same || st.size < max(f.split.pos, f.taken.end()) {
		extended, last = t.startOver(f, st, head), false
	}
	t.mu.Lock()
	if f.size == 0 && !st.modified.Equal(f.written) {
		// What was written first may have been copied and truncated before anybody looked.
		t.lookBack(f)
	}
	f.id.head, f.rungs = extended, rungsOf(head)
	f.moved = f.moved || st.size != f.size || !st.modified.Equal(f.written)
	f.size, f.links, f.written = st.size, st.links, st.modified
	t.mu.Unlock()
	if !f.decide(head, last) {
		return false, nil
	}
	began := f.split.pos
	more, err = f.read(h, head, st.size, c)
	if errors.Is(err, errOverwritten) {
		t.startOver(f, status{modified: st.modified}, nil) // what it holds now, the next turn sees
		return true, nil
	}
	if err != nil || more {
		return more, err
	}
	switch {
	case last && f.split.pos == began:
		f.finish(c)
	case flushAt == st.size:
		f.flush(c)
	}
	return false, nil
}

// skip makes a cursor that says what of f is safe before it is read: of an heir, not what is only on its way.
func (t *Tailer) skip(f *file, c *Chunk) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.done, c.seam = c.done.addAll(f.taken), f.safe
	if !f.heir {
		return nil
	}
	safe, ok := t.pos.done(f.key)
	c.done = append(c.done[:0], safe...)
	f.skipped = ok
	return nil
}

// turnZip is turn for a compressed file, which does not grow.
func (t *Tailer) turnZip(f *file, c *Chunk) (more bool, err error) {
	head, err := readHead(f.zip, c.head[:])
	if err == nil && f.decide(head, true) {
		more, err = f.read(f.zip, head, math.MaxInt64, c)
	}
	if err != nil {
		return false, t.damaged(f, err)
	}
	if !more && f.zip.whole {
		f.finish(c)
		t.mu.Lock()
		f.size = f.split.pos
		f.zip.close()
		t.mu.Unlock()
	}
	return more, nil
}

// damaged gives up a file that cannot be decompressed. What was read of it before counts.
func (t *Tailer) damaged(f *file, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.broken = true
	t.stats.ReadErrors++
	t.log.Error("compressed log file is damaged, its rest is not read", "path", f.path, "name", f.name, "err", err)
	if n := f.unread(); n > 0 {
		t.miss(Missed{Path: f.path, Config: f.cfg.index, Bytes: n, Reason: MissedUnread})
	}
	return nil
}

// reopen makes sure that f has a handle: that of the same inode. What is in it the turn finds
// out. Needs mu.
func (t *Tailer) reopen(f *file) error {
	if f.handle != nil {
		t.open.MoveToFront(f.open)
		return nil
	}
	h, st, err := openFile(f.name)
	if err != nil {
		return err
	}
	if st.inode != f.id.inode {
		h.Close()
		return fmt.Errorf("%s is another file now: %w", f.name, fs.ErrNotExist)
	}
	if birth(h) != f.id.birth {
		h.Close()
		return errReplaced
	}
	if f.zip != nil {
		f.zip.file = h
	}
	t.attach(f, h)
	return nil
}

// attach gives f its handle. If there are too many, the files that were read least lately lose
// theirs; those that could not be opened again only if the others are not enough. Needs mu.
func (t *Tailer) attach(f *file, h *os.File) {
	f.handle = h
	f.open = t.open.PushFront(f)
	for _, all := range []bool{false, true} {
		for e := t.open.Back(); e != nil && t.open.Len() > t.maxOpen; {
			old := e.Value.(*file)
			e = e.Prev()
			if !old.busy && old != f && (all || !old.gone && !old.holds()) {
				t.detach(old)
			}
		}
	}
}

// detach closes the handle of f. Needs mu.
func (t *Tailer) detach(f *file) {
	if f.handle == nil {
		return
	}
	t.open.Remove(f.open)
	// Nothing was written to it, so that closing has nothing to say.
	f.handle.Close()
	f.handle, f.open = nil, nil
	if f.zip != nil {
		f.zip.close()
	}
	if f.holds() {
		f.rewind()
		f.flushAt = f.size // nobody looks at it any more
		t.push(f)
	}
	f.idle()
}

var errReplaced = errors.New("the inode was used again")

// replaced drops f, whose inode is another file's now. The next scan begins with that one. Needs mu.
func (t *Tailer) replaced(f *file) {
	t.drop(f)
	t.stats.Restarts++
	t.scanSoon()
}

// startOver makes f the file of its new content, which begins with head. What it held before may
// be somewhere else.
func (t *Tailer) startOver(f *file, st status, head []byte) fingerprint {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Restarts++
	t.log.Info("log file was truncated or overwritten, reading it from the start",
		"path", f.path, "size", st.size, "read", f.taken.size(), "unread", f.unread())
	// A file that was rotated by copying has gone through more than one round when there are more copies
	// than one that were written since.
	t.lookBack(f)
	t.leave(f.content())
	f.startOver(rand.Uint64(), identity{inode: f.id.inode, birth: f.id.birth})
	f.skipped, f.last, f.flushAt, f.safe, f.born = false, false, never, seam{}, st.modified.UnixNano()-tick
	f.id.head, _ = fingerprint{}.extend(head)
	f.rungs, f.size = rungsOf(head), st.size
	return f.id.head
}
