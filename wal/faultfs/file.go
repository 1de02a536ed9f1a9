package faultfs

import (
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// A handle is an open file.
type handle struct {
	fs   *FS
	op   string
	path string
	node *node
}

// ReadAt implements wal.File.
func (h *handle) ReadAt(p []byte, at int64) (n int, err error) {
	err = h.fs.do(Read, h.op, h.path, func() error {
		if h.node.dir {
			return syscall.EISDIR
		}
		if at < int64(len(h.node.data)) {
			n = copy(p, h.node.data[at:])
		}
		return nil
	})
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// Write implements wal.File; it appends.
func (h *handle) Write(p []byte) (int, error) {
	return h.fs.write(h, p)
}

// Sync implements wal.File.
func (h *handle) Sync() error { return h.fs.sync(h) }

// Truncate implements wal.File.
func (h *handle) Truncate(size int64) error {
	return h.fs.do(Truncate, h.op, h.path, func() error {
		h.node.data = slices.Clone(h.node.data[:min(size, int64(len(h.node.data)))])
		h.node.holes = slices.DeleteFunc(h.node.holes, func(hole [2]int) bool { return hole[0] >= len(h.node.data) })
		return nil
	})
}

// Stat implements wal.File.
func (h *handle) Stat() (os.FileInfo, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	return info{name: filepath.Base(h.path), dir: h.node.dir, size: int64(len(h.node.data))}, nil
}

// Close implements wal.File.
func (h *handle) Close() error { return nil }

// An appender writes what tidwall/wal's binary format is: each entry behind its length.
type appender struct{ handle }

// Append implements wal.Appender.
func (a *appender) Append(entries [][]byte) error {
	var b []byte
	for _, e := range entries {
		b = binary.AppendUvarint(b, uint64(len(e)))
		b = append(b, e...)
	}
	_, err := a.fs.write(&a.handle, b)
	return err
}

// write appends p, or as much of it as a fault or the end of space lets through.
func (f *FS) write(h *handle, p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.enter(Write, h.op, h.path)
	n, err := len(p), error(nil)
	if fault != nil {
		if err = fault.Err; !fault.Done {
			n = min(n, fault.Torn)
		}
	}
	if f.space >= 0 && int64(n) > f.space {
		n, err = int(f.space), syscall.ENOSPC
	}
	if f.space >= 0 {
		f.space -= int64(n)
	}
	h.node.data = append(h.node.data, p[:n]...)
	return n, pathError(Write, h.path, err)
}

// sync makes the file's bytes durable. When it fails they stay to be seen, and are nowhere else.
func (f *FS) sync(h *handle) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.enter(Sync, h.op, h.path)
	n := h.node
	if fault != nil && !fault.Done {
		if len(n.data) > len(n.disk) {
			n.holes = append(n.holes, [2]int{len(n.disk), len(n.data)})
		}
		return pathError(Sync, h.path, fault.Err)
	}
	n.disk = slices.Clone(n.data)
	for _, hole := range n.holes {
		clear(n.disk[hole[0]:min(hole[1], len(n.disk))])
	}
	if fault != nil {
		return pathError(Sync, h.path, fault.Err)
	}
	return nil
}

// An info is a file's, or a name's in a directory.
type info struct {
	name string
	dir  bool
	size int64
}

func (i info) Name() string               { return i.name }
func (i info) IsDir() bool                { return i.dir }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
func (i info) Size() int64                { return i.size }
func (i info) ModTime() time.Time         { return time.Time{} }
func (i info) Sys() any                   { return nil }
func (i info) Type() fs.FileMode          { return i.Mode().Type() }

func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o700
	}
	return 0o600
}
