package waltest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillway-io/spillway/wal"
)

// logOf leaves a log of several generations and two processes.
func logOf(t *testing.T) (dir string, files []string) {
	dir = t.TempDir()
	for range 2 {
		s, err := wal.Open(wal.Config{Dir: dir, Lanes: []string{"a", "b"}, MaxBytes: 1 << 20, MinFreeBytes: 1, GenerationBytes: 400})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if err := s.Lane("a").Append(t.Context(), wal.Record{Items: i, Data: []byte("some data")}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "a", "*", segmentName))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	return dir, files
}

func TestASoundLogHasNoProblems(t *testing.T) {
	dir, _ := logOf(t)
	if problems := Verify(dir); len(problems) > 0 {
		t.Error(problems)
	}
	s := Open(t, dir, nil, "a", "b")
	for e, err := s.Lane("a").TryNext(); e != nil; e, err = s.Lane("a").TryNext() {
		if err != nil {
			t.Fatal(err)
		}
		s.Lane("a").Ack(e)
	}
}

// Every byte of every file matters.
func TestAFlippedBitIsAProblem(t *testing.T) {
	dir, files := logOf(t)
	for _, name := range files {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range whole {
			whole[i] ^= 1
			if err := os.WriteFile(name, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			if len(Verify(dir)) == 0 {
				t.Errorf("byte %d of %s can be anything", i, filepath.Base(filepath.Dir(name)))
			}
			whole[i] ^= 1
		}
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A name that stands for two records is found: the files of one process with the header of another.
func TestTwoRecordsOfOneNameAreAProblem(t *testing.T) {
	named := map[string]string{}
	f := &file{name: "f", stream: "s", entries: []entry{{typ: 3, seq: 1, data: []byte("x")}, {typ: 3, seq: 1, data: []byte("y")}}}
	found := false
	for _, err := range f.verify(ending{}, false, named) {
		found = found || strings.Contains(err.Error(), "names two records")
	}
	if !found {
		t.Error("not found")
	}
}
