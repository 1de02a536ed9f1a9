package tail

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What an earlier copy holds is safe by the position of what it was copied from. That is not forgotten
// before the position of the copy is safe itself.
func TestAPositionIsKeptUntilThatOfTheCopyIsSafe(t *testing.T) {
	r := newRig(t)
	r.write("app.log", "one line of this log\n")
	r.start()
	r.want(r.read(), "one line of this log")
	r.write("app.log.1", "one line of this log\n")
	r.write("app.log", "and one that was not copied\n")
	r.want(r.look(), "and one that was not copied")
	r.truncate("app.log")
	r.write("app.log", "another\n")

	var late *Chunk
	var got []string
	for range 5 {
		r.now = r.now.Add(time.Second)
		r.tailer.look(r.now)
		r.tailer.scan(r.now)
		for c := r.next(); c != nil; c = r.next() {
			if c.file != nil && filepath.Base(c.file.name) == "app.log.1" {
				late = c
				continue
			}
			got = append(got, r.take(c)...)
		}
	}
	r.want(got, "another")
	if late == nil {
		t.Fatal("the copy has no position")
	}
	r.tailer.Done(late, false)
	r.restart()
	r.want(r.pass(time.Minute))
}

// A shortening is a file that has another content by the time that it is read a second time.
type shortening struct {
	*bytes.Reader
	then string
}

func (s *shortening) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.Reader.ReadAt(p, off)
	s.Reader = bytes.NewReader([]byte(s.then))
	return n, err
}

// A file is truncated and written to again between the look at its beginning and the reading.
func TestAFileThatChangesDuringItsTurn(t *testing.T) {
	r := newRig(t)
	r.create()
	file := &shortening{bytes.NewReader([]byte("one\n")), "two\n"}
	c := &Chunk{}
	head, err := readHead(file, c.head[:])
	r.must(err)
	f := newReader(1, identity{}, &r.tailer.configs[0], &r.tailer.budget)
	f.decide(head, false)
	if _, err := f.read(file, head, 4, c); !errors.Is(err, errOverwritten) || len(c.Lines) > 0 {
		t.Errorf("%d lines, %v", len(c.Lines), err)
	}
}

// A file is truncated between the comparison of its beginning with that of its copy, and that of their ends:
// it is no file of another content, but one that has to be looked at again.
func TestAFileThatIsTruncatedWhileItIsCompared(t *testing.T) {
	const text = "what both of them hold\n"
	copied := strings.NewReader(text)
	for then, want := range map[string]verdict{text: same, "": stale, "new\n": stale, text + "more\n": same, "what others hold, and mor\n": differs} {
		if v, err := alike(copied, strings.NewReader(then), int64(len(text))); v != want || err != nil {
			t.Errorf("%q: %v, want %v, %v", then, v, want, err)
		}
	}
}
