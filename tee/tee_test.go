package tee

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-io/spillway/wal/smalldisk"
)

// A rig is a Run with pipes around it.
type rig struct {
	t       *testing.T
	cfg     Config
	in      *os.File // the program's end
	out     *os.File // the reader's end
	signals chan os.Signal
	said    lockedBuffer
	ended   chan error
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.buf.String() }

func start(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	r.cfg = Config{File: filepath.Join(t.TempDir(), "log", "app.log"), MaxSize: 1 << 20, MaxFiles: 100, MaxBlock: 50 * time.Millisecond, Buffer: 1 << 20, Grace: time.Minute, Errors: &r.said}
	if change != nil {
		change(&r.cfg)
	}
	var err error
	if r.cfg.In, r.in, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	if r.out, r.cfg.Out, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := Run(r.cfg, r.signals)
		r.cfg.Out.Close()
		r.ended <- err
	}()
	t.Cleanup(func() { r.in.Close(); r.out.Close() })
	return r
}

// print writes lines from, to.
func (r *rig) print(from, to int) {
	r.t.Helper()
	w := bufio.NewWriterSize(r.in, 5000)
	for i := from; i < to; i++ {
		fmt.Fprintf(w, "line %d\n", i)
	}
	if err := w.Flush(); err != nil {
		r.t.Fatal(err)
	}
}

// end closes stdin and waits.
func (r *rig) end() {
	r.t.Helper()
	r.in.Close()
	r.wait(nil)
}

func (r *rig) wait(want error) {
	r.t.Helper()
	select {
	case err := <-r.ended:
		if err != want {
			r.t.Errorf("ended with %v, want %v", err, want)
		}
	case <-time.After(30 * time.Second):
		r.t.Fatal("it does not end")
	}
}

// drain reads stdout to its end.
func (r *rig) drain() <-chan []byte {
	all := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(r.out)
		all <- b
	}()
	return all
}

func lines(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}

// content is all of the file, the oldest part first, and the sizes of the parts.
func content(t testing.TB, name string) (all string, sizes []int) {
	t.Helper()
	parts := []string{name}
	for i := 1; ; i++ {
		part := fmt.Sprintf("%s.%d", name, i)
		if _, err := os.Stat(part); err != nil {
			break
		}
		parts = append([]string{part}, parts...)
	}
	for _, part := range parts {
		b, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		all += string(b)
		sizes = append(sizes, len(b))
	}
	return all, sizes
}

func same(t testing.TB, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	t.Errorf("%s differs at byte %d: %d bytes, want %d: %.80q, want %.80q", what, i, len(got), len(want), got[i:], want[i:])
}

func TestEveryByteIsPassedOnAndEveryLineIsInTheFiles(t *testing.T) {
	r := start(t, nil)
	out := r.drain()
	r.print(0, 400_000)
	io.WriteString(r.in, strings.Repeat("long", 100_000)+"\nno end")
	r.end()
	want := lines(0, 400_000) + strings.Repeat("long", 100_000) + "\nno end"
	same(t, "stdout", string(<-out), want)
	all, sizes := content(t, r.cfg.File)
	same(t, "the file", all, want)
	if len(sizes) < 5 {
		t.Errorf("%d files", len(sizes))
	}
	for i, n := range sizes {
		most := 1 << 20
		if i == len(sizes)-1 || i == len(sizes)-2 {
			most += 400_001 // the long line, which is not divided
		}
		if n > most {
			t.Errorf("part %d has %d bytes", i, n)
		}
	}
	for i := 1; i < len(sizes); i++ {
		if b, _ := os.ReadFile(fmt.Sprintf("%s.%d", r.cfg.File, i)); b[len(b)-1] != '\n' {
			t.Errorf("part %d ends within a line", i)
		}
	}
	if s := r.said.String(); s != "" {
		t.Errorf("said %s", s)
	}
}

func TestOldFilesGoAndAnExistingOneIsAppendedTo(t *testing.T) {
	name := filepath.Join(t.TempDir(), "app.log")
	if err := os.WriteFile(name, []byte("cut off"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, func(c *Config) { c.File, c.MaxFiles = name, 2 })
	out := r.drain()
	r.print(0, 10)
	r.end()
	<-out
	all, _ := content(t, name)
	same(t, "the file", all, "cut off\n"+lines(0, 10))

	r = start(t, func(c *Config) { c.File, c.MaxFiles = name, 2 })
	out = r.drain()
	r.print(0, 500_000)
	r.end()
	<-out
	all, sizes := content(t, name)
	if len(sizes) != 3 || !strings.HasSuffix(lines(0, 500_000), all) || len(all) < 19<<20/10 {
		t.Errorf("parts of %d bytes", sizes)
	}
}

// After the first signal it reads to the end, after the second it writes what it has read.
func TestASignalWaitsForTheProgram(t *testing.T) {
	r := start(t, nil)
	out := r.drain()
	r.print(0, 1000)
	r.signals <- syscall.SIGTERM
	r.print(1000, 2000)
	r.end()
	same(t, "stdout", string(<-out), lines(0, 2000))

	r = start(t, nil)
	out = r.drain()
	r.print(0, 1000)
	io.WriteString(r.in, "half")
	for len(r.signals) < 2 {
		if all, err := os.ReadFile(r.cfg.File); err == nil && len(all) == len(lines(0, 1000)) {
			r.signals <- syscall.SIGTERM
			r.signals <- syscall.SIGTERM
			break
		}
	}
	r.wait(nil) // stdin is still open
	same(t, "stdout", string(<-out), lines(0, 1000)+"half")
	all, _ := content(t, r.cfg.File)
	same(t, "the file", all, lines(0, 1000)+"half")

	r = start(t, func(c *Config) { c.Grace = 20 * time.Millisecond })
	out = r.drain()
	r.print(0, 10)
	r.signals <- syscall.SIGTERM
	r.wait(nil)
	same(t, "stdout", string(<-out), lines(0, 10))
}

// Reading is over, and the program has written what nobody has read yet.
func TestWhatIsInThePipeAtTheEndIsRead(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	defer in.Close() // after the end: the program lives
	text := strings.Repeat(lines(0, 100), 50) + "half"
	if _, err := io.WriteString(in, text); err != nil {
		t.Fatal(err)
	}
	v, over := newVoice(io.Discard), newGate()
	defer v.close()
	defer over.close()
	over.open()
	toOut, toFile := newQueue("stdout", 1<<20, time.Minute, v), newQueue("file", 1<<20, time.Minute, v)
	if err := copyIn(out, over, toOut, toFile); err != nil {
		t.Error(err)
	}
	if toOut.left() != len(text) || toFile.left() != len(text) {
		t.Errorf("%d and %d bytes of %d", toOut.left(), toFile.left(), len(text))
	}
}

func TestAClosedOutputDoesNotEndTheProgram(t *testing.T) {
	r := start(t, nil)
	r.out.Close()
	r.print(0, 400_000)
	r.end()
	all, _ := content(t, r.cfg.File)
	same(t, "the file", all, lines(0, 400_000))
	if s := r.said.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "broken pipe: going on with the file") {
		t.Errorf("said %s", s)
	}
}

// Nobody reads stdout, for ever and then again: the program waits for max-block once, the file has
// everything, and stdout has whole lines with some of them missing.
func TestAStuckOutputHoldsNobodyUp(t *testing.T) {
	r := start(t, nil)
	r.print(0, 400_000)
	out := r.drain()
	r.print(400_000, 400_010)
	r.end()
	all, _ := content(t, r.cfg.File)
	same(t, "the file", all, lines(0, 400_010))
	got := strings.SplitAfter(string(<-out), "\n")
	at := -1
	for _, l := range got[:len(got)-1] {
		var n int
		if _, err := fmt.Sscanf(l, "line %d\n", &n); err != nil || n <= at {
			t.Fatalf("%q after line %d", l, at)
		}
		at = n
	}
	if s := r.said.String(); !strings.Contains(s, "stdout:") || !strings.Contains(s, "dropped") || strings.Count(s, "\n") > 5 {
		t.Errorf("said %s", s)
	}
	t.Logf("%d of 400010 lines passed on; said %s", len(got)-1, r.said.String())
}

func TestAStuckOutputEndsWithTheGrace(t *testing.T) {
	r := start(t, func(c *Config) { c.Grace = 50 * time.Millisecond })
	r.print(0, 100_000)
	r.end()
	all, _ := content(t, r.cfg.File)
	same(t, "the file", all, lines(0, 100_000))
	if s := r.said.String(); !strings.Contains(s, "could not be written") {
		t.Errorf("said %s", s)
	}
}

var marker = regexp.MustCompile(`^spillway tee: (\d+) lines \((\d+) bytes\) dropped here: no space left on device\n$`)

// The disk of the file is full for a while: stdout has everything, the program is not held up, and
// what is missing in the file is marked where it is, to the line.
func TestAFullDiskIsMarkedInTheFile(t *testing.T) {
	smalldisk.On(t, 16, func(t *testing.T, disk string) {
		r := start(t, func(c *Config) { c.File = filepath.Join(disk, "app.log") })
		out := r.drain()
		r.print(0, 1000)
		empty := smalldisk.Fill(t, disk)
		r.print(1000, 500_000)
		empty()
		for !strings.Contains(r.said.String(), "works again") {
			select {
			case err := <-r.ended:
				t.Fatal(err)
			case <-time.After(5 * time.Millisecond):
			}
		}
		r.print(500_000, 500_100)
		r.end()
		same(t, "stdout", string(<-out), lines(0, 500_100))
		all, _ := content(t, r.cfg.File)
		next, marks, dropped := 0, 0, 0
		for _, l := range strings.SplitAfter(all, "\n") {
			if l == "" {
				continue
			}
			if m := marker.FindStringSubmatch(l); m != nil {
				var n int
				fmt.Sscan(m[1], &n)
				if want := len(lines(next, next+n)); fmt.Sprint(want) != m[2] {
					t.Errorf("%s: want %d bytes", l, want)
				}
				next, marks, dropped = next+n, marks+1, dropped+n
				continue
			}
			if want := fmt.Sprintf("line %d\n", next); l != want {
				t.Fatalf("%q, want %q", l, want)
			}
			next++
		}
		if next != 500_100 || marks == 0 {
			t.Errorf("%d lines and %d marks account for %d of 500100 lines", next-dropped, marks, next)
		}
		if n := strings.Count(r.said.String(), "\n"); n > 8 {
			t.Errorf("said %d lines: %s", n, r.said.String())
		}
		t.Logf("%d of 500100 lines dropped in %d gaps; said %s", dropped, marks, r.said.String())
	})
}

func TestADiskThatStaysFullIsAFailure(t *testing.T) {
	smalldisk.On(t, 16, func(t *testing.T, disk string) {
		smalldisk.Fill(t, disk)
		r := start(t, func(c *Config) { c.File, c.Grace = filepath.Join(disk, "app.log"), 50*time.Millisecond })
		out := r.drain()
		r.print(0, 10_000)
		r.in.Close()
		select {
		case err := <-r.ended:
			if err == nil || !strings.Contains(err.Error(), "bytes could not be written to") {
				t.Errorf("ended with %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("it does not end")
		}
		same(t, "stdout", string(<-out), lines(0, 10_000))
	})
}
