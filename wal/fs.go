package wal

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// FS is what the log asks of a file system. The first argument of each call names the
// operation ("generation", "quarantine", …), so that a test can make exactly that one fail.
type FS interface {
	MkdirAll(op, dir string) error
	OpenFile(op, name string, flag int) (File, error)
	// NewAppender begins a generation file in dir, which must be empty.
	NewAppender(op, dir string) (Appender, error)
	Rename(op, from, to string) error
	RemoveAll(op, path string) error
	ReadDir(op, dir string) ([]os.DirEntry, error)
	// SyncDir makes the names in dir durable.
	SyncDir(op, dir string) error
	// Free is the number of bytes an unprivileged process may still write, and the size of the file system.
	Free(dir string) (free, size int64, err error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.Writer
	Sync() error
	Stat() (os.FileInfo, error)
	Close() error
}

// An Appender writes entries to the end of one generation file.
// After an error it is not used again.
type Appender interface {
	// Append writes the entries, each with its length in front; it does not sync. Nothing is kept of them.
	Append(entries [][]byte) error
	// Sync makes durable what Append had returned from when Sync was called. Append may run beside it.
	Sync() error
	Close() error
}

// dirPerm and filePerm keep telemetry, which can hold secrets, from other users.
const (
	dirPerm  = 0o700
	filePerm = 0o600
)

// OS is the real file system.
type OS struct{}

// MkdirAll makes dir and what leads to it.
func (OS) MkdirAll(_, dir string) error { return os.MkdirAll(dir, dirPerm) }

// OpenFile opens name; a symbolic link in its last element is refused.
func (OS) OpenFile(_, name string, flag int) (File, error) {
	return os.OpenFile(name, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC, filePerm)
}

// Rename moves from to to.
func (OS) Rename(_, from, to string) error { return os.Rename(from, to) }

// RemoveAll removes path and what is in it.
func (OS) RemoveAll(_, path string) error { return os.RemoveAll(path) }

// ReadDir lists dir in name order.
func (OS) ReadDir(_, dir string) ([]os.DirEntry, error) { return os.ReadDir(dir) }

// SyncDir fsyncs a directory.
func (OS) SyncDir(_, dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Free asks statfs.
func (OS) Free(dir string) (free, size int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}
