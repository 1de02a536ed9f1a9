package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
)

// A feed is a directory of real journal files.
type feed struct {
	t    *testing.T
	dir  string
	next int // entries written
}

func newFeed(t *testing.T) *feed {
	t.Helper()
	if _, err := os.Stat(journalRemote); err != nil {
		t.Fatalf("no %s, which makes journal files: apt-get install systemd systemd-journal-remote", journalRemote)
	}
	return &feed{t: t, dir: t.TempDir()}
}

const journalRemote = "/lib/systemd/systemd-journal-remote"

// boots have ids; that of this machine is not among them.
func boot(n int) string { return fmt.Sprintf("%032x", 0xb007+n) }

// add appends entries "entry N" to a file, of units a and b in turns.
func (f *feed) add(file string, bootN, entries int) {
	f.t.Helper()
	var b strings.Builder
	for range entries {
		fmt.Fprintf(&b, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=%s\n_SYSTEMD_UNIT=%c.service\nPRIORITY=6\nMESSAGE=entry %d\n\n",
			1_700_000_000_000_000+int64(bootN)*1e12+int64(f.next)*1000, 1_000_000+f.next*1000, boot(bootN), 'a'+f.next%2, f.next)
		f.next++
	}
	f.write(file, b.String())
}

// write appends entries in the journal's export format.
func (f *feed) write(file, export string) {
	f.t.Helper()
	cmd := exec.Command(journalRemote, "-o", filepath.Join(f.dir, file), "-")
	cmd.Stdin = strings.NewReader(export)
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("%v: %s", err, out)
	}
}

// said is a log that tests read.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) { s.mu.Lock(); defer s.mu.Unlock(); return s.buf.Write(p) }

func (s *said) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.buf.String(), text)
}

// A reading is an agent that reads a feed until stop.
type reading struct {
	*Journal
	t    *testing.T
	stop func()
}

func (f *feed) read(wal string, out Target, cfg JournalConfig, log *said) *reading {
	f.t.Helper()
	a := openAgent(f.t, wal, forward.ModeAlways)
	cfg.Directory = f.dir
	j := NewJournal(cfg, 0, []lines.Attr{{Key: "team", Value: "ops"}}, Self{}, a.Cursors(), slog.New(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, []Source{j}, out) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
	f.t.Cleanup(stop)
	return &reading{j, f.t, stop}
}

func (r *reading) wait(what string, ok func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(2 * time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			r.t.Fatalf("%s: not within two minutes", what)
		}
	}
}

func (r *reading) emitted(n uint64) {
	r.t.Helper()
	r.wait(fmt.Sprint(n, " entries taken"), func() bool { return r.stats.emitted.Load() >= n })
}

// bodies are how often each came.
func (f *far) bodies(t *testing.T) map[string]int {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := make(map[string]int)
	for body, n := range f.got {
		for _, r := range records(t, []byte(body)) {
			seen[r.Body.GetStringValue()] += n
		}
	}
	return seen
}

func records(t *testing.T, body []byte) (all []*logs.LogRecord) {
	t.Helper()
	var request logspb.ExportLogsServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		t.Fatal(err)
	}
	for _, rl := range request.ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			all = append(all, sl.LogRecords...)
		}
	}
	return all
}

// once holds that entries from, to came once, and nothing else.
func (f *far) once(t *testing.T, from, to int) {
	t.Helper()
	want := make(map[string]int)
	for i := from; i < to; i++ {
		want[fmt.Sprint("entry ", i)] = 1
	}
	if diff := cmp.Diff(want, f.bodies(t)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

var fromBeginning = JournalConfig{StartAt: tail.StartAtBeginning}

// Earlier boots included: --follow by itself shows the last one only.
func TestEveryEntryIsTakenOnceOverRestartsAndBoots(t *testing.T) {
	f, out, wal, log := newFeed(t), newFar(), t.TempDir(), new(said)
	f.add("one.journal", 0, 1300)
	f.add("one.journal", 1, 40)
	r := f.read(wal, out, fromBeginning, log)
	r.emitted(1340)
	f.add("one.journal", 1, 60) // while it is followed
	r.emitted(1400)
	r.stop()
	f.add("one.journal", 1, 30) // while nobody reads
	f.add("one.journal", 2, 70) // and after another boot
	r = f.read(wal, out, fromBeginning, log)
	r.emitted(100)
	r.stop()
	out.once(t, 0, 1500)
	if n := log.count("level="); n != 0 {
		t.Errorf("%d lines in the log: %s", n, log.buf.String())
	}
}

// The end is where it was at the first start, not at a later one.
func TestStartAtEndLosesNothingAfterTheFirstStart(t *testing.T) {
	f, out, wal, log := newFeed(t), newFar(), t.TempDir(), new(said)
	f.add("one.journal", 0, 20)
	r := f.read(wal, out, JournalConfig{}, log)
	r.wait("the position is in the log", func() bool { _, _, ok := r.positions.Mark(r.name); return ok })
	r.stop()
	f.add("one.journal", 0, 5)
	r = f.read(wal, out, JournalConfig{}, log)
	r.emitted(5)
	r.stop()
	out.once(t, 20, 25)
}

func TestAnEmptyJournalIsReadFromItsFirstEntryOn(t *testing.T) {
	f, out, log := newFeed(t), newFar(), new(said)
	r := f.read(t.TempDir(), out, JournalConfig{}, log)
	r.wait("the position is in the log", func() bool { _, _, ok := r.positions.Mark(r.name); return ok })
	f.add("one.journal", 0, 5)
	r.emitted(5)
	r.stop()
	out.once(t, 0, 5)
}

// script stands for journalctl.
func script(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// Filters apply, and an entry is not skipped because the one before it does not match.
func TestAJournalctlThatEndsIsStartedAgainWhereTheLogIs(t *testing.T) {
	f, out, log := newFeed(t), newFar(), new(said)
	name := filepath.Join(t.TempDir(), "journalctl")
	script(t, name, "journalctl \"$@\" | sed -u 40q\nkill -9 $$\n")
	f.add("one.journal", 0, 200)
	cfg := fromBeginning
	cfg.Journalctl, cfg.Units = name, []string{"b.service"}
	r := f.read(t.TempDir(), out, cfg, log)
	r.emitted(100)
	r.stop()
	want := make(map[string]int)
	for i := 1; i < 200; i += 2 {
		want[fmt.Sprint("entry ", i)] = 1
	}
	if diff := cmp.Diff(want, out.bodies(t)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if r.stats.restarts.Load() == 0 {
		t.Error("it was not started again")
	}
}

func TestAMissingJournalctlIsSaidOnceAndWaitedFor(t *testing.T) {
	f, out, log := newFeed(t), newFar(), new(said)
	name := filepath.Join(t.TempDir(), "journalctl")
	f.add("one.journal", 0, 10)
	cfg := fromBeginning
	cfg.Journalctl = name
	r := f.read(t.TempDir(), out, cfg, log)
	r.wait("some restarts", func() bool { return r.stats.restarts.Load() >= 3 })
	script(t, name, "exec journalctl \"$@\"\n")
	r.emitted(10)
	r.stop()
	out.once(t, 0, 10)
	if begun, over, all := log.count("journalctl does not run"), log.count("journalctl runs again"), log.count("level="); begun != 1 || over != 1 || all != 2 {
		t.Errorf("said %d times that it began and %d that it is over, in %d lines:\n%s", begun, over, all, log.buf.String())
	}
}

// The file with the last entry that was read is gone, as after journalctl --vacuum; so are some that
// nobody read. What there is is read, also what another writer wrote before, and nothing twice.
func TestAVacuumedJournalIsReadFromItsOldestEntryAndSaid(t *testing.T) {
	f, out, wal, log := newFeed(t), newFar(), t.TempDir(), new(said)
	f.add("other.journal", 0, 10)
	f.add("one.journal", 0, 30)
	r := f.read(wal, out, fromBeginning, log)
	r.emitted(40)
	r.stop()
	if err := os.Remove(filepath.Join(f.dir, "one.journal")); err != nil {
		t.Fatal(err)
	}
	f.next = 60 // 20 are lost
	f.add("two.journal", 0, 15)
	r = f.read(wal, out, fromBeginning, log)
	r.emitted(15)
	f.add("two.journal", 0, 5)
	r.emitted(20)
	r.stop()
	r = f.read(wal, out, fromBeginning, log)
	f.add("two.journal", 0, 5)
	r.emitted(5)
	r.stop()
	want := make(map[string]int)
	for i := range 85 {
		if i < 40 || i >= 60 {
			want[fmt.Sprint("entry ", i)] = 1
		}
	}
	if diff := cmp.Diff(want, out.bodies(t)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if n := log.count("is gone, reading the oldest"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log.buf.String())
	}
}

// What no program of systemd writes, and then what one does.
func TestMalformedEntriesAreCountedAndOwnOnesToo(t *testing.T) {
	out, log := newFar(), new(said)
	name := filepath.Join(t.TempDir(), "journalctl")
	script(t, name, `case "$*" in *--follow*) ;; *) exit 0;; esac
echo '{"MESSAGE":"no cursor"}'
echo 'not JSON'
echo '{"__CURSOR":"c1","MESSAGE":"mine","CONTAINER_ID_FULL":"me"}'
echo '{"__CURSOR":"c2","MESSAGE":"entry 0"}'
head -c 17000000 /dev/zero | tr '\0' x; echo
echo '{"__CURSOR":"c3","MESSAGE":"entry 1"}'
exec sleep 1000
`)
	cfg := fromBeginning
	cfg.Journalctl = name
	a := openAgent(t, t.TempDir(), forward.ModeAlways)
	j := NewJournal(cfg, 0, nil, Self{ID: "me"}, a.Cursors(), slog.New(slog.NewTextHandler(log, nil)))
	r := &reading{Journal: j, t: t}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, []Source{j}, out) }()
	r.emitted(2)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	out.once(t, 0, 2)
	if own, bad := j.stats.own.Load(), j.stats.malformed.Load(); own != 1 || bad != 3 {
		t.Errorf("%d own, %d malformed", own, bad)
	}
	if _, value, _ := a.Cursors().Mark(j.name); string(value) != "c3" && !strings.HasPrefix(string(value), "c3\n") {
		t.Errorf("the position is %q", value)
	}
	if _, _, _, ok := cursorParts("c3"); ok {
		t.Error("c3 was read as a cursor of systemd")
	}
}

func TestAWrongJournalConfigIsNamed(t *testing.T) {
	if err := (JournalConfig{}).Validate(); err != nil {
		t.Error(err)
	}
	good := JournalConfig{Directory: "/var/log/journal", Units: []string{"a*.service"}, Priority: "err..4", StartAt: "beginning", Matches: []map[string]string{{"_UID": "0", "ORDER": "7"}, {"_PID": "1"}}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"--unit=a*.service", "--priority=err..4", "--", "ORDER=7", "_UID=0", "+", "_PID=1"}, good.filters()); diff != "" {
		t.Error(diff)
	}
	bad := JournalConfig{Units: []string{""}, Priority: "loud", StartAt: "middle", Matches: []map[string]string{{}, {"--file": "x"}}}
	err := bad.Validate()
	for _, word := range []string{"units: an empty name", `priority: "loud"`, `start_at: "middle"`, "matches[0]: name at least", `matches[1]: "--file"`} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %s", err, word)
		}
	}
}
