package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// One test a promise of doc.go, on the real file system.

func openStore(t testing.TB, dir string, change ...func(*Config)) *Store {
	t.Helper()
	cfg := Config{Dir: dir, Lanes: []string{"logs"}, MaxBytes: 256 << 20, MinFreeBytes: 1}
	for _, f := range change {
		f(&cfg)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t testing.TB, l *Log, data string) {
	t.Helper()
	if err := l.Append(context.Background(), Record{Items: 1, Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
}

// drain reads what is there now and returns it; with ack it is acknowledged.
func drain(t testing.TB, l *Log, ack bool) (got []string) {
	t.Helper()
	for {
		e, err := l.TryNext()
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if e == nil {
			return got
		}
		got = append(got, string(e.Data))
		if ack {
			l.Ack(e)
		}
	}
}

// crash copies what the files hold at this moment to a new directory: what kill -9 leaves behind.
func crash(t testing.TB, dir string) string {
	t.Helper()
	for {
		to := filepath.Join(t.TempDir(), "copy")
		err := os.CopyFS(to, os.DirFS(dir))
		if err == nil {
			return to
		}
		if !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		} // a generation was delivered and removed meanwhile: again
	}
}

func want(t testing.TB, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPromise1_WhatWasAppendedSurvivesACrash(t *testing.T) {
	dir := t.TempDir()
	l := openStore(t, dir).Lane("logs")
	for i := range 5 {
		put(t, l, fmt.Sprint("r", i))
	}
	again := openStore(t, crash(t, dir)).Lane("logs")
	want(t, drain(t, again, true), "r0", "r1", "r2", "r3", "r4")
	if s := again.Stats(); s.Recovered != 5 || s.Acked != 5 || s.Held != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestPromise2_NoStreamIsContinued(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]string{}
	for run := range 4 {
		l := openStore(t, dir).Lane("logs")
		put(t, l, fmt.Sprint("run", run))
		for {
			e, _ := l.TryNext()
			if e == nil {
				break
			}
			id := fmt.Sprintf("%s/%d", e.Stream, e.Seq)
			if was, ok := seen[id]; ok && was != string(e.Data) {
				t.Errorf("%s names %q and %q", id, was, e.Data)
			}
			seen[id] = string(e.Data)
		}
		dir = crash(t, dir)
	}
	if len(seen) != 4 {
		t.Errorf("%d identities, want 4: %v", len(seen), seen)
	}
}

func TestPromise3_NothingOfARemovedGenerationComesBack(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, func(c *Config) { c.GenerationBytes = 200 })
	l := s.Lane("logs")
	var last *Entry
	for i := range 20 {
		put(t, l, fmt.Sprint("record", i))
	}
	for range 20 {
		e, err := l.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if last != nil {
			l.Ack(last)
		}
		last = e
	}
	// All but the last are acknowledged; with two records a generation only the newest ones can still be there.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := drain(t, openStore(t, dir).Lane("logs"), false)
	if len(got) > 4 || got[len(got)-1] != "record19" {
		t.Errorf("came back: %q", got)
	}
}

func TestPromise3_AcksInAnyOrderFreeTheGeneration(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, func(c *Config) { c.GenerationBytes = 1 }) // one record each
	l := s.Lane("logs")
	var entries []*Entry
	for i := range 6 {
		put(t, l, fmt.Sprint(i))
		e, _ := l.TryNext()
		entries = append(entries, e)
	}
	for _, i := range []int{4, 0, 2, 1} {
		l.Ack(entries[i])
	}
	s.Close()
	want(t, drain(t, openStore(t, dir).Lane("logs"), false), "3", "5")
}

func TestPromise4_FullIsRefusedAndNothingIsStored(t *testing.T) {
	l := openStore(t, t.TempDir(), func(c *Config) { c.MaxBytes = 120 << 10 }).Lane("logs")
	big := strings.Repeat("x", 30<<10)
	n := 0
	for ; n < 10; n++ {
		if err := l.Append(t.Context(), Record{Items: 1, Data: []byte(big)}); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	if n != 3 {
		t.Errorf("%d records of 30 KiB went into 120 KiB", n)
	}
	if got := len(drain(t, l, true)); got != n {
		t.Errorf("%d came out", got)
	}
}

func TestPromise4_TheReserveOfTheFileSystemIsKept(t *testing.T) {
	space, err := OS{}.Space(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := openStore(t, t.TempDir(), func(c *Config) { c.MinFreeBytes = 2 * space.Free }).Lane("logs")
	if err := l.Append(t.Context(), Record{Items: 1, Data: []byte("x")}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
}

func TestPromise4_DropOldestWritesDownWhatItDrops(t *testing.T) {
	var losses []Loss
	dir := t.TempDir()
	s := openStore(t, dir, func(c *Config) {
		c.MaxBytes, c.GenerationBytes, c.WhenFull = 100<<10, 1, DropOldest
		c.OnLoss = func(l Loss) { losses = append(losses, l) }
	})
	l := s.Lane("logs")
	for i := range 6 {
		put(t, l, fmt.Sprintf("%d%s", i, strings.Repeat("x", 30<<10)))
	}
	st := l.Stats()
	if st.Lost == 0 || st.Lost != uint64(len(losses)) || st.Appended != st.Held+st.Lost {
		t.Errorf("stats %+v, %d losses", st, len(losses))
	}
	if got := drain(t, l, true); uint64(len(got)) != st.Held || got[len(got)-1][0] != '5' {
		t.Errorf("%d came out, %d held", len(got), st.Held)
	}
	ledger, err := os.ReadFile(filepath.Join(dir, "ledger.jsonl"))
	if err != nil || bytes.Count(ledger, []byte(`"reason":"evicted"`)) != len(losses) {
		t.Errorf("ledger %q, %v", ledger, err)
	}
}

// Cut the newest file at each byte: what was complete comes back, and the lane takes new records.
func TestPromise5_TornAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	for i := range 3 {
		put(t, s.Lane("logs"), fmt.Sprint("r", i))
	}
	s.Close()
	file := filepath.Join(genDir(filepath.Join(dir, "logs"), 0), segmentName)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) + 1 {
		if err := os.WriteFile(file, whole[:n], filePerm); err != nil {
			t.Fatal(err)
		}
		s := openStore(t, crash(t, dir))
		put(t, s.Lane("logs"), "new")
		got := drain(t, s.Lane("logs"), false)
		complete := strings.Count(string(whole[:n]), "r0") + strings.Count(string(whole[:n]), "r1") + strings.Count(string(whole[:n]), "r2")
		if len(got) != complete+1 || got[len(got)-1] != "new" {
			t.Errorf("cut at %d of %d: got %q, want %d old ones", n, len(whole), got, complete)
		}
		s.Close()
	}
}

// Flip a bit in every byte: Open succeeds, at most the record around it is lost, and it is counted.
func TestPromise5_ABadRecordLosesOnlyItself(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	for i := range 4 {
		put(t, s.Lane("logs"), fmt.Sprint("rec", i))
	}
	s.Close()
	name := filepath.Join(genDir(filepath.Join(dir, "logs"), 0), segmentName)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	openStore(t, dir).Close() // a later header states where it ended
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x10
		if err := os.WriteFile(name, damaged, filePerm); err != nil {
			t.Fatal(err)
		}
		s := openStore(t, crash(t, dir))
		l := s.Lane("logs")
		got := drain(t, l, true)
		for _, r := range got {
			if !strings.HasPrefix(r, "rec") || len(r) != 4 {
				t.Errorf("flip at %d: invented %q", i, r)
			}
		}
		st := l.Stats()
		if len(got) < 3 || uint64(len(got))+st.Lost != 4 || st.Recovered != 4 || st.Held > st.Lost {
			t.Errorf("flip at %d: got %q, stats %+v", i, got, st)
		}
		s.Close()
	}
}

func TestDeferredRecordsAreWrittenOnlyWhenSpilled(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := s.Lane("logs")
	for i := range 4 {
		if err := l.Defer(Record{Items: 1, Data: []byte(fmt.Sprint("d", i))}); err != nil {
			t.Fatal(err)
		}
	}
	first, _ := l.TryNext()
	second, _ := l.TryNext()
	l.Ack(second)
	want(t, drain(t, openStore(t, crash(t, dir)).Lane("logs"), false)) // none is on disk
	l.Spill()
	put(t, l, "a4")                                                  // waits behind the spill
	want(t, drain(t, l, true), "d2", "d3", "a4")                     // the first is not handed out twice
	got := drain(t, openStore(t, crash(t, dir)).Lane("logs"), false) // but is on disk, for it is not acknowledged
	want(t, got, "d0", "d2", "d3", "a4")
	l.Ack(first)
	if st := l.Stats(); st.Held != 0 || st.Deferred != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestCloseWriteSpills(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	for i := range 3 {
		s.Lane("logs").Defer(Record{Items: 1, Data: []byte(fmt.Sprint(i))})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, drain(t, openStore(t, dir).Lane("logs"), false), "0", "1", "2")
}

// The fold is what file cursors ride on: it must outlive the records it came from.
type concat struct{ all []byte }

func (c *concat) Apply(meta []byte)             { c.all = append(c.all, meta...) }
func (c *concat) Snapshot(dst []byte) []byte    { return append(dst, c.all...) }
func (c *concat) Restore(snapshot []byte) error { c.all = bytes.Clone(snapshot); return nil }

func TestTheFoldOutlivesItsRecords(t *testing.T) {
	dir := t.TempDir()
	for run := range 3 {
		var fold concat
		s := openStore(t, dir, func(c *Config) {
			c.GenerationBytes = 1
			c.NewFold = func(string) Fold { return &fold }
		})
		if got, want := string(fold.all), strings.Repeat("abc", run); got != want {
			t.Fatalf("run %d: fold %q, want %q", run, got, want)
		}
		for _, m := range "abc" {
			if err := s.Lane("logs").Append(t.Context(), Record{Items: 1, Meta: []byte(string(m)), Data: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		drain(t, s.Lane("logs"), true)
		s.Close()
	}
}

func TestADeliveredUnwrittenRecordStillMovesTheFold(t *testing.T) {
	dir := t.TempDir()
	var fold concat
	fresh := func(c *Config) { fold = concat{}; c.NewFold = func(string) Fold { return &fold } }
	s := openStore(t, dir, fresh)
	l := s.Lane("logs")
	l.Defer(Record{Items: 1, Meta: []byte("m"), Data: []byte("x")})
	drain(t, l, true)
	s.Close()
	s = openStore(t, dir, fresh)
	if string(fold.all) != "m" {
		t.Errorf("fold %q", fold.all)
	}
	want(t, drain(t, s.Lane("logs"), false))
}

func TestWhatWasAcknowledgedBeforeTheCrashIsSkippedByTheHint(t *testing.T) {
	dir := t.TempDir()
	l := openStore(t, dir).Lane("logs")
	for i := range 5 {
		put(t, l, fmt.Sprint(i))
	}
	for range 3 {
		e, _ := l.TryNext()
		l.Ack(e)
	}
	type place struct {
		offset int64
		items  uint64
	}
	hints := map[string]place{}
	l.progress(func(k Key, gen uint64, off int64, items uint64) { hints[fmt.Sprint(k, gen)] = place{off, items} })
	again := openStore(t, crash(t, dir), func(c *Config) {
		c.Done = func(k Key, gen uint64) (int64, uint64) { p := hints[fmt.Sprint(k, gen)]; return p.offset, p.items }
	}).Lane("logs")
	if st := again.Stats(); st.Recovered != 2 {
		t.Errorf("recovered %d items, want 2", st.Recovered)
	}
	want(t, drain(t, again, true), "3", "4")
	if st := again.Stats(); st.Held != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestASecondProcessIsToldWhoHasTheDirectory(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir)
	_, err := Open(Config{Dir: dir, Lanes: []string{"logs"}})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("got %v", err)
	}
}

func TestReaderBesideManyWritersSeesEachRecordOnce(t *testing.T) {
	s := openStore(t, t.TempDir(), func(c *Config) { c.GenerationBytes = 64 << 10 })
	l := s.Lane("logs")
	const writers, each = 8, 300
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if i%3 == 0 {
					if err := l.Defer(Record{Items: 1, Data: fmt.Appendf(nil, "%d-%d", w, i)}); err != nil {
						t.Error(err)
					}
					continue
				}
				put(t, l, fmt.Sprintf("%d-%d", w, i))
				if i%50 == 0 {
					l.Spill()
				}
			}
		})
	}
	go func() { wg.Wait(); s.CloseWrite() }()
	seen := map[string]bool{}
	for {
		e, err := l.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if seen[string(e.Data)] {
			t.Errorf("%s came twice", e.Data)
		}
		seen[string(e.Data)] = true
		l.Ack(e)
	}
	if st := l.Stats(); len(seen) != writers*each || st.Held != 0 || st.Acked != writers*each {
		t.Errorf("%d records, stats %+v", len(seen), st)
	}
}
