package wal_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spillway-io/spillway/wal"
	"github.com/spillway-io/spillway/wal/faultfs"
)

// Whoever counts by numbers where records arrive misses none that was not lost: what only carries
// meta has no number, and the numbers of a failed append are in the ledger.
func TestEveryNumberIsARecordOrWrittenDown(t *testing.T) {
	for _, mode := range []string{"written", "deferred"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			fs := faultfs.New(dir)
			s, err := wal.Open(wal.Config{Dir: dir, Lanes: []string{"logs"}, MaxBytes: 64 << 20, MinFreeBytes: 1, FS: fs})
			if err != nil {
				t.Fatal(err)
			}
			l := s.Lane("logs")
			put := func(recs ...wal.Record) error {
				if mode == "deferred" {
					return l.Defer(recs...)
				}
				return l.Append(t.Context(), recs...)
			}
			record, cursor := wal.Record{Items: 1, Data: []byte("x")}, wal.Record{Meta: []byte("a cursor")}
			for _, recs := range [][]wal.Record{{record, cursor}, {cursor}, {record}, {cursor, record, cursor}} {
				if err := put(recs...); err != nil {
					t.Fatal(err)
				}
			}
			fs.Fail(faultfs.Fault{Kind: faultfs.Write, Op: "generation", Times: -1, Err: syscall.ENOSPC, Done: true})
			for range 2 {
				if err := l.Append(t.Context(), record, record); !errors.Is(err, wal.ErrFull) {
					t.Fatal(err)
				}
			}
			fs.Heal()
			if err := l.Append(t.Context(), record); err != nil {
				t.Fatal(err)
			}
			if err := s.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			var numbers []uint64
			for {
				e, err := l.Next(context.Background())
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if len(e.Data) == 0 {
					t.Error("a cursor was handed out")
				}
				numbers = append(numbers, e.Seq)
				l.Ack(e)
			}
			left := uint64(0)
			for _, n := range numbers {
				left |= 1 << n
			}
			if left != 0b1000_0111 || len(numbers) != 4 {
				t.Errorf("numbers %v, want 0, 1, 2 and 7 in any order", numbers)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if text := string(fs.ReadFile(filepath.Join(dir, "ledger.jsonl"))); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"unused"`) || !strings.Contains(text, `"from_seq":3,"to_seq":6`) {
				t.Errorf("ledger %q, want the numbers 3 to 6", text)
			}
		})
	}
}
