// Package faultfs is a wal.FS in memory that breaks on request, and that can say what a kill -9
// or a power cut would leave at any moment.
//
// tidwall/wal writes through package os by itself, so no file system below it can be replaced.
// faultfs therefore has an appender of its own that writes the same bytes; TestTheSameBytes
// holds it to the real one.
//
// What is modelled of Linux: a name is durable once its directory was synced; bytes once their
// file was; of what is not durable a power cut may leave any part, or zeros in its place. A
// sync that fails loses what it was asked for: a later sync of the same file says OK.
package faultfs

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spillway-io/spillway/wal"
)

// segmentName is the file of a generation (wal/FORMAT.md).
const segmentName = "00000000000000000001"

// FS is made by New.
type FS struct {
	mu     sync.Mutex
	root   *node
	faults []*Fault
	calls  []Call
	space  int64 // bytes that may still be written; negative: no end

	changes int // calls that change something
	snapAt  int // the change before which snap is to be taken; 0: none
	snap    *FS
}

// A node is a file or a directory.
type node struct {
	dir     bool
	names   map[string]*node // of a directory, as seen
	durable map[string]*node // as after a power cut
	data    []byte           // of a file, as seen
	disk    []byte           // as after a power cut
	holes   [][2]int         // what failed syncs lost of data
}

func newDir() *node {
	return &node{dir: true, names: map[string]*node{}, durable: map[string]*node{}}
}

// New is a file system without faults that holds the directory dir, and nothing in it.
func New(dir string) *FS {
	f := &FS{root: newDir(), space: -1}
	f.durableDir(dir)
	return f
}

// durableDir makes a directory and what leads to it.
func (f *FS) durableDir(dir string) *node {
	n := f.root
	for _, name := range split(dir) {
		if n.names[name] == nil {
			n.names[name] = newDir()
		}
		n.durable[name] = n.names[name]
		n = n.names[name]
	}
	return n
}

// SetSpace lets n more bytes be written; the write that reaches the end is cut there.
func (f *FS) SetSpace(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.space = n
}

// SpaceLeft is how many bytes can still be written; negative: no end.
func (f *FS) SpaceLeft() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.space
}

// find walks to path.
func (f *FS) find(path string) (*node, error) {
	n := f.root
	for _, name := range split(path) {
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
		if n = n.names[name]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// split is the path's elements.
func split(path string) []string {
	return strings.FieldsFunc(filepath.Clean(path), func(r rune) bool { return r == filepath.Separator })
}

// parent is the directory that path is in, and its name there.
func (f *FS) parent(path string) (*node, string, error) {
	dir, err := f.find(filepath.Dir(path))
	if err == nil && !dir.dir {
		err = syscall.ENOTDIR
	}
	return dir, filepath.Base(path), err
}

func pathError(k Kind, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: string(k), Path: path, Err: err}
}

// MkdirAll implements wal.FS.
func (f *FS) MkdirAll(op, dir string) error {
	return f.do(Mkdir, op, dir, func() error {
		n := f.root
		for _, name := range split(dir) {
			next := n.names[name]
			if next == nil {
				next = newDir()
				n.names[name] = next
			}
			if n = next; !n.dir {
				return syscall.ENOTDIR
			}
		}
		return nil
	})
}

// OpenFile implements wal.FS. Flags other than O_CREATE and O_EXCL are taken as O_RDWR|O_APPEND.
func (f *FS) OpenFile(op, name string, flag int) (file wal.File, err error) {
	kind := Open
	if flag&os.O_CREATE != 0 {
		kind = Create
	}
	err = f.do(kind, op, name, func() error {
		n, err := f.openLocked(name, flag)
		file = &handle{fs: f, op: op, path: name, node: n}
		return err
	})
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (f *FS) openLocked(name string, flag int) (*node, error) {
	dir, base, err := f.parent(name)
	if err != nil {
		return nil, err
	}
	n := dir.names[base]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, syscall.ENOENT
	case n == nil:
		n = &node{}
		dir.names[base] = n
	case flag&os.O_EXCL != 0:
		return nil, syscall.EEXIST
	case n.dir && flag&(os.O_WRONLY|os.O_RDWR) != 0:
		return nil, syscall.EISDIR
	}
	return n, nil
}

// NewAppender implements wal.FS.
func (f *FS) NewAppender(op, dir string) (a wal.Appender, err error) {
	name := filepath.Join(dir, segmentName)
	err = f.do(Create, op, name, func() error {
		n, err := f.openLocked(name, os.O_CREATE|os.O_EXCL)
		a = &appender{handle{fs: f, op: op, path: name, node: n}}
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Rename implements wal.FS.
func (f *FS) Rename(op, from, to string) error {
	return f.do(Rename, op, from, func() error {
		dir, base, err := f.parent(from)
		if err != nil {
			return err
		}
		toDir, toBase, err := f.parent(to)
		if err != nil {
			return err
		}
		if dir.names[base] == nil {
			return syscall.ENOENT
		}
		toDir.names[toBase] = dir.names[base]
		delete(dir.names, base)
		return nil
	})
}

// RemoveAll implements wal.FS.
func (f *FS) RemoveAll(op, path string) error {
	return f.do(Remove, op, path, func() error {
		dir, base, err := f.parent(path)
		if err == nil {
			delete(dir.names, base)
		}
		return nil // what is not there is removed
	})
}

// ReadDir implements wal.FS.
func (f *FS) ReadDir(op, dir string) (entries []os.DirEntry, err error) {
	err = f.do(ReadDir, op, dir, func() error {
		n, err := f.find(dir)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(n.names)) {
			entries = append(entries, info{name: name, dir: n.names[name].dir, size: int64(len(n.names[name].data))})
		}
		return nil
	})
	return entries, err
}

// SyncDir implements wal.FS.
func (f *FS) SyncDir(op, dir string) error {
	return f.do(SyncDir, op, dir, func() error {
		n, err := f.find(dir)
		if err == nil {
			n.durable = maps.Clone(n.names)
		}
		return err
	})
}

// Space implements wal.FS. It is roomy: how the reserve is kept is not tested with this package.
func (f *FS) Space(string) (wal.Space, error) {
	return wal.Space{Free: 1 << 40, Size: 1 << 41, Inodes: -1}, nil
}

// Files are the paths of all files, in order.
func (f *FS) Files() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var paths []string
	var walk func(at string, n *node)
	walk = func(at string, n *node) {
		if !n.dir {
			paths = append(paths, at)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(n.names)) {
			walk(at+string(filepath.Separator)+name, n.names[name])
		}
	}
	walk("", f.root)
	return paths
}

// ReadFile is the file as seen, or nil.
func (f *FS) ReadFile(path string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(path)
	if err != nil {
		return nil
	}
	return slices.Clone(n.data)
}

// WriteFile puts a file there, durably, with the directories that lead to it.
func (f *FS) WriteFile(path string, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.durableDir(filepath.Dir(path))
	file := &node{data: slices.Clone(data), disk: slices.Clone(data)}
	n.names[filepath.Base(path)], n.durable[filepath.Base(path)] = file, file
}

// Remove takes away a file or directory, durably.
func (f *FS) Remove(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if dir, base, err := f.parent(path); err == nil {
		delete(dir.names, base)
		delete(dir.durable, base)
	}
}

// Damage changes bytes of a file where they are: whoever has it open sees it, too.
func (f *FS) Damage(path string, change func(data []byte) []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n, err := f.find(path); err == nil {
		n.data = change(slices.Clone(n.data))
		n.disk = slices.Clone(n.data)
	}
}
