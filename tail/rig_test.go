package tail

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A rig is a Tailer over real files whose looks, scans and clock the test drives, and the log
// that its chunks go into.
type rig struct {
	t       testing.TB
	dir     string
	cfg     []Config
	now     time.Time
	pos     *Positions
	tailer  *Tailer
	maxOpen int
	missed  []Missed
	log     *slog.Logger
}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), now: time.Unix(1_700_000_000, 0), pos: NewPositions(), maxOpen: maxOpen}
	cfg := DefaultConfig()
	cfg.Include = []string{filepath.Join(r.dir, "*.log*")}
	for _, f := range change {
		f(&cfg)
	}
	r.cfg = []Config{cfg}
	t.Cleanup(func() {
		if r.tailer != nil {
			r.tailer.Close()
		}
	})
	return r
}

// start begins to tail; the first scan is over when it returns, and what is made then is younger than the tailer.
func (r *rig) start() {
	r.t.Helper()
	r.create()
	r.tailer.scan(r.now)
	r.tick()
}

// create is start without the first scan.
func (r *rig) create() {
	r.t.Helper()
	var err error
	if r.tailer, err = newTailer(r.cfg, r.pos, func(m Missed) { r.missed = append(r.missed, m) }, r.log); err != nil {
		r.t.Fatal(err)
	}
	r.tailer.maxOpen = r.maxOpen
	r.tailer.clock = func() time.Time { return r.now }
}

// restart is a crash and a start: only what a snapshot of the positions says is known after it.
func (r *rig) restart() {
	r.t.Helper()
	if err := r.tailer.Close(); err != nil {
		r.t.Fatal(err)
	}
	pos := NewPositions()
	if err := pos.Restore(r.pos.Snapshot(nil)); err != nil {
		r.t.Fatal(err)
	}
	r.pos = pos
	r.start()
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) write(name, text string) {
	r.t.Helper()
	f, err := os.OpenFile(r.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	r.must(err)
}

func (r *rig) rename(from, to string) { r.t.Helper(); r.must(os.Rename(r.path(from), r.path(to))) }
func (r *rig) remove(name string)     { r.t.Helper(); r.must(os.Remove(r.path(name))) }
func (r *rig) truncate(name string)   { r.t.Helper(); r.must(os.Truncate(r.path(name), 0)) }

// compress puts a compressed file in the place of one, as the kubelet does.
func (r *rig) compress(name string) {
	r.t.Helper()
	text, err := os.ReadFile(r.path(name))
	r.must(err)
	r.must(os.WriteFile(r.path(name+".gz"), compressed(text), 0o600))
	r.remove(name)
}

// tick waits until a file that is made has another birth than one that was made before.
func (r *rig) tick() { r.t.Helper(); r.ago(1) }

// ago waits until files that were made before are older than d, by their births.
func (r *rig) ago(d time.Duration) {
	r.t.Helper()
	const name = "clock"
	first := int64(-1)
	for {
		r.write(name, "")
		_, at, _ := birthAt(r.path(name))
		r.remove(name)
		if first < 0 {
			first = at
		}
		if at-first >= int64(d) || at == 0 {
			return
		}
	}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// next is the next chunk, or nil when there is nothing to read.
func (r *rig) next() *Chunk {
	for {
		c, waiting := r.tailer.poll()
		if c != nil || !waiting {
			return c
		}
	}
}

// take is what a good consumer does: the cursor is safe, and then the chunk is given back.
func (r *rig) take(c *Chunk) []string {
	lines := texts(c)
	r.pos.Apply(c.Cursor)
	r.tailer.Done(c, true)
	return lines
}

// read takes all that there is to read.
func (r *rig) read() (lines []string) {
	for c := r.next(); c != nil; c = r.next() {
		if r.log != nil {
			r.log.Debug("chunk", "name", chunkName(c), "lines", len(c.Lines), "done", c.done)
		}
		lines = append(lines, r.take(c)...)
	}
	return lines
}

// look looks and reads.
func (r *rig) look() []string {
	r.tailer.look(r.now)
	r.tailer.tell()
	return r.read()
}

// scan scans and reads.
func (r *rig) scan() []string {
	r.tailer.scan(r.now)
	r.tailer.tell()
	return r.read()
}

// pass lets time pass, with a look every second and a scan every tenth.
func (r *rig) pass(d time.Duration) (lines []string) {
	for i := range int(d / time.Second) {
		r.now = r.now.Add(time.Second)
		lines = append(lines, r.look()...)
		if i%10 == 9 {
			lines = append(lines, r.scan()...)
		}
	}
	return lines
}

// texts are the lines of c: "text", "text (stream)", and + for partial, ! for truncated.
func texts(c *Chunk) (lines []string) {
	for _, l := range c.Lines {
		s := string(l.Text)
		if l.Stream != "" {
			s += " (" + l.Stream + ")"
		}
		if l.Partial {
			s += "+"
		}
		if l.Truncated {
			s += "!"
		}
		lines = append(lines, s)
	}
	return lines
}

func (r *rig) want(got []string, want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Fatalf("lines (-want +got):\n%s", diff)
	}
}

// balanced checks the equations of Stats.
func (r *rig) balanced() Stats {
	r.t.Helper()
	s := r.tailer.Stats()
	if s.BytesRead != s.BytesEmitted+s.BytesJoined+s.BytesDropped || s.LinesRead != s.LinesEmitted+s.LinesJoined {
		r.t.Fatalf("the account does not balance: %+v", s)
	}
	return s
}

func cri(stream, tag, text string) string {
	return fmt.Sprintf("2026-01-02T03:04:05.123456789Z %s %s %s\n", stream, tag, text)
}

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}
