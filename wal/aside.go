package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// An Aside is a directory with a cap beside the lanes: what was damaged, what was refused.
// Names begin with a time, so that the order of names is the order of age. At the cap the
// oldest files go; what they were is in the ledger since they came.
type Aside struct {
	store *Store
	name  string
	dir   string
	max   int64

	mu   sync.Mutex
	made bool
}

func (s *Store) newAside(name string) *Aside {
	return &Aside{store: s, name: name, dir: filepath.Join(s.cfg.Dir, name), max: asideMax(s.cfg.MaxBytes)}
}

// Put writes files, by name, durably, in the order given; all or none are there after a crash
// only if the last one is. An error leaves none.
func (a *Aside) Put(files ...AsideFile) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	need := int64(0)
	for _, f := range files {
		need += int64(len(f.Data))
	}
	if need > a.max {
		return fmt.Errorf("%s: %d bytes: %w of %d", a.name, need, errTooLarge, a.max)
	}
	if err := a.prepare(need); err != nil {
		return err
	}
	for i, f := range files {
		if err := a.write(f); err != nil {
			for _, done := range files[:i+1] {
				err = errors.Join(err, a.store.fs.RemoveAll(a.name, filepath.Join(a.dir, done.Name)))
			}
			return err
		}
	}
	return a.store.fs.SyncDir(a.name, a.dir)
}

// An AsideFile is what Put writes.
type AsideFile struct {
	Name string
	Data []byte
}

// Take moves a directory of the store in, whole, however large it is.
func (a *Aside) Take(path, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.prepare(min(a.sizeOf(path), a.max)); err != nil {
		return err
	}
	return a.store.fs.Rename(a.name, path, filepath.Join(a.dir, name))
}

// prepare makes the directory and room in it.
func (a *Aside) prepare(need int64) error {
	fs := a.store.fs
	if !a.made {
		if err := noLink(a.dir); err != nil {
			return err
		}
		if err := fs.MkdirAll(a.name, a.dir); err != nil {
			return err
		}
		if err := fs.SyncDir(a.name, a.store.cfg.Dir); err != nil {
			return err
		}
		a.made = true
	}
	entries, err := fs.ReadDir(a.name, a.dir)
	if err != nil {
		return err
	}
	sizes, total := make([]int64, len(entries)), int64(0)
	for i, e := range entries {
		sizes[i] = a.size(filepath.Join(a.dir, e.Name()), e)
		total += sizes[i]
	}
	gone := 0
	for ; gone < len(entries) && total+need > a.max; gone++ {
		if err := fs.RemoveAll(a.name, filepath.Join(a.dir, entries[gone].Name())); err != nil {
			return err
		}
		total -= sizes[gone]
	}
	if gone > 0 {
		a.store.log.Warn("at its cap, the oldest files were removed; the ledger has what they were", "dir", a.name, "files", gone, "cap_bytes", a.max)
	}
	return nil
}

// size is the bytes of an entry: a file, or a directory of files.
func (a *Aside) size(path string, e os.DirEntry) (n int64) {
	if !e.IsDir() {
		if info, err := e.Info(); err == nil {
			n = info.Size()
		}
		return n
	}
	return a.sizeOf(path)
}

// sizeOf is the bytes of the files in a directory.
func (a *Aside) sizeOf(dir string) (n int64) {
	inner, err := a.store.fs.ReadDir(a.name, dir)
	if err != nil {
		return 0
	}
	for _, f := range inner {
		if info, err := f.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

func (a *Aside) write(f AsideFile) error {
	file, err := a.store.fs.OpenFile(a.name, filepath.Join(a.dir, f.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = file.Write(f.Data)
	return errors.Join(err, file.Sync(), file.Close())
}
