package tee

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A rotating file is name, and what name was before: name.1, then name.2 and so on.
type rotating struct {
	name     string
	maxSize  int64
	maxFiles int

	f       *os.File // nil: to be opened
	size    int64
	lineEnd bool // the file ends with a whole line
}

// write appends whole lines of p, or a part of a longer one, and says how much is written; the
// rest may be written again.
func (r *rotating) write(p []byte) (n int, err error) {
	if r.f != nil && r.size > 0 && r.size+int64(len(p)) > r.maxSize && r.lineEnd {
		if err := r.rotate(); err != nil {
			return 0, err
		}
	}
	if r.f == nil {
		if err := r.open(); err != nil {
			return 0, err
		}
	}
	n, err = r.f.Write(p)
	if n > 0 {
		r.size += int64(n)
		r.lineEnd = p[n-1] == '\n'
	}
	return n, err
}

// open appends to what there is. A last line without an end gets one.
func (r *rotating) open() error {
	if err := os.MkdirAll(filepath.Dir(r.name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(r.name, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	size := st.Size()
	if st.Mode().IsRegular() && size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err == nil && last[0] != '\n' {
			n, err := f.WriteString("\n")
			if err != nil {
				return errors.Join(err, f.Close())
			}
			size += int64(n)
		}
	}
	r.f, r.size, r.lineEnd = f, size, true
	return nil
}

// rotate makes room for a new file. After an error the file is as before, under one of its names.
func (r *rotating) rotate() error {
	if err := r.f.Sync(); err != nil {
		return err
	}
	if r.maxFiles == 0 {
		if err := os.Remove(r.name); err != nil {
			return err
		}
	}
	for i := r.maxFiles; i > 0; i-- {
		from := r.name
		if i > 1 {
			from = fmt.Sprintf("%s.%d", r.name, i-1)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", r.name, i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	f := r.f
	r.f = nil
	return f.Close()
}

// close syncs what was written.
func (r *rotating) close() error {
	if r.f == nil {
		return nil
	}
	return errors.Join(r.f.Sync(), r.f.Close())
}
