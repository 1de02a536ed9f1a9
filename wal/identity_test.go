package wal_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spillway-io/spillway/wal"
	"github.com/spillway-io/spillway/wal/waltest"
)

// names remembers what each (stream, seq) was given to.
type names map[id]string

// read takes all that l has now, without acknowledging it, and holds it against what is known.
func (n names) read(t *testing.T, l *wal.Log) (got []string) {
	t.Helper()
	for {
		e, err := l.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			return got
		}
		is := id{e.Stream, e.Seq}
		if was, ok := n[is]; ok && was != string(e.Data) {
			t.Errorf("%x/%d names %q and %q", is.stream[:3], is.seq, was, e.Data)
		}
		n[is] = string(e.Data)
		got = append(got, string(e.Data))
	}
}

func add(t *testing.T, l *wal.Log, data string) {
	t.Helper()
	if err := l.Append(t.Context(), wal.Record{Items: 1, Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
}

// A backup is put back after the node went on from it: what was appended since and what is
// appended now have different names.
func TestPromise2_ARestoredDirectory(t *testing.T) {
	dir, seen := t.TempDir(), names{}
	s := waltest.Open(t, dir, nil, "logs")
	add(t, s.Lane("logs"), "in the backup")
	s.Close()
	backup := wal.CopyOf(t, dir)
	for run := range 3 {
		s := waltest.Open(t, dir, nil, "logs")
		for i := range 3 {
			add(t, s.Lane("logs"), fmt.Sprint("went on ", run, i))
		}
		seen.read(t, s.Lane("logs"))
		s.Close()
		dir = filepath.Join(t.TempDir(), "again")
		if err := os.CopyFS(dir, os.DirFS(backup)); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 1+3*3 {
		t.Errorf("%d names for 10 records", len(seen))
	}
}

// Two nodes start from copies of one directory.
func TestPromise2_AClonedDirectory(t *testing.T) {
	dir, seen := t.TempDir(), names{}
	s := waltest.Open(t, dir, nil, "logs")
	add(t, s.Lane("logs"), "before")
	left := waltest.Open(t, wal.CopyOf(t, dir), nil, "logs")
	right := waltest.Open(t, wal.CopyOf(t, dir), nil, "logs")
	for i := range 3 {
		for who, l := range map[string]*wal.Log{"left": left.Lane("logs"), "right": right.Lane("logs"), "first": s.Lane("logs")} {
			add(t, l, fmt.Sprint(who, i))
		}
	}
	for _, s := range []*wal.Store{left, right, s} {
		seen.read(t, s.Lane("logs"))
	}
	if len(seen) != 1+3*3 {
		t.Errorf("%d names for 10 records", len(seen))
	}
}

// kill -9 while records are only in memory: some were handed out, some were written since.
func TestPromise2_KilledInOverflow(t *testing.T) {
	dir, seen := t.TempDir(), names{}
	records := map[string]bool{}
	for run := range 4 {
		s := waltest.Open(t, dir, nil, "logs")
		l := s.Lane("logs")
		hold := func(i int) {
			name := fmt.Sprint("held ", run, i)
			records[name] = true
			if err := l.Defer(wal.Record{Items: 1, Data: []byte(name)}); err != nil {
				t.Fatal(err)
			}
		}
		hold(0)
		hold(1)
		seen.read(t, l)
		if run%2 == 1 {
			l.Spill()
		}
		written := fmt.Sprint("written ", run)
		records[written] = true
		add(t, l, written)
		hold(2)
		dir = wal.CopyOf(t, dir)
		seen.read(t, l)
	}
	if len(seen) != len(records) {
		t.Errorf("%d names for %d records", len(seen), len(records))
	}
}

// A reader works beside many writers, on a real disk, with small generations coming and going.
func TestAReaderBesideWriters(t *testing.T) {
	s := waltest.Open(t, t.TempDir(), func(c *wal.Config) { c.GenerationBytes = 4 << 10 }, "logs")
	l := s.Lane("logs")
	const writers, each = 4, 200
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				r := wal.Record{Items: 1, Accepted: time.Now().UnixNano(), Data: fmt.Appendf(nil, "%d-%d", w, i)}
				var err error
				if i%5 == 0 {
					err = l.Defer(r)
				} else {
					err = l.Append(t.Context(), r)
				}
				if err != nil {
					t.Error(err)
				}
				if i%20 == 0 {
					l.Spill()
				}
			}
		})
	}
	go func() { wg.Wait(); s.CloseWrite() }()
	var got []string
	var held []*wal.Entry
	for {
		e, err := l.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(e.Data))
		if held = append(held, e); len(held) == 7 {
			for _, e := range slices.Backward(held) {
				l.Ack(e)
			}
			held = nil
		}
	}
	for _, e := range held {
		l.Ack(e)
	}
	slices.Sort(got)
	if all := len(got); all != writers*each || len(slices.Compact(got)) != all {
		t.Errorf("%d records, %d different", all, len(slices.Compact(got)))
	}
}
