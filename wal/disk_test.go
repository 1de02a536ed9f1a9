package wal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-io/spillway/wal/smalldisk"
)

func readLedger(t *testing.T, dir string) (losses []Loss) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var l Loss
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		losses = append(losses, l)
	}
	return losses
}

// Somebody else fills the disk to the last block: senders are told to wait, what is in the log is
// delivered, delivered generations are removed, a loss can be written down, and when there is
// room again the log goes on by itself.
func TestPromise4_OnADiskThatIsFullToTheLastBlock(t *testing.T) {
	smalldisk.On(t, 64, fullToTheLastBlock)
}

func fullToTheLastBlock(t *testing.T, disk string) {
	dir := filepath.Join(disk, "wal")
	open := func(c *Config) { c.MaxBytes, c.MinFreeBytes, c.GenerationBytes = 32<<20, 1<<20, 256<<10 }
	s := openStore(t, dir, open)
	l := s.Lane("logs")
	record := strings.Repeat("x", 100<<10)
	for range 10 {
		put(t, l, record)
	}
	empty := smalldisk.Fill(t, disk)
	if err := l.Append(t.Context(), Record{Items: 1, Data: []byte(record)}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	e, err := l.TryNext()
	if err != nil || e == nil {
		t.Fatalf("nothing to deliver: %v", err)
	}
	s.Refused("logs", e.Stream, e.Seq, e.Seq, e.Items, int64(len(e.Data)), strings.Repeat("the far side's long words ", 20))
	if got := readLedger(t, dir); len(got) != 1 || got[0].Items != 1 {
		t.Errorf("ledger %+v", got)
	}
	l.Ack(e)
	before := l.Stats()
	if got := len(drain(t, l, true)); uint64(got) != before.Held {
		t.Errorf("%d of %d came out", got, before.Held)
	}
	l.sweepOnce()
	if after := l.Stats(); after.Files >= before.Files || after.Held != 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	empty()
	put(t, l, "after")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	got := drain(t, openStore(t, dir, open).Lane("logs"), false)
	if len(got) == 0 || got[len(got)-1] != "after" { // before it may come what was delivered of the same file
		t.Errorf("%d records, the last is not the last", len(got))
	}
}

// Opening on a full disk does not fail: the agent starts, says so, and delivers.
func TestPromise5_OpenOnAFullDisk(t *testing.T) { smalldisk.On(t, 32, openOnAFullDisk) }

func openOnAFullDisk(t *testing.T, disk string) {
	dir := filepath.Join(disk, "wal")
	open := func(c *Config) { c.MaxBytes, c.MinFreeBytes = 16<<20, 1<<20 }
	s := openStore(t, dir, open)
	put(t, s.Lane("logs"), "kept")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	empty := smalldisk.Fill(t, disk)
	s = openStore(t, dir, open)
	want(t, drain(t, s.Lane("logs"), false), "kept")
	empty()
	put(t, s.Lane("logs"), "more")
	if got := s.Troubles(); len(got) != 0 {
		t.Errorf("still in trouble: %q", got)
	}
}

// few has few inodes left, which takes a file system of a million files to make for real.
type few struct {
	OS
	inodes int64
	kind   string
	free   int64
}

func (f *few) Space(dir string) (Space, error) {
	s, err := f.OS.Space(dir)
	if f.inodes != 0 {
		s.Inodes = f.inodes
	}
	if f.free != 0 {
		s.Free = f.free
	}
	s.Kind = f.kind
	return s, err
}

func TestPromise4_InodesRunOutBeforeBytes(t *testing.T) {
	fs := &few{inodes: 10}
	l := openStore(t, t.TempDir(), func(c *Config) { c.FS = fs }).Lane("logs")
	if err := l.Append(t.Context(), Record{Items: 1, Data: []byte("x")}); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "10 inodes") {
		t.Errorf("got %v", err)
	}
	fs.inodes = 1000
	put(t, l, "x")
}

func TestFileSystemsThatCannotKeepThePromises(t *testing.T) {
	for kind, want := range map[string]string{"nfs": "refused", "cifs": "refused", "9p": "refused", "tmpfs": "in memory", "overlay": "container", "fuse": "FUSE", "": ""} {
		var said bytes.Buffer
		s, err := Open(Config{Dir: t.TempDir(), Lanes: []string{"logs"}, FS: &few{kind: kind}, Log: slog.New(slog.NewTextHandler(&said, nil))})
		if (err != nil) != (want == "refused") {
			t.Errorf("%s: %v", kind, err)
		}
		if err != nil {
			if !strings.Contains(err.Error(), "wal.dir") {
				t.Errorf("%s: does not say what to do: %v", kind, err)
			}
			continue
		}
		s.Close()
		if got := said.String(); !strings.Contains(got, want) || want == "" && strings.Contains(got, "WARN") {
			t.Errorf("%s: said %q", kind, got)
		}
	}
}

// The ledger's line says exactly what an evicted generation held and nobody had been given.
func TestPromise4_TheLedgerIsExact(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, func(c *Config) {
		c.MaxBytes, c.GenerationBytes, c.WhenFull = 400<<10, 40<<10, DropOldest
	})
	l := s.Lane("logs")
	start := time.Now().Add(-time.Hour)
	seq := 0
	add := func() error {
		at := start.Add(time.Duration(seq) * time.Second)
		seq++
		return l.Append(t.Context(), Record{Items: 3, Accepted: at.UnixNano(), Data: bytes.Repeat([]byte("x"), 10<<10)})
	}
	for range 4 { // the first generation, and a little of the second
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // two of the first are delivered
		e, _ := l.TryNext()
		l.Ack(e)
	}
	for len(readLedgerIfAny(dir)) == 0 && seq < 100 {
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	got := readLedger(t, dir)
	if len(got) != 1 {
		t.Fatalf("ledger %+v", got)
	}
	g := got[0]
	last := int(g.ToSeq)
	if g.FromSeq != 2 || last < 3 || g.Items != uint64(3*(last-1)) || g.Lane != "logs" || g.Reason != "evicted" || len(g.Stream) != 32 ||
		!g.FromTime.Equal(start.Add(2*time.Second)) || !g.ToTime.Equal(start.Add(time.Duration(last)*time.Second)) ||
		g.Bytes != int64(last-1)*int64(entrySize(0, 10<<10)) {
		t.Errorf("%+v, start %v", g, start)
	}
	if st := l.Stats(); st.Lost != g.Items || st.Appended != st.Acked+st.Lost+st.Held {
		t.Errorf("stats %+v", st)
	}
	if e, _ := l.TryNext(); e == nil || e.Seq != g.ToSeq+1 {
		t.Errorf("goes on with %+v", e)
	}
}

func readLedgerIfAny(dir string) []byte {
	text, _ := os.ReadFile(filepath.Join(dir, "ledger.jsonl"))
	return text
}

// The lane that has the oldest data beyond its reserve gives way, not the one that needs room,
// and never what is in flight.
func TestPromise4_TheOldestOfAllLanesGivesWay(t *testing.T) {
	s := openStore(t, t.TempDir(), func(c *Config) {
		c.Lanes = []string{"logs", "traces"}
		c.MaxBytes, c.GenerationBytes, c.WhenFull = 1<<20, 64<<10, DropOldest
	})
	logs, traces := s.Lane("logs"), s.Lane("traces")
	data := bytes.Repeat([]byte("x"), 30<<10)
	for logs.Stats().Lost == 0 {
		if err := logs.Append(t.Context(), Record{Items: 1, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	held, _ := logs.TryNext() // its generation is spared from here on
	lost := logs.Stats().Lost
	for range 12 { // far beyond the reserve of traces
		if err := traces.Append(t.Context(), Record{Items: 1, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	if got := traces.Stats(); got.Lost != 0 {
		t.Errorf("the newer lane lost %d", got.Lost)
	}
	if got := logs.Stats(); got.Lost <= lost {
		t.Errorf("the older lane lost %d, as before", got.Lost)
	}
	if string(held.Data) != string(data) {
		t.Error("what is in flight changed")
	}
	logs.Ack(held)
	if e, _ := logs.TryNext(); e == nil {
		t.Error("nothing left")
	}
}

// When somebody else has filled the disk, evicting would lose everything and not help.
func TestPromise4_NothingIsEvictedInVain(t *testing.T) {
	fs := &few{}
	s := openStore(t, t.TempDir(), func(c *Config) {
		c.FS, c.MaxBytes, c.MinFreeBytes, c.GenerationBytes, c.WhenFull = fs, 8<<20, 1<<30, 64<<10, DropOldest
	})
	l := s.Lane("logs")
	fs.free = 2 << 30
	data := bytes.Repeat([]byte("x"), 30<<10)
	for range 20 {
		if err := l.Append(t.Context(), Record{Items: 1, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	fs.free = 1 << 20
	s.budget.mu.Lock()
	s.budget.unseen = freeRecheck
	s.budget.mu.Unlock()
	if err := l.Append(t.Context(), Record{Items: 1, Data: data}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	if st := l.Stats(); st.Lost != 0 {
		t.Errorf("%d lost in vain", st.Lost)
	}
}

func TestWhatIsTooOldGoesWithALineInTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := openStore(t, dir, func(c *Config) { c.GenerationBytes, c.MaxAge = 1, time.Hour })
		l := s.Lane("logs")
		put(t, l, "old")
		time.Sleep(40 * time.Minute)
		put(t, l, "young")
		put(t, l, "youngest")
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		want(t, drain(t, l, false), "young", "youngest")
		if got := readLedger(t, dir); len(got) != 1 || got[0].Reason != "expired" || got[0].Items != 1 {
			t.Errorf("ledger %+v", got)
		}
		s.Close()
	})
}

// blind cannot read when it looks into generations, as a process that has too many files open.
type blind struct{ OS }

func (b blind) OpenFile(op, name string, flag int) (File, error) {
	if op == "survey" {
		return nil, syscall.EMFILE
	}
	return b.OS.OpenFile(op, name, flag)
}

// Whether something is too old is not known when it cannot be read: it stays.
func TestWhatCannotBeReadDoesNotExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, t.TempDir(), func(c *Config) { c.GenerationBytes, c.MaxAge, c.FS = 1, time.Hour, blind{} })
		l := s.Lane("logs")
		put(t, l, "first")
		put(t, l, "second")
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		want(t, drain(t, l, false), "first", "second")
		s.Close()
	})
}

// A damaged record and a lane that cannot be written are said in plain words, while the store is at work.
func TestTroublesAreSaid(t *testing.T) {
	fs := &faulty{}
	dir := t.TempDir()
	s := openStore(t, dir, func(c *Config) { c.FS = fs })
	put(t, s.Lane("logs"), "first")
	put(t, s.Lane("logs"), "second")
	if got := s.Troubles(); len(got) != 0 {
		t.Errorf("in trouble from the start: %q", got)
	}
	fs.failCreate.Store(1000)
	fs.failSync.Store(true)
	if err := s.Lane("logs").Append(t.Context(), Record{Items: 1, Data: []byte("no")}); err == nil {
		t.Error("taken")
	}
	if got := s.Troubles(); len(got) != 1 || !strings.Contains(got[0], "cannot be written") {
		t.Errorf("got %q", got)
	}
	fs.failCreate.Store(0)
	put(t, s.Lane("logs"), "third")
	if got := s.Troubles(); len(got) != 0 {
		t.Errorf("still in trouble: %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(genDir(filepath.Join(dir, "logs"), 0), segmentName)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(text, []byte("first"), []byte("fxrst"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	want(t, drain(t, s.Lane("logs"), true), "second", "third")
	if got := s.Troubles(); len(got) != 1 || !strings.Contains(got[0], "lost 1 items") || !strings.Contains(got[0], "ledger.jsonl") {
		t.Errorf("got %q", got)
	}
}

func TestSecondsUntilFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, t.TempDir(), func(c *Config) { c.MaxBytes = 100 << 20 })
		l := s.Lane("logs")
		if got := s.SecondsUntilFull(); !math.IsInf(got, 1) && got < 1e6 {
			t.Errorf("%v before anything came in", got)
		}
		data := make([]byte, 100<<10)
		for range 300 { // five minutes at 100 KiB a second
			if err := l.Append(t.Context(), Record{Items: 1, Data: data}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		used, limit := s.Usage()
		exact := float64(limit-used) / float64(100<<10)
		if got := s.SecondsUntilFull(); got < 0.9*exact || got > 1.1*exact {
			t.Errorf("%v s, by hand %v s", got, exact)
		}
		drain(t, l, true)
		l.sweepOnce()
		if got := s.SecondsUntilFull(); !math.IsInf(got, 1) {
			t.Errorf("%v while it shrinks", got)
		}
		s.Close()
	})
}

// What Disk says is what the log goes by: it refuses when free comes to the reserve.
func TestDisk(t *testing.T) {
	fs := new(few)
	s := openStore(t, t.TempDir(), func(c *Config) { c.FS, c.MinFreeBytes, c.MaxBytes = fs, 1<<30, 100<<20 })
	defer s.Close()
	for _, free := range []int64{1<<30 - 1, 2 << 30} {
		fs.free = free
		got, reserve, err := s.Disk()
		if err != nil || got != free || reserve != 1<<30 {
			t.Errorf("free %d, reserve %d, %v; want %d and 1 GiB", got, reserve, err, free)
		}
		err = s.Lane("logs").Append(t.Context(), Record{Items: 1, Data: make([]byte, 100)})
		if full := errors.Is(err, ErrFull); full != (free < reserve) {
			t.Errorf("with %d bytes free: %v", free, err)
		}
	}
}

// Overflow: what is only in memory when the disk is full stays there, is delivered from there,
// counts against the cap, and is written when there is room again.
func TestPromise4_SpillOnAFullDisk(t *testing.T) { smalldisk.On(t, 64, spillOnAFullDisk) }

func spillOnAFullDisk(t *testing.T, disk string) {
	dir := filepath.Join(disk, "wal")
	open := func(c *Config) {
		c.MaxBytes, c.MinFreeBytes, c.GenerationBytes = 8<<20, 1<<20, 256<<10
		c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s := openStore(t, dir, open)
	l := s.Lane("logs")
	data := func(i int) []byte { return append(fmt.Append(nil, "record ", i, " "), make([]byte, 500<<10)...) }
	number := func(record string) string { return strings.SplitN(record, " ", 3)[1] }
	for i := range 6 {
		if err := l.Defer(Record{Items: 1, Data: data(i)}); err != nil {
			t.Fatal(err)
		}
	}
	empty := smalldisk.Fill(t, disk)
	l.Spill()
	for l.Stats().Failures == 0 { // the committer is at it
		runtime.Gosched()
	}
	e, err := l.TryNext()
	if err != nil || number(string(e.Data)) != "0" {
		t.Fatalf("%v, %v", e, err)
	}
	l.Ack(e)
	if got := l.Stats(); got.Held != 5 || got.Lost != 0 {
		t.Errorf("stats %+v", got)
	}
	refused := 0
	for i := 6; i < 100 && refused == 0; i++ {
		if err := l.Defer(Record{Items: 1, Data: data(i)}); errors.Is(err, ErrFull) {
			refused = i
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused == 0 || refused > 20 {
		t.Errorf("took %d records of 500 KiB into 8 MiB on a full disk", refused)
	}
	empty()
	if err := s.Close(); err != nil { // spills first
		t.Error(err)
	}
	got := drain(t, openStore(t, dir, open).Lane("logs"), false)
	for i, r := range got {
		if number(r) != fmt.Sprint(i+1) {
			t.Errorf("place %d: record %s", i, number(r))
		}
	}
	if len(got) != refused-1 {
		t.Errorf("%d came back, want %d", len(got), refused-1)
	}
}

// Stopping on a disk that stays full says how much is only in memory, and what is delivered
// before the end is not lost.
func TestPromise4_StopOnAFullDisk(t *testing.T) { smalldisk.On(t, 64, stopOnAFullDisk) }

func stopOnAFullDisk(t *testing.T, disk string) {
	dir := filepath.Join(disk, "wal")
	s := openStore(t, dir, func(c *Config) { c.MaxBytes, c.MinFreeBytes = 8<<20, 1<<20 })
	l := s.Lane("logs")
	for range 3 {
		if err := l.Defer(Record{Items: 1, Data: make([]byte, 700<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	smalldisk.Fill(t, disk)
	if err := s.CloseWrite(); err == nil || !strings.Contains(err.Error(), "only in memory") && !strings.Contains(err.Error(), "held in memory") {
		t.Errorf("said %v", err)
	}
	if got := drain(t, l, true); len(got) != 3 {
		t.Errorf("%d of 3 could still be delivered", len(got))
	}
	if st := l.Stats(); st.Held != 0 || st.Acked != 3 {
		t.Errorf("stats %+v", st)
	}
}
