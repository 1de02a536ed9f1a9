package tail

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// In these tests a line is delivered when its chunk's cursor is durable, that is, applied to
// the positions; a crash loses every chunk that is not.

// interleaved is a file of both streams, whose lines come in pieces that overlap.
func interleaved() (text string, want []string) {
	var b strings.Builder
	for i := range 20 {
		b.WriteString(cri("stdout", "P", fmt.Sprintf("o%d-", i)))
		b.WriteString(cri("stderr", "F", fmt.Sprintf("e%d", i)))
		b.WriteString(cri("stderr", "P", fmt.Sprintf("E%d-", i)))
		b.WriteString(cri("stdout", "P:tag", fmt.Sprintf("%d-", i)))
		b.WriteString(cri("stdout", "F", fmt.Sprintf("%d", i)))
		b.WriteString(cri("stderr", "F", fmt.Sprintf("%d", i)))
		want = append(want, fmt.Sprintf("o%d-%d-%d (stdout)", i, i, i), fmt.Sprintf("e%d (stderr)", i), fmt.Sprintf("E%d-%d (stderr)", i, i))
	}
	return b.String(), sorted(want)
}

// grow writes text so that each read finds little more: chunks end everywhere, also between
// the pieces of a line. It returns the chunks' lines and cursors.
func (r *rig) grow(name, text string, step int) (chunks []delivery) {
	for len(text) > 0 {
		n := min(step, len(text))
		r.write(name, text[:n])
		text = text[n:]
		r.tailer.look(r.now)
		for c := r.next(); c != nil; c = r.next() {
			chunks = append(chunks, delivery{texts(c), slices.Clone(c.Cursor)})
			r.tailer.Done(c, true)
		}
	}
	return chunks
}

type delivery struct {
	lines  []string
	cursor []byte
}

func TestARestartAtAnyChunkNeitherLosesNorRepeatsALine(t *testing.T) {
	text, want := interleaved()
	for _, step := range []int{17, 60, 150, 333} {
		for durable := 0; ; durable++ {
			r := newRig(t)
			r.write("a.log", "")
			r.start()
			chunks := r.grow("a.log", text, step)
			if durable > len(chunks) {
				break
			}
			var got []string
			for _, d := range chunks[:durable] {
				got = append(got, d.lines...)
				r.pos.Apply(d.cursor)
			}
			r.restart()
			r.want(sorted(append(got, r.read()...)), want...)
			r.restart()
			r.want(r.read())
			r.must(r.tailer.Close())
		}
	}
}

func TestChunksMayBecomeDurableInAnyOrder(t *testing.T) {
	text, want := interleaved()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		r := newRig(t)
		r.write("a.log", "")
		r.start()
		chunks := r.grow("a.log", text, 1+random.IntN(400))
		var got []string
		for _, i := range random.Perm(len(chunks))[:random.IntN(len(chunks)+1)] {
			got = append(got, chunks[i].lines...)
			r.pos.Apply(chunks[i].cursor)
		}
		r.restart()
		r.want(sorted(append(got, r.read()...)), want...)
		r.must(r.tailer.Close())
	}
}

func TestAnUnfinishedRunDoesNotHoldUpTheOtherStream(t *testing.T) {
	r := newRig(t)
	r.write("a.log", cri("stdout", "P", "progress "))
	r.start()
	var want []string
	for i := range 50 {
		r.write("a.log", cri("stderr", "F", fmt.Sprint("error ", i)))
		want = append(want, fmt.Sprintf("error %d (stderr)", i))
	}
	r.want(r.look(), want...)
	r.restart()
	r.want(r.pass(time.Minute))
	r.write("a.log", cri("stdout", "F", "done"))
	r.want(r.look(), "progress done (stdout)")
}

func TestARunWithTooManyInterruptionsIsEnded(t *testing.T) {
	r := newRig(t)
	var b strings.Builder
	for range maxPlaces {
		b.WriteString(cri("stdout", "P", ".") + cri("stderr", "F", "e"))
	}
	r.write("a.log", b.String())
	r.start()
	got := r.read()
	if n := len(got); n != maxPlaces+1 || got[n-2] != strings.Repeat(".", maxPlaces)+" (stdout)+" {
		t.Fatalf("%d lines, the last but one is %q", n, got[n-2])
	}
	r.restart()
	r.want(r.read())
}

func TestAnOversizeRunIsOneCutLine(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxLineBytes = 100 })
	text := strings.Repeat(cri("stdout", "P", strings.Repeat("x", 30)), 50) + cri("stdout", "F", "end") + cri("stdout", "F", "next")
	r.write("a.log", "")
	r.start()
	for _, d := range r.grow("a.log", text, 997) {
		r.pos.Apply(d.cursor)
	}
	s := r.balanced()
	if s.LinesEmitted != 2 || s.Truncated != 1 || s.LinesJoined != 50 || s.BytesDropped != 30*50+3-100 {
		t.Fatalf("got %+v", s)
	}
	r.restart()
	r.want(r.read())
}

// A model is what the program that writes knows: every complete line it wrote, each of which
// is like no other.
type model struct {
	*rig
	random  *rand.Rand
	count   int
	want    []string
	got     []string
	pending []delivery // in the log, not yet durable
}

func (m *model) line() string {
	m.count++
	return fmt.Sprintf("%d %s", m.count, strings.Repeat("x", m.random.IntN(60)))
}

// plain writes lines, each perhaps in two parts.
func (m *model) plain(name string) {
	defer func(from int) { m.log.Debug("wrote", "name", name, "lines", fmt.Sprintf("%d-%d", from, m.count)) }(m.count + 1)
	for range 1 + m.random.IntN(20) {
		l := m.line()
		m.want = append(m.want, l)
		cut := m.random.IntN(len(l))
		m.write(name, l[:cut])
		if m.random.IntN(4) == 0 {
			m.step()
		}
		m.write(name, l[cut:]+"\n")
	}
}

// runtime writes lines of both streams, perhaps in pieces.
func (m *model) runtime(name string) {
	defer func(from int) { m.log.Debug("wrote", "name", name, "lines", fmt.Sprintf("%d-%d", from, m.count)) }(m.count + 1)
	var unfinished [streams]string
	for i := range 30 {
		s := stream(m.random.IntN(int(streams)))
		l := unfinished[s]
		if l == "" {
			l = m.line()
			m.want = append(m.want, fmt.Sprintf("%s (%s)", l, s))
		}
		cut := m.random.IntN(len(l))
		if m.random.IntN(2) == 0 && i < 25 && cut > 0 {
			m.write(name, m.cri(s, "P", l[:cut]))
			unfinished[s] = l[cut:]
			continue
		}
		m.write(name, m.cri(s, "F", l))
		unfinished[s] = ""
		if m.random.IntN(8) == 0 {
			m.step()
		}
	}
	for s, l := range unfinished {
		if l != "" {
			m.write(name, m.cri(stream(s), "F", l))
		}
	}
}

func chunkName(c *Chunk) string {
	if c.file == nil {
		return fmt.Sprintf("forget %x", c.forget)
	}
	from, to := "", ""
	if n := len(c.Lines); n > 0 {
		from, _, _ = strings.Cut(string(c.Lines[0].Text), " ")
		to, _, _ = strings.Cut(string(c.Lines[n-1].Text), " ")
	}
	return fmt.Sprintf("%s %x %d.%d %s-%s", filepath.Base(c.file.name), c.file.key, c.file.id.inode.ino, c.file.id.birth%1e9, from, to)
}

// cri is a line of now: that of a rotated file tells whether it is new.
func (m *model) cri(s stream, tag, text string) string {
	return fmt.Sprintf("%s %s %s %s\n", time.Now().UTC().Format(time.RFC3339Nano), s, tag, text)
}

// step is something that happens on the reading side.
func (m *model) step() {
	if m.tailer == nil {
		return
	}
	kind := m.random.IntN(8)
	m.log.Debug("step", "kind", kind)
	switch kind {
	case 0:
		m.tailer.scan(m.now)
	case 1:
		m.now = m.now.Add(time.Duration(m.random.IntN(8)) * time.Second)
		m.tailer.look(m.now)
	case 2, 3, 4:
		if c := m.next(); c != nil {
			m.log.Debug("chunk", "name", chunkName(c), "lines", len(c.Lines), "done", c.done)
			taken := m.random.IntN(4) > 0
			if taken {
				m.pending = append(m.pending, delivery{texts(c), slices.Clone(c.Cursor)})
			}
			m.tailer.Done(c, taken)
		}
	case 5, 6:
		if n := len(m.pending); n > 0 {
			m.durable(m.random.IntN(n))
		}
	case 7:
		m.pending = nil
		m.restart()
	}
}

func (m *model) durable(i int) {
	m.got = append(m.got, m.pending[i].lines...)
	m.pos.Apply(m.pending[i].cursor)
	if p, forget, err := decodeCursor(m.pending[i].cursor); p != nil {
		m.log.Debug("durable", "key", fmt.Sprintf("%x", p.key), "done", p.done, "err", err)
	} else {
		m.log.Debug("durable", "forget", fmt.Sprintf("%x", forget))
	}
	m.pending = slices.Delete(m.pending, i, i+1)
}

// settle reads everything and makes it durable.
func (m *model) settle() {
	for len(m.pending) > 0 {
		m.durable(0)
	}
	for range 6 {
		m.got = append(m.got, m.scan()...)
		m.got = append(m.got, m.look()...)
	}
}

// remove keeps the inode from being used again at once: a file that is made in the same tick of the
// clock with the same inode cannot be told from the one before, and only a test is that fast.
func (m *model) remove(name string) {
	f, err := os.Open(m.path(name))
	m.must(err)
	m.t.Cleanup(func() { f.Close() })
	m.rig.remove(name)
}

// oldest is how many rotated files there are at most.
const oldest = 4

// shift moves the rotated files on; if the oldest goes, what is in it has been read.
func (m *model) shift(name string) {
	for _, gz := range []string{"", ".gz"} {
		last := fmt.Sprintf("%s.%d%s", name, oldest, gz)
		if _, err := os.Stat(m.path(last)); err == nil {
			m.settle()
			m.remove(last)
			m.now = m.now.Add(time.Minute)
		}
	}
	for i := oldest - 1; i > 0; i-- {
		for _, gz := range []string{"", ".gz"} {
			from, to := fmt.Sprintf("%s.%d%s", name, i, gz), fmt.Sprintf("%s.%d%s", name, i+1, gz)
			if _, err := os.Stat(m.path(from)); err == nil {
				m.rename(from, to)
			}
		}
	}
}

func (m *model) rotate(name string) {
	m.log.Debug("rotate", "name", name)
	m.shift(name)
	m.rename(name, name+".1")
	m.write(name, "")
}

// copyTruncate is logrotate's: nothing is written between the copy and the truncation.
func (m *model) copyTruncate(name string) {
	m.log.Debug("copyTruncate", "name", name)
	if st, err := os.Stat(m.path(name)); err != nil || st.Size() == 0 {
		return // two empty files cannot be told from each other, and need not be
	}
	m.shift(name)
	text, err := os.ReadFile(m.path(name))
	m.must(err)
	m.write(name+".1", string(text))
	if m.random.IntN(2) == 0 {
		m.step()
	}
	m.truncate(name)
	if m.random.IntN(2) == 0 {
		m.step()
	}
}

// gzip compresses a rotated file: whole, under its own name, before the other one goes.
func (m *model) gzip(name string) {
	m.log.Debug("gzip", "name", name)
	from := fmt.Sprintf("%s.%d", name, 1+m.random.IntN(oldest))
	text, err := os.ReadFile(m.path(from))
	if err != nil {
		return
	}
	m.must(os.WriteFile(m.path(from+".tmp"), compressed(text), 0o600))
	m.rename(from+".tmp", from+".gz")
	if m.random.IntN(2) == 0 {
		m.step()
	}
	m.remove(from)
}

func TestEveryLineIsDeliveredOnceWhateverHappens(t *testing.T) {
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("SPILLWAY_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("SPILLWAY_SEED=%d", seed)
	for round := range 30 {
		var log bytes.Buffer
		m := &model{rig: newRig(t), random: rand.New(rand.NewPCG(seed, uint64(round)))}
		m.rig.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("round %d: %s", round, log.String())
			}
			log.Reset()
		})
		if round%3 == 0 {
			m.maxOpen = 2
		}
		if round%2 == 1 {
			m.cfg[0].Include = []string{m.path("*.log")} // so that rotated files are found by their names only
		}
		m.plain("plain.log")
		m.runtime("cri.log")
		m.start()
		m.settle() // of a path of which nothing is safe yet, rotated files may be anybody's
		for range 60 {
			name := []string{"plain.log", "cri.log"}[m.random.IntN(2)]
			switch m.random.IntN(13) {
			case 0, 1, 2:
				m.plain("plain.log")
			case 3, 4, 5:
				m.runtime("cri.log")
			case 6, 7:
				m.rotate(name)
			case 8:
				m.settle()
				m.log.Debug("truncate", "name", name)
				m.truncate(name)
			case 9:
				m.copyTruncate(name)
			case 10:
				m.gzip(name)
			default:
				m.step()
			}
		}
		m.settle()
		m.want = sorted(m.want)
		m.rig.want(sorted(m.got), m.want...)
		if m.balanced(); t.Failed() {
			t.Fatalf("in round %d", round)
		}
		m.restart()
		m.rig.want(m.read())
		m.must(m.tailer.Close())
	}
}
