package wal_test

import (
	"bytes"
	"maps"
	"slices"
	"syscall"
	"testing"

	"github.com/spillway-io/spillway/wal"
	"github.com/spillway-io/spillway/wal/faultfs"
)

// Records that were delivered from memory leave gaps in the numbers of the stream, and others
// are written out of order. Neither is taken for a loss.
func TestDamageBesideRecordsFromMemory(t *testing.T) {
	dir := t.TempDir()
	fs := faultfs.New(dir)
	cfg := config(dir, fs)
	cfg.GenerationBytes = 1 << 20
	s, err := wal.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := s.Lane("logs")
	held := map[string]*wal.Entry{}
	add := func(name string) {
		if err := l.Append(t.Context(), wal.Record{Items: 10, Data: []byte(name)}); err != nil {
			t.Fatal(err)
		}
	}
	deferred := func(name string, ack bool) {
		if err := l.Defer(wal.Record{Items: 100, Data: []byte(name)}); err != nil {
			t.Fatal(err)
		}
		for e, _ := l.TryNext(); e != nil; e, _ = l.TryNext() {
			if held[string(e.Data)] = e; string(e.Data) == name && ack {
				l.Ack(e)
			}
		}
	}
	add("on-disk-a")
	deferred("never-written", true)
	deferred("out-and-written", false)
	add("on-disk-b")
	l.Spill()
	add("on-disk-c")
	add("on-disk-d")
	left := fs.Kill()
	file := generations(fs)[0]
	flip := func(name string) func([]byte) []byte {
		return func(b []byte) []byte {
			b[bytes.LastIndex(b, []byte(name))] ^= 1
			return b
		}
	}
	// The process that has it in memory needs nothing of it from the file.
	fs.Damage(file, flip("out-and-written"))
	for e, err := l.TryNext(); e != nil || err != nil; e, err = l.TryNext() {
		if err != nil {
			t.Fatal(err)
		}
		held[string(e.Data)] = e
	}
	if st := l.Stats(); st.Lost != 0 || len(held) != 6 {
		t.Errorf("got %q, %+v", slices.Sorted(maps.Keys(held)), st)
	}
	s.Close()
	// A later one does.
	for _, test := range []struct {
		name string
		lost uint64
	}{{"out-and-written", 100}, {"on-disk-b", 10}, {"on-disk-c", 10}} {
		fs := left.Kill()
		fs.Damage(file, flip(test.name))
		sp := &specimen{dir: dir}
		sp.open(t, fs, func(r *recovered) {
			if r.stats.Lost != test.lost || r.stats.Recovered != 140 || slices.Contains(r.got, test.name) || len(r.got) != 4 {
				t.Errorf("%s: got %q, %+v", test.name, r.got, r.stats)
			}
		})
	}
}

// What was delivered from memory and then written is not lost with the file it was written to.
func TestDamageLosesNothingThatWasHandedOutFromMemory(t *testing.T) {
	dir := t.TempDir()
	fs := faultfs.New(dir)
	s, err := wal.Open(config(dir, fs))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := s.Lane("logs")
	if err := l.Defer(wal.Record{Items: 100, Data: []byte("from memory")}); err != nil {
		t.Fatal(err)
	}
	e, err := l.TryNext()
	if e == nil || err != nil {
		t.Fatal(e, err)
	}
	l.Spill()
	for range 20 { // over several generations
		if err := l.Append(t.Context(), wal.Record{Items: 1, Data: []byte("on disk")}); err != nil {
			t.Fatal(err)
		}
	}
	fs.Fail(faultfs.Fault{Kind: faultfs.Read, Path: generations(fs)[0], Times: -1, Err: syscall.EIO})
	n := uint64(0)
	for e, err := l.TryNext(); e != nil; e, err = l.TryNext() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if st := l.Stats(); st.Lost == 0 || st.Lost+n != 20 || st.Held != 100+n {
		t.Errorf("%d came, %+v", n, st)
	}
	l.Ack(e)
}

// The hint of how far a generation was acknowledged goes by the order of the file. A record
// that was handed out from memory lies behind others in it, and says nothing about them.
func TestTheHintGoesByTheOrderOfTheFile(t *testing.T) {
	dir := t.TempDir()
	fs := faultfs.New(dir)
	cfg := config(dir, fs)
	cfg.GenerationBytes = 1 << 20
	s, err := wal.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := s.Lane("logs")
	if err := l.Defer(wal.Record{Items: 1, Data: []byte("from memory")}); err != nil {
		t.Fatal(err)
	}
	first, _ := l.TryNext()
	put := func(name string) {
		if err := l.Append(t.Context(), wal.Record{Items: 1, Data: []byte(name)}); err != nil {
			t.Fatal(err)
		}
	}
	put("not acknowledged")
	if e, err := l.TryNext(); e == nil || err != nil {
		t.Fatal(e, err)
	}
	l.Spill()
	put("behind")
	for e, _ := l.TryNext(); e != nil; e, _ = l.TryNext() {
		l.Ack(e)
	}
	l.Ack(first)
	type place struct {
		offset int64
		items  uint64
	}
	hints := map[id]place{}
	s.Progress(func(k wal.Key, gen uint64, offset int64, items uint64) { hints[id{k, gen}] = place{offset, items} })
	left := fs.Kill()
	s.Close()
	cfg.FS, cfg.Done = left, func(k wal.Key, gen uint64) (int64, uint64) { h := hints[id{k, gen}]; return h.offset, h.items }
	if s, err = wal.Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if e, err := s.Lane("logs").TryNext(); err != nil || e == nil || string(e.Data) != "not acknowledged" {
		t.Errorf("got %v, %v", e, err)
	}
}
