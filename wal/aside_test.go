package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// At their caps the ledger and the directories beside the lanes drop what is oldest.
func TestWhatIsBesideTheLanesIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, func(c *Config) { c.MaxBytes = 1 << 20 })
	l := s.Lane("logs")
	put(t, l, "x")
	e, _ := l.TryNext()
	for i := range 200 {
		s.Refused("logs", e.Stream, e.Seq, e.Seq, e.Items, int64(len(e.Data)), fmt.Sprint("number ", i, strings.Repeat(" and so on", 30)))
		if err := s.DeadLetters().Put(AsideFile{fmt.Sprintf("%03d.otlp", i), make([]byte, 3000)}, AsideFile{fmt.Sprintf("%03d.json", i), []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DeadLetters().Put(AsideFile{"large", make([]byte, 1<<20)}); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v", err)
	}
	size := func(parts ...string) (n int64) {
		err := filepath.Walk(filepath.Join(append([]string{dir}, parts...)...), func(_ string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() {
				n += info.Size()
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return n
	}
	if got := size("deadletter"); got > 64<<10 || got < 50<<10 {
		t.Errorf("dead letters take %d bytes, cap %d", got, 64<<10)
	}
	if got := size("ledger.jsonl") + size("ledger.jsonl.1"); got > 32<<10 || got < 16<<10 {
		t.Errorf("the ledger takes %d bytes, cap %d", got, 32<<10)
	}
	if got := readLedger(t, dir); !strings.HasPrefix(got[len(got)-1].Detail, "number 199 ") {
		t.Errorf("last line %+v", got[len(got)-1])
	}
	if _, err := os.Stat(filepath.Join(dir, "deadletter", "199.otlp")); err != nil {
		t.Error(err)
	}
}

// Whole generations are moved in; the oldest make room, no more of them than must.
func TestQuarantineTakesGenerations(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, func(c *Config) { c.MaxBytes = 1 << 20 })
	for i := range 10 {
		from := filepath.Join(dir, "logs", fmt.Sprintf("%016x", 0x1000+i))
		if err := os.Mkdir(from, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, segmentName), make([]byte, 15<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.quarantine.Take(from, fmt.Sprintf("%03d", i)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "quarantine"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want(t, names, "006", "007", "008", "009") // 60 of 64 KiB
}

func TestALinkInPlaceOfALaneIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "logs")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir, Lanes: []string{"logs"}}); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("got %v", err)
	}
}

// What is in the log can hold secrets.
func TestNobodyElseCanRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wal")
	s := openStore(t, dir)
	l := s.Lane("logs")
	put(t, l, "x")
	e, _ := l.TryNext()
	s.Refused("logs", e.Stream, e.Seq, e.Seq, e.Items, int64(len(e.Data)), "so")
	if err := s.DeadLetters().Put(AsideFile{"a", []byte("b")}); err != nil {
		t.Fatal(err)
	}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
