package tail

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A storm is programs that write and rotate their logs as fast as they can, each in one of logrotate's ways or
// the kubelet's, while a Tailer reads them by its own clock and crashes now and then: what the model
// (crash_test.go) does in steps happens here at once, in any order that two processors find. So a
// seed does not repeat a run, but only what each program does.
type storm struct {
	*rig
	journal journal

	mu    sync.Mutex // guards what follows
	want  map[string]bool
	maybe map[string]bool // written between a copy and the truncation: they are nowhere, unless somebody looked
	got   map[string]int
	runs  int // of tailers; odd while one runs
}

// A journal is what happened, for whoever looks for a cause.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(b))
	return len(b), nil
}

// save writes what was noted about a directory beside others of its kind.
func (j *journal) save(dir string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	out, err := os.CreateTemp("", "spillway-storm-"+filepath.Base(dir)+"-")
	if err != nil {
		return err.Error()
	}
	defer out.Close()
	for _, l := range j.lines {
		linked := strings.HasPrefix(filepath.Base(dir), "link") && strings.Contains(l, "/links/")
		if strings.Contains(l, dir+"/") || linked || strings.Contains(l, "tailer ") {
			if _, err := io.WriteString(out, strings.ReplaceAll(l, filepath.Dir(dir)+"/", "")); err != nil {
				return err.Error()
			}
		}
	}
	return out.Name()
}

func (s *storm) note(format string, args ...any) { s.log.Debug(fmt.Sprintf(format, args...)) }

// A stormyLog is one program's log.
type stormyLog struct {
	*storm
	random *rand.Rand
	dir    string
	mode   string
	name   string
	file   *os.File
	count  int // lines
	turns  int // rotations
}

// is says whether the mode has a property: busy, copytruncate, create, kubelet, gz.
func (l *stormyLog) is(what string) bool { return strings.Contains(l.mode, what) }

// write appends lines, each with one write. Maybe they are truncated before anybody looks.
func (l *stormyLog) write(maybe bool) error {
	from := l.count
	for range 1 + l.random.IntN(30) {
		text := fmt.Sprintf("%d %s %s", l.count, filepath.Base(l.dir), strings.Repeat("x", l.random.IntN(60)))
		l.count++
		l.mu.Lock()
		if maybe {
			l.maybe[text] = true
		} else {
			l.want[text] = true
		}
		l.mu.Unlock()
		if l.is("kubelet") {
			text = time.Now().UTC().Format(time.RFC3339Nano) + " stdout F " + text
		}
		if _, err := io.WriteString(l.file, text+"\n"); err != nil {
			return err
		}
	}
	l.note("wrote %s %d-%d", l.name, from, l.count-1)
	return nil
}

// pause waits for a random time, or not at all.
func (l *stormyLog) pause(most time.Duration) {
	if d := time.Duration(l.random.Int64N(int64(most))); l.random.IntN(3) > 0 {
		<-time.After(d)
	}
}

func (l *stormyLog) reopen() (err error) {
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			return err
		}
	}
	l.file, err = os.OpenFile(l.name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return err
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// pieces writes a file in some pieces, as it looks to somebody else.
func (l *stormyLog) pieces(name string, b []byte) error {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	for len(b) > 0 {
		n := len(b)
		if l.random.IntN(2) == 0 {
			n = min(n, 1+l.random.IntN(2048))
		}
		l.pause(10 * time.Millisecond)
		if _, err := out.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return out.Close()
}

// gzip compresses as gzip and logrotate do, under the last name, or as the kubelet under another one.
func (l *stormyLog) gzip(name string) error {
	l.note("gzip %s begins", name)
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	to := name + ".gz"
	if l.is("kubelet") {
		to = name + ".tmp"
	}
	if err := l.pieces(to, compressed(b)); err != nil {
		return err
	}
	if l.is("kubelet") {
		if err := os.Rename(to, name+".gz"); err != nil {
			return err
		}
	}
	l.pause(5 * time.Millisecond)
	l.note("gzip %s ends", name)
	return os.Remove(name)
}

// rotate is one pass of logrotate, or of the kubelet.
func (l *stormyLog) rotate() error {
	l.turns++
	l.note("rotation %d of %s begins", l.turns, l.name)
	defer func() { l.note("rotation %d of %s ends", l.turns, l.name) }()
	switch {
	case l.is("kubelet"):
		last := fmt.Sprintf("%s.20260102-%06d", l.name, l.turns-1)
		if exists(last) {
			if err := l.gzip(last); err != nil {
				return err
			}
		}
		return l.rename(fmt.Sprintf("%s.20260102-%06d", l.name, l.turns))
	case l.is("copytruncate"):
		b, err := os.ReadFile(l.name)
		if err != nil || len(b) == 0 {
			return err
		}
		if err := l.shift(); err != nil {
			return err
		}
		if err := l.copyTruncate(b); err != nil || !l.is("gz") {
			return err
		}
		return l.gzip(l.name + ".1")
	}
	if err := l.shift(); err != nil {
		return err
	}
	if err := l.rename(l.name + ".1"); err != nil {
		return err
	}
	if delayed := l.name + ".2"; l.is("gz") && exists(delayed) {
		return l.gzip(delayed)
	}
	return nil
}

// shift makes room for another rotated file.
func (l *stormyLog) shift() error {
	for i := l.turns; i > 0; i-- {
		for _, gz := range []string{"", ".gz"} {
			from := fmt.Sprintf("%s.%d%s", l.name, i, gz)
			if !exists(from) {
				continue
			}
			if err := os.Rename(from, fmt.Sprintf("%s.%d%s", l.name, i+1, gz)); err != nil {
				return err
			}
		}
	}
	return nil
}

// rename gives the log another name, and writes to it until the program has heard.
func (l *stormyLog) rename(to string) error {
	if err := os.Rename(l.name, to); err != nil {
		return err
	}
	l.pause(5 * time.Millisecond)
	if err := l.write(false); err != nil {
		return err
	}
	return l.reopen()
}

func (l *stormyLog) copyTruncate(b []byte) error {
	if err := l.pieces(l.name+".1", b); err != nil {
		return err
	}
	l.pause(5 * time.Millisecond)
	if l.is("busy") {
		if err := l.write(true); err != nil {
			return err
		}
		l.pause(5 * time.Millisecond)
	}
	defer l.note("truncated %s", l.name)
	return os.Truncate(l.name, 0)
}

// run writes and rotates until ctx is done, or often enough.
func (l *stormyLog) run(ctx context.Context) error {
	for ctx.Err() == nil && l.turns < 60 {
		for range 1 + l.random.IntN(6) {
			if err := l.write(false); err != nil {
				return err
			}
			l.pause(30 * time.Millisecond)
		}
		if err := l.rotate(); err != nil {
			return err
		}
		l.pause(200 * time.Millisecond)
	}
	return l.write(false)
}

// consume takes what the tailer has, until it is closed. What comes after the crash is in no log.
func (s *storm) consume(t *Tailer, run int, random *rand.Rand) {
	for {
		c, err := t.Next(context.Background())
		if err != nil {
			return
		}
		if d := time.Duration(random.Int64N(int64(20 * time.Millisecond))); random.IntN(8) == 0 {
			<-time.After(d)
		}
		t.mu.Lock()
		name := chunkName(c)
		t.mu.Unlock()
		s.mu.Lock()
		taken := s.runs == run && random.IntN(16) > 0
		if taken {
			s.pos.Apply(c.Cursor)
			for _, l := range c.Lines {
				s.got[string(l.Text)]++
			}
			s.note("taken from %s/: %s %v", filepath.Dir(c.Path), name, c.done)
		}
		s.mu.Unlock()
		t.Done(c, taken)
	}
}

// begin starts a tailer; end is its crash.
func (s *storm) begin(random *rand.Rand) (end func()) {
	missed := func(m Missed) {
		if !strings.Contains(m.Path, "busy") {
			s.t.Errorf("missed %s, see %s", m, s.journal.save(filepath.Dir(m.Path)))
		}
	}
	t, err := newTailer(s.cfg, s.pos, missed, s.log)
	s.must(err)
	s.mu.Lock()
	s.runs++
	run := s.runs
	s.mu.Unlock()
	s.note("tailer %d begins", run)
	s.tailer = t
	t.lookEvery = lookEvery / 4
	if random.IntN(2) == 0 {
		t.maxOpen = 8 // so that files are opened again, and inodes used again
	}
	t.start()
	var consumers sync.WaitGroup
	for range 2 {
		r := rand.New(rand.NewPCG(random.Uint64(), 0))
		consumers.Go(func() { s.consume(t, run, r) })
	}
	return func() {
		s.mu.Lock()
		s.runs++
		s.note("tailer %d is killed", run)
		pos := NewPositions()
		s.must(pos.Restore(s.pos.Snapshot(nil)))
		s.pos = pos
		s.mu.Unlock()
		s.must(t.Close())
		consumers.Wait()
	}
}

// isDelivered says whether every line is there.
func (s *storm) isDelivered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for text := range s.want {
		if s.got[text] == 0 {
			return false
		}
	}
	return true
}

// isQuiet says whether the tailer has nothing left to find out: what it would read twice it has by then.
func (s *storm) isQuiet() bool {
	t := s.tailer
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.files {
		if f.busy || f.queued || f.gone {
			return false
		}
	}
	return len(t.orphans)+len(t.searches)+t.queue.len() == 0
}

// unrest says what keeps the tailer from being quiet.
func (s *storm) unrest() string {
	t := s.tailer
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, f := range t.files {
		if f.busy || f.queued || f.gone {
			fmt.Fprintf(&b, "%s: busy %t, queued %t, gone %t, see %s\n", f.path, f.busy, f.queued, f.gone, s.journal.save(filepath.Dir(f.path)))
		}
	}
	fmt.Fprintf(&b, "%d orphans, %d searches, %d queued", len(t.orphans), len(t.searches), t.queue.len())
	return b.String()
}

// wrong is the lines of each log that are lost or there again, as number:times.
func (s *storm) wrong() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	wrong := make(map[string][]string)
	add := func(text string, times int) {
		f := strings.Fields(text)
		wrong[f[1]] = append(wrong[f[1]], fmt.Sprintf("%s:%d", f[0], times))
	}
	for text := range s.want {
		if n := s.got[text]; n != 1 {
			add(text, n)
		}
	}
	for text, n := range s.got {
		if !s.want[text] && (n > 1 || !s.maybe[text]) {
			add(text, n)
		}
	}
	return wrong
}

func (s *storm) until(what string, ok func() bool) {
	deadline, tick := time.After(3*time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Errorf("%s: not within three minutes", what)
			return
		}
	}
}

// SPILLWAY_STORM is how long it goes on, SPILLWAY_BURN how many goroutines compete for the processors.
func TestStormOfRotations(t *testing.T) {
	seed, d, burners := rand.Uint64(), 4*time.Second, 1
	if n, err := strconv.ParseUint(os.Getenv("SPILLWAY_SEED"), 10, 64); err == nil {
		seed = n
	}
	if v, err := time.ParseDuration(os.Getenv("SPILLWAY_STORM")); err == nil {
		d = v
	}
	if n, err := strconv.Atoi(os.Getenv("SPILLWAY_BURN")); err == nil {
		burners = n
	}
	t.Logf("SPILLWAY_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := &storm{rig: newRig(t), want: make(map[string]bool), maybe: make(map[string]bool), got: make(map[string]int)}
	s.rig.log = slog.New(slog.NewTextHandler(&s.journal, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.cfg[0].Include = []string{s.path("one-*/app.log"), s.path("all-*/app.log*"), s.path("links/*.log")}
	s.must(os.Mkdir(s.path("links"), 0o700))
	var logs []*stormyLog
	for _, glob := range []string{"one", "all", "link"} {
		for _, mode := range []string{"copytruncate", "copytruncate-gz", "busy-copytruncate", "busy-copytruncate-gz", "create", "create-gz", "kubelet"} {
			if glob == "link" && mode != "kubelet" {
				continue
			}
			l := &stormyLog{storm: s, random: rand.New(rand.NewPCG(random.Uint64(), 0)), mode: mode, dir: s.path(glob + "-" + mode)}
			l.name = filepath.Join(l.dir, "app.log")
			s.must(os.Mkdir(l.dir, 0o700))
			if glob == "link" { // as /var/log/containers leads to /var/log/pods
				s.must(os.Symlink(l.name, s.path("links/"+mode+".log")))
			}
			s.must(l.reopen())
			s.must(l.write(false))
			t.Cleanup(func() { l.file.Close() })
			logs = append(logs, l)
		}
	}
	end := s.begin(random)
	s.until("the first lines", s.isDelivered) // of a log of which nothing is safe yet, rotated files may be anybody's

	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	var running sync.WaitGroup
	for range burners {
		running.Go(func() {
			for ctx.Err() == nil {
			}
		})
	}
	for _, l := range logs {
		running.Go(func() {
			if err := l.run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(random.Int64N(int64(2 * time.Second)))):
			end()
			<-time.After(time.Duration(random.Int64N(int64(time.Second / 2))))
			end = s.begin(random)
		}
	}
	running.Wait()
	s.until("every line", s.isDelivered)
	if s.until("quiet", s.isQuiet); !s.isQuiet() {
		t.Log(s.unrest())
	}
	end()
	for log, lines := range s.wrong() {
		slices.Sort(lines)
		t.Errorf("%s: %d lines are not there once, but so often: %v; see %s", log, len(lines), lines[:min(len(lines), 40)], s.journal.save(s.path(log)))
	}
	t.Logf("%d lines of %d logs, %d tailers", len(s.want), len(logs), s.runs/2)
}
