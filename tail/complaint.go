package tail

import (
	"errors"
	"io/fs"
)

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

// onceLocked is once with mu held. That a path leads to nothing any more is no complaint: files are
// renamed at any time.
func (t *Tailer) onceLocked(path, message string, err error) {
	about := complaint{path, message}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		delete(t.quiet, about)
		return
	}
	if t.quiet[about] || len(t.quiet) >= maxQuiet {
		return
	}
	t.quiet[about] = true
	t.log.Warn(message, "path", path, "err", err)
}
