package agent

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/spillway-io/spillway/wal"
	"github.com/spillway-io/spillway/wal/smalldisk"
)

// Hints are written on a disk without a free block, and read by the next process.
func TestTheViewIsWrittenOnAFullDisk(t *testing.T) { smalldisk.On(t, 32, viewOnAFullDisk) }

func viewOnAFullDisk(t *testing.T, disk string) {
	dir := filepath.Join(disk, "wal")
	path := filepath.Join(dir, "view.db")
	s, err := wal.Open(wal.Config{Dir: dir, Lanes: []string{"logs"}, MaxBytes: 16 << 20, MinFreeBytes: 1 << 20, GenerationBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v := openView(path, slog.New(slog.NewTextHandler(t.Output(), nil)))
	l := s.Lane("logs")
	const generations = 300 // of two records; one is acknowledged, so that a hint about each is kept
	one := wal.Record{Items: 1, Data: []byte("written")}
	for range generations {
		if err := l.Append(t.Context(), one, one); err != nil {
			t.Fatal(err)
		}
	}
	smalldisk.Fill(t, disk)
	for i := range 2 * generations {
		e, err := l.TryNext()
		if err != nil || e == nil {
			t.Fatalf("%v, %v", e, err)
		}
		if i%2 == 1 {
			continue
		}
		l.Ack(e)
		if i%20 == 0 {
			if err := v.commit(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := v.commit(s); err != nil {
		t.Fatal(err)
	}
	if err := v.close(); err != nil {
		t.Fatal(err)
	}
	again := openView(path, slog.New(slog.DiscardHandler))
	defer again.close()
	seen := 0
	s.Progress(func(stream wal.Key, gen uint64, offset int64, items uint64) {
		if o, n := again.done(stream, gen); o != offset || n != items || n != 1 {
			t.Errorf("hint %d, %d, want %d, %d", o, n, offset, items)
		}
		seen++
	})
	if seen != generations {
		t.Errorf("%d hints", seen)
	}
}
