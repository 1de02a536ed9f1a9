package wal_test

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/spillway-io/spillway/wal"
)

var update = flag.Bool("update", false, "write testdata/ of the current version again; never of an older one")

const goldenDir = "testdata/v1"

// golden is what testdata/v1 holds: data, items, seq, meta.
var golden = []string{
	"one 1 0 m1", "two 2 1 m2", "three 3 2 ", // the first generation
	"four 4 3 ", "six 6 5 m6", // number 4 was delivered from memory; its meta came last, as number 6
	"seven 7 0 ", // another process
}

// writeGolden makes a log with every type of frame, several generations, two streams, a gap in
// the numbers, and records whose order is not that of their numbers.
func writeGolden(t *testing.T) {
	dir := t.TempDir()
	add := func(l *wal.Log, data string, items int, meta string) {
		if err := l.Append(t.Context(), wal.Record{Items: items, Accepted: int64(1e18) + int64(items), Meta: []byte(meta), Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := wal.Open(goldenConfig(dir, new(lastMeta)))
	if err != nil {
		t.Fatal(err)
	}
	l := s.Lane("logs")
	add(l, "one", 1, "m1")
	add(l, "two", 2, "m2")
	add(l, "three", 3, "")
	add(l, "four", 4, "")
	for e, _ := l.TryNext(); e != nil; e, _ = l.TryNext() {
	}
	for _, r := range []wal.Record{{Items: 5, Meta: []byte("m5"), Data: []byte("five")}, {Items: 6, Meta: []byte("m6"), Data: []byte("six")}} {
		r.Accepted = int64(1e18) + int64(r.Items)
		if err := l.Defer(r); err != nil {
			t.Fatal(err)
		}
	}
	e, err := l.TryNext()
	if err != nil || e == nil || string(e.Data) != "five" {
		t.Fatal(e, err)
	}
	l.Ack(e)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = wal.Open(goldenConfig(dir, new(lastMeta))); err != nil {
		t.Fatal(err)
	}
	add(s.Lane("logs"), "seven", 7, "")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(goldenDir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(goldenDir, "logs"), os.DirFS(filepath.Join(dir, "logs"))); err != nil {
		t.Fatal(err)
	}
}

func goldenConfig(dir string, fold wal.Fold) wal.Config {
	return wal.Config{Dir: dir, Lanes: []string{"logs"}, MaxBytes: 1 << 20, MinFreeBytes: 1, GenerationBytes: 400,
		NewFold: func(string) wal.Fold { return fold }}
}

// Files that version 1 wrote are read, exactly, by every later version.
func TestFilesOfVersion1AreRead(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(goldenDir)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir(filepath.Join(dir, "logs"))
	if err != nil || len(before) < 3 {
		t.Fatalf("%d generations, %v", len(before), err)
	}
	var fold lastMeta
	s, err := wal.Open(goldenConfig(dir, &fold))
	if err != nil {
		t.Fatal(err)
	}
	l := s.Lane("logs")
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	var got []string
	streams := map[wal.Key]bool{}
	for {
		e, err := l.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Accepted != int64(1e18)+int64(e.Items) {
			t.Errorf("%s was accepted at %d", e.Data, e.Accepted)
		}
		got = append(got, fmt.Sprintf("%s %d %d %s", e.Data, e.Items, e.Seq, e.Meta))
		streams[e.Stream] = true
		l.Ack(e)
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(golden))
	if st := l.Stats(); !slices.Equal(got, want) || len(streams) != 2 || st.Recovered != 23 || st.Lost != 0 || st.Held != 0 {
		t.Errorf("got %q\nwant %q\n%d streams, %+v", got, want, len(streams), st)
	}
	if meta := string(fold.meta); meta != "m5" {
		t.Errorf("the fold is %q", meta)
	}
	s.Close()
}
