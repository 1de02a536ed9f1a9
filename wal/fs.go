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
	// Space tells what the file system of dir has.
	Space(dir string) (Space, error)
}

// Space is what a file system has for an unprivileged process.
type Space struct {
	Free, Size int64  // bytes
	Inodes     int64  // free ones; -1 where there is no such limit
	Kind       string // "nfs", "tmpfs", …; empty for local disks and what is not known
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.Writer
	Sync() error
	Truncate(size int64) error
	Stat() (os.FileInfo, error)
	Close() error
}

// An Appender writes entries to the end of one generation file.
// After an error it is closed, and nothing else.
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

// Space asks statfs.
func (OS) Space(dir string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Space{}, fmt.Errorf("statfs %s: %w", dir, err)
	}
	s := Space{Free: int64(st.Bavail) * st.Bsize, Size: int64(st.Blocks) * st.Bsize, Inodes: int64(st.Ffree), Kind: fsKinds[uint32(st.Type)]}
	if st.Files == 0 { // btrfs and others make inodes as they need them
		s.Inodes = -1
	}
	return s, nil
}

// fsKinds are the file systems that matter here, by their number in linux/magic.h and, for the
// last two, in the kernel's fs/smb/client/smb2glob.h and fs/ceph.
var fsKinds = map[uint32]string{
	unix.NFS_SUPER_MAGIC:       "nfs",
	unix.SMB_SUPER_MAGIC:       "smb",
	unix.CIFS_SUPER_MAGIC:      "cifs",
	unix.V9FS_MAGIC:            "9p",
	unix.FUSE_SUPER_MAGIC:      "fuse",
	unix.AFS_SUPER_MAGIC:       "afs",
	unix.TMPFS_MAGIC:           "tmpfs",
	unix.RAMFS_MAGIC:           "ramfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay",
	0xfe534d42:                 "smb2",
	0x00c36400:                 "ceph",
}
