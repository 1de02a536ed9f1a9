package tail

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// whole reads all of text by one reader, that begins anew behind every chunk of those in restarts.
func whole(t *testing.T, cfg MultilineConfig, text []byte, restarts []byte) (lines []string) {
	t.Helper()
	var budget atomic.Int64
	budget.Store(unfinishedBytes)
	c := DefaultConfig()
	c.Format, c.MaxLineBytes = FormatPlain, 1<<20
	r := newReader(1, identity{}, &config{Config: c, join: cfg.joining()}, &budget)
	r.decide(nil, true)
	var sum tally
	for turn := 0; ; turn++ {
		chunk := &Chunk{}
		more, err := r.read(window{text, 100}, nil, int64(len(text)), chunk)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			r.finish(chunk)
		}
		for _, l := range chunk.Lines {
			lines = append(lines, string(l.Text))
		}
		r.taken = r.taken.addAll(chunk.done)
		sum.bytesEmitted += chunk.tally.bytesEmitted
		sum.bytesJoined += chunk.tally.bytesJoined
		sum.bytesDropped += chunk.tally.bytesDropped
		if !more {
			break
		}
		if turn < len(restarts) && restarts[turn]%2 == 1 {
			r.rewind()
		}
	}
	if got := r.taken; len(text) > 0 && (len(got) != 1 || got[0] != span{0, int64(len(text))}) {
		t.Fatalf("taken %v of %d bytes", got, len(text))
	}
	if sum.bytesRead() != uint64(len(text)) {
		t.Fatalf("the account has %d of %d bytes", sum.bytesRead(), len(text))
	}
	if budget.Load() != unfinishedBytes {
		t.Fatalf("%d bytes of the budget were not given back", unfinishedBytes-budget.Load())
	}
	return lines
}

// A window is a file that gives out only so much at a time.
type window struct {
	text []byte
	most int
}

func (w window) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(w.text)) {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), w.most+seamBytes)], w.text[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Whatever is joined, no line is lost, made up or moved, wherever a window ends and whenever the
// process does.
func FuzzMultiline(f *testing.F) {
	f.Add([]byte("a\nTraceback (most recent call last):\n  File \"a.py\", line 1\n    x\nKeyError: 1\nb\n"), []byte{1, 0, 1}, false)
	f.Add([]byte("java.lang.Error: x\n\tat a.b(C.java:1)\n\t... 3 more\nCaused by: y.Z: w\n\tat d\n{\"event\":1}\n"), []byte{0, 1}, false)
	f.Add([]byte("panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1 +0x1\nexit status 2\n"), []byte{1, 1, 1}, false)
	f.Add([]byte("Error: x\n    at f (a.js:1:1) {\n  code: 1\n}\n\n"), []byte{}, false)
	f.Add([]byte("2026 a\n b\n2026 c\n\n\nd"), []byte{1}, true)
	f.Fuzz(func(t *testing.T, text, restarts []byte, custom bool) {
		if bytes.Contains(text, nuls) || len(text) > 4096 {
			return
		}
		cfg := MultilineConfig{MaxLines: 7, MaxBytes: 300}
		if custom {
			cfg = MultilineConfig{LineStartPattern: "^2", MaxLines: 7}
		}
		lines := whole(t, cfg, text, restarts)
		var got, want []string
		for _, l := range lines {
			got = append(got, strings.Split(l, "\n")...)
		}
		for l := range bytes.SplitSeq(text, newline) {
			want = append(want, string(bytes.TrimLeft(bytes.TrimSuffix(l, []byte("\r")), "\x00")))
		}
		blank := func(s string) bool { return strings.Trim(s, "\r") == "" } // that end a trace are left out
		got, want = slices.DeleteFunc(got, blank), slices.DeleteFunc(want, blank)
		for i := range min(len(got), len(want)) {
			if strings.TrimSuffix(got[i], "\r") != strings.TrimSuffix(want[i], "\r") {
				t.Fatalf("line %d is %q, not %q", i, got[i], want[i])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d lines, not %d: %q", len(got), len(want), got)
		}
		if len(restarts) == 0 {
			return
		}
		if again := whole(t, cfg, text, nil); len(again) == 0 && len(lines) > 0 {
			t.Fatal("nothing without a restart")
		}
	})
}

func TestABlockIsBoundedByMemory(t *testing.T) {
	r := newRig(t)
	r.write("a.log", "Traceback (most recent call last):\n"+strings.Repeat("  "+strings.Repeat("x", 1000)+"\n", 50)+"KeyError: 1\n")
	r.start()
	r.tailer.budget.Store(10_000)
	text := strings.Join(r.read(), "|") + strings.Join(r.pass(5*time.Second), "|")
	if n := strings.Count(text, strings.Repeat("x", 1000)); n != 50 {
		t.Errorf("%d of 50 lines", n)
	}
	r.balanced()
	if left := r.tailer.budget.Load(); left != 10_000 {
		t.Errorf("%d bytes of the budget were not given back", 10_000-left)
	}
}
