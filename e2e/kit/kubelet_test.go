package kit

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// texts is what the lines of a container's files say, oldest file first.
func texts(t *testing.T, k *Kubelet) (all []string) {
	t.Helper()
	rotated, err := k.rotated()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(rotated, k.Log.Name()) {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var from io.Reader = f
		if strings.HasSuffix(name, gz) {
			if from, err = gzip.NewReader(f); err != nil {
				t.Fatal(err)
			}
		}
		b, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			_, text, _ := strings.Cut(line, " stdout F ")
			all = append(all, strings.TrimSuffix(text, "\n"))
		}
	}
	return all
}

// What it does to files loses nothing by itself: the proof would be none else.
func TestTheKubeletKeepsEveryLine(t *testing.T) {
	log, err := NewCRILog(filepath.Join(t.TempDir(), "pod", "c", "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	k := &Kubelet{Log: log, MaxFiles: 5, Collide: true}
	const lines = 20_000
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range lines {
			if _, err := log.Write("stdout", fmt.Sprint(i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 40 {
		if err := k.Pass(false, i%5 != 4); err != nil {
			t.Fatal(err)
		}
	}
	writing.Wait()
	got := texts(t, k)
	if len(got) != lines {
		t.Fatalf("%d lines of %d", len(got), lines)
	}
	for i, text := range got {
		if text != fmt.Sprint(i) {
			t.Fatalf("line %d says %s", i, text)
		}
	}
}

func TestTheKubeletsFiles(t *testing.T) {
	dir := t.TempDir()
	log, err := NewCRILog(filepath.Join(dir, "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	k := &Kubelet{Log: log, MaxFiles: 5}
	if err := os.WriteFile(filepath.Join(dir, "0.log.20260102-030405.tmp"), []byte("half"), 0o640); err != nil {
		t.Fatal(err)
	}
	for range 9 {
		if err := k.Pass(true, true); err != nil {
			t.Fatal(err)
		}
	}
	rotated, err := k.rotated()
	if err != nil {
		t.Fatal(err)
	}
	var plain []string
	for _, name := range rotated {
		if !strings.HasSuffix(name, gz) {
			plain = append(plain, name)
		}
	}
	// Three stay before the rename, which makes a fourth: with the one that is written, five.
	if len(rotated) != 4 || len(plain) != 1 || plain[0] != rotated[3] {
		t.Errorf("rotated %q, want three that are compressed and then one that is not", rotated)
	}
}

// A line that a rotation cuts is said to be cut.
func TestACutLineIsKnown(t *testing.T) {
	log, err := NewCRILog(filepath.Join(t.TempDir(), "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if cut, err := log.Write("stderr", "a", strings.Repeat("x", 3*maxPiece), "b"); cut || err != nil {
		t.Fatal(cut, err)
	}
	b, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for line := range strings.Lines(string(b)) {
		tags = append(tags, strings.Fields(line)[2])
	}
	if got := strings.Join(tags, ""); got != "FPPFF" {
		t.Errorf("tags %s", got)
	}
}
