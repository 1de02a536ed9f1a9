package tail

import (
	"container/list"
	"fmt"
	"os"
	"syscall"
	"time"
)

// A file is what the Tailer knows of one. Its reader belongs to whoever took it from the
// queue, until it is given back; the rest is guarded by Tailer.mu.
type file struct {
	reader
	cfg Config

	path string // where it was first seen: what chunks say
	name string // where it is now
	real string // the same with symbolic links resolved, empty if that is the same

	handle   *os.File      // nil: closed for now
	open     *list.Element // in Tailer.open, while handle is not nil
	size     int64         // at the last look
	modified time.Time     // at the last scan
	links    uint64        // 0: removed, and only the handle keeps it

	queued   bool // waits for its turn
	busy     bool // somebody reads it, or its chunk is out
	again    bool // something happened while it was busy
	skipped  bool // the cursor that says where reading began is not taken yet
	replaced bool // the inode is another file's now, which the next turn begins with
	failing  bool // its last turn ended in an error, which was logged

	rotated bool      // it has another name than at first, or none
	outside bool      // its name does not match the globs
	gone    bool      // it has no name
	goneAt  time.Time // since then
	moved   bool      // it grew since the last look
	still   time.Time // since then it has neither grown nor changed its name
	looks   int       // at it since then
	last    bool      // what is unfinished will not be finished
}

// unread is the number of bytes that are not in a taken chunk. Needs Tailer.mu; the reader of
// a busy file changes taken only under it.
func (f *file) unread() int64 { return max(0, f.size-f.taken.size()) }

// openFile opens a regular file for reading. It does not wait for the other end of a pipe.
func openFile(path string) (*os.File, status, error) {
	h, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, status{}, fmt.Errorf("open: %w", err)
	}
	st, err := look(h)
	if err == nil && !st.regular {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		h.Close()
		return nil, status{}, err
	}
	return h, st, nil
}

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
