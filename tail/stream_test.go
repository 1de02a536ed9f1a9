package tail

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A drip gives a text in pieces of random length, with pauses.
type drip struct {
	text   string
	r      *rand.Rand
	most   int
	pauses bool
}

func (d *drip) Read(p []byte) (int, error) {
	if d.text == "" {
		return 0, io.EOF
	}
	if d.pauses && d.r.IntN(5) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, d.text[:min(len(d.text), 1+d.r.IntN(d.most))])
	d.text = d.text[n:]
	return n, nil
}

func streamed(t *testing.T, in io.Reader, cfg Config) (lines []string) {
	t.Helper()
	s, err := NewStream(in, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for {
		got, err := s.Next()
		lines = append(lines, texts(&Chunk{Lines: got})...)
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAStreamHasTheLinesOfAFile(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	trace := "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    x()\nValueError: no\n"
	for name, text := range map[string]string{
		"plain":   "one\n\ntwo\r\n" + strings.Repeat("many\n", 100_000) + trace + strings.Repeat("x", 5000) + "\nno end",
		"cri":     cri("stdout", "P", "ha") + cri("stderr", "F", "err") + cri("stdout", "F", "lf") + cri("stdout", "P", "begun"),
		"docker":  `{"log":"one\n","stream":"stdout","time":"2024-05-06T07:08:09Z"}` + "\n" + `{"log":"two","stream":"stderr","time":"2024-05-06T07:08:09Z"}` + "\n",
		"nothing": "",
		"short":   "x",
	} {
		rig := newRig(t, func(c *Config) { c.MaxLineBytes = 4000 })
		rig.write("a.log", text)
		rig.start()
		want := rig.read()
		rig.remove("a.log")
		want = append(want, rig.pass(20e9)...)
		cfg := rig.cfg[0]
		for _, most := range []int{1, 100, 1 << 20} {
			if most == 1 && len(text) > 10_000 {
				continue
			}
			got := streamed(t, &drip{text: text, r: r, most: most}, cfg)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s in pieces of %d (-file +stream):\n%.2000s", name, most, diff)
			}
		}
	}
}

func TestAStreamPassesOnWhatWaitsWhenNothingComes(t *testing.T) {
	cfg := DefaultConfig()
	r, w := io.Pipe()
	go func() {
		io.WriteString(w, "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n")
		w.CloseWithError(os.ErrDeadlineExceeded)
	}()
	s, err := NewStream(r, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		lines, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(lines) > 0 {
			if n := strings.Count(string(lines[0].Text), "\n"); len(lines) != 1 || n != 1 {
				t.Errorf("%d lines, the first with %d line ends", len(lines), n)
			}
			return
		}
	}
	t.Error("nothing was passed on")
}

func TestAStreamForgetsWhatItRead(t *testing.T) {
	var b strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	s, err := NewStream(strings.NewReader(b.String()), DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; {
		lines, err := s.Next()
		for _, l := range lines {
			if want := fmt.Sprintf("line %d", n); string(l.Text) != want {
				t.Fatalf("%q, want %q", l.Text, want)
			}
			n++
		}
		if len(s.buf.data) > 2*windowBytes {
			t.Fatalf("%d bytes are kept", len(s.buf.data))
		}
		if err == io.EOF {
			if n != 300_000 {
				t.Errorf("%d lines", n)
			}
			return
		}
	}
}

var _ io.ReaderAt = (*rolling)(nil)
