package tail

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// A file is what the Tailer knows of one. Its reader belongs to whoever took it from the
// queue, until it is given back; the rest is guarded by Tailer.mu.
type file struct {
	reader
	cfg *config

	path string // where it was first seen: what chunks say
	root string // of path
	next *file  // in Tailer.origins
	name string // where it is now
	real string // the same with symbolic links resolved, empty if that is the same

	handle   *os.File      // nil: closed for now
	zip      *gunzip       // what the handle holds, compressed; else nil
	broken   bool          // it cannot be decompressed, which was said
	open     *list.Element // in Tailer.open, while handle is not nil
	size     int64         // at the last look
	modified time.Time     // at the last scan
	written  time.Time     // the file's own time of modification, at the last turn
	safe     seam          // of the last chunk that was taken
	rungs    rungs         // of what was there at the last turn
	born     int64         // when the file was made that had the content first, or the log's floor, in ns since 1970
	links    uint64        // 0: removed, and only the handle keeps it

	bucket *bucket // nil: no limit

	queued  bool  // waits for its turn
	limited bool  // that was logged
	held    bool  // its source has used up its budget: it waits for that
	flushAt int64 // what waits for more lines has waited long enough, if the file has not grown beyond that
	busy    bool  // somebody reads it, or its chunk is out
	again   bool  // something happened while it was busy
	heir    bool  // its content was in another file before
	skipped bool  // the cursor that says where reading began is not taken yet

	rotated bool      // it has another name than at first, or none
	gone    bool      // it has no name
	goneAt  time.Time // since then
	moved   bool      // it grew since the last look
	still   time.Time // since then it has neither grown nor changed its name
	looks   int       // at it since then
	last    bool      // what is unfinished will not be finished
}

// never is no size.
const never = -1

// unread is the number of bytes that are not in a taken chunk. Needs Tailer.mu; the reader of
// a busy file changes taken only under it.
func (f *file) unread() int64 { return max(0, f.size-f.taken.size()) }

// source is where the content is read.
func (f *file) source() io.ReaderAt {
	if f.zip != nil {
		return f.zip
	}
	return f.handle
}

// isAsRead says whether it seems to be what it was at its last turn. Before it was rotated it may have been truncated.
func (f *file) isAsRead() bool {
	switch {
	case f.zip != nil:
		return true
	case f.handle == nil:
		return f.modified.Equal(f.written)
	}
	st, err := look(f.handle)
	return err == nil && st.size == f.size && st.modified.Equal(f.written)
}

// isAway says whether nothing can be read of it, unless it comes back.
func (f *file) isAway() bool { return f.gone && f.handle == nil && !f.busy }

// content is what is known of what the file holds now.
func (f *file) content() content {
	return content{
		progress: progress{key: f.key, id: f.id, path: f.path, done: f.taken, seam: f.safe, born: f.born, rungs: f.rungs},
		cfg:      f.cfg, root: f.root, name: f.name, real: f.real, size: f.size,
	}
}

// openFile opens a regular file for reading. It does not wait for the other end of a pipe.
func openFile(path string) (*os.File, status, error) {
	h, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, status{}, fmt.Errorf("open: %w", err)
	}
	st, err := look(h)
	if err == nil && !st.regular {
		err = fmt.Errorf("%s %w", path, errNotRegular)
	}
	if err != nil {
		h.Close()
		return nil, status{}, err
	}
	return h, st, nil
}

var errNotRegular = errors.New("is not a regular file")

// lineStart is the first byte of the line that the last byte of a file of this size is in.
func lineStart(h *os.File, size int64) (int64, error) {
	buf := make([]byte, min(size, 64<<10))
	begin := size - int64(len(buf))
	n, err := h.ReadAt(buf, begin)
	if n < len(buf) {
		return 0, fmt.Errorf("read the end: %w", err)
	}
	for i := n; i > 0; i-- {
		if buf[i-1] == '\n' {
			return begin + int64(i), nil
		}
	}
	return size, nil
}
