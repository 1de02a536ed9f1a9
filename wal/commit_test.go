package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Groups, syncs that fail under them, and the files they go to.

// faulty fails what it is told to, once; everything else is the real file system.
type faulty struct {
	OS
	failSync   atomic.Bool
	failCreate atomic.Int32
}

func (f *faulty) NewAppender(op, dir string) (Appender, error) {
	if f.failCreate.Add(-1) >= 0 {
		return nil, syscall.ENOSPC
	}
	a, err := f.OS.NewAppender(op, dir)
	return &faultyAppender{Appender: a, fs: f}, err
}

type faultyAppender struct {
	Appender
	fs *faulty
}

func (a *faultyAppender) Sync() error {
	err := a.Appender.Sync()
	if a.fs.failSync.CompareAndSwap(true, false) {
		return syscall.EIO
	}
	return err
}

// C5 of the design review: the frames of a failed sync are on disk, whole; they must not come back.
func TestAFailedSyncDoesNotDoubleItsRecords(t *testing.T) {
	fs := &faulty{}
	dir := t.TempDir()
	s := openStore(t, dir, func(c *Config) { c.FS = fs })
	l := s.Lane("logs")
	put(t, l, "before")
	fs.failSync.Store(true)
	put(t, l, "during")
	put(t, l, "after")
	want(t, drain(t, l, false), "before", "during", "after")
	want(t, drain(t, openStore(t, crash(t, dir)).Lane("logs"), false), "before", "during", "after")
}

// While a sync is under way the next groups are written behind it. When it fails they are lost
// with it, and all of them come back once, in order, from the next generation.
func TestAFailedSyncTakesWhatWasWrittenBehindItAlong(t *testing.T) {
	fs := &slow{hold: make(chan struct{}), inSync: make(chan struct{}), appended: make(chan int, 100)}
	dir := t.TempDir()
	s := openStore(t, dir, func(c *Config) { c.FS = fs })
	l := s.Lane("logs")
	<-fs.appended // the header
	var wg sync.WaitGroup
	fs.armed.Store(true)
	wg.Go(func() { put(t, l, "first") })
	<-fs.appended
	<-fs.inSync
	for i := range 3 {
		wg.Go(func() { put(t, l, fmt.Sprint("behind", i)) })
		<-fs.appended
	}
	fs.hold <- struct{}{} // and now it fails
	wg.Wait()
	want(t, drain(t, l, false), "first", "behind0", "behind1", "behind2")
	want(t, drain(t, openStore(t, crash(t, dir)).Lane("logs"), false), "first", "behind0", "behind1", "behind2")
	if got := l.Stats(); got.Failures != 1 {
		t.Errorf("stats %+v", got)
	}
}

// slow holds one sync until it is told to fail it, and tells of each append.
type slow struct {
	OS
	armed    atomic.Bool
	hold     chan struct{}
	inSync   chan struct{}
	appended chan int
}

func (f *slow) NewAppender(op, dir string) (Appender, error) {
	a, err := f.OS.NewAppender(op, dir)
	return &slowAppender{Appender: a, fs: f}, err
}

type slowAppender struct {
	Appender
	fs *slow
}

func (a *slowAppender) Append(entries [][]byte) error {
	err := a.Appender.Append(entries)
	a.fs.appended <- len(entries)
	return err
}

func (a *slowAppender) Sync() error {
	if !a.fs.armed.CompareAndSwap(true, false) {
		return a.Appender.Sync()
	}
	a.fs.inSync <- struct{}{}
	<-a.fs.hold
	return syscall.EIO
}

func TestTidwallsCopyIsLetGo(t *testing.T) {
	a, err := OS{}.NewAppender("test", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	kept := a.(*tidwallAppender).tail
	if kept.bytes == nil {
		t.Fatal("tidwall/wal has changed inside: see tailOf")
	}
	for range 100 {
		if err := a.Append([][]byte{make([]byte, 1000), make([]byte, 1000)}); err != nil {
			t.Fatal(err)
		}
		if len(*kept.bytes) != 0 || len(*kept.places) != 0 {
			t.Fatalf("%d bytes kept", len(*kept.bytes))
		}
	}
}

func TestAGenerationMadeAheadIsRemovedWhenItWasNotUsed(t *testing.T) {
	dir := t.TempDir()
	l := openStore(t, dir, func(c *Config) { c.GenerationBytes = 400 }).Lane("logs")
	put(t, l, "one")
	put(t, l, "two")
	for {
		if entries, err := os.ReadDir(filepath.Join(dir, "logs")); err != nil || len(entries) > 1 {
			break // the committer makes it beside the next append
		}
		put(t, l, "more")
	}
	copied := crash(t, dir)
	empty := genDir(filepath.Join(copied, "logs"), 99)
	if err := os.Mkdir(empty, dirPerm); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(empty, segmentName), nil, filePerm); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, copied).Lane("logs")
	if got := drain(t, again, false); len(got) < 2 || got[0] != "one" {
		t.Errorf("got %q", got)
	}
	if _, err := os.Stat(empty); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

func TestAFullDiskIsErrFullAndGoesAway(t *testing.T) {
	fs := &faulty{}
	l := openStore(t, t.TempDir(), func(c *Config) { c.FS = fs }).Lane("logs")
	put(t, l, "before")
	fs.failCreate.Store(3)
	fs.failSync.Store(true)
	if err := l.Append(t.Context(), Record{Items: 1, Data: []byte("lost")}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	fs.failCreate.Store(0)
	put(t, l, "after")
	want(t, drain(t, l, true), "before", "after")
	if s := l.Stats(); s.Held != 0 || s.Failures == 0 {
		t.Errorf("stats %+v", s)
	}
}
