package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-io/spillway/forward/clickhouse"
	"github.com/spillway-io/spillway/wal"
)

const someKey = "000102030405060708090a0b0c0d0e0f"

// told reads ledgers and logs, and says what became of numbers.
func told(t *testing.T, stream string, from, to uint64, paths ...string) string {
	t.Helper()
	f := make(fates)
	for _, path := range paths {
		if err := f.read(path); err != nil {
			t.Fatal(err)
		}
	}
	f.sort()
	var out []string
	for _, r := range f[stream].explain(from, to) {
		out = append(out, fmt.Sprintf("%d-%d %s", r.from, r.to, r.why))
	}
	return strings.Join(out, ", ")
}

func ledgerOf(t *testing.T, losses ...wal.Loss) string {
	t.Helper()
	var text []byte
	for _, l := range losses {
		line, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, line...), '\n')
	}
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	if err := os.WriteFile(path, append(text, `{"cut`...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestALedgerExplainsItsRanges(t *testing.T) {
	now := time.Now()
	ledger := ledgerOf(t,
		wal.Loss{Reason: "evicted", Stream: someKey, FromSeq: 10, ToSeq: 20, FromTime: now},
		wal.Loss{Reason: "purged", Stream: someKey, FromSeq: 15, ToSeq: 30, FromTime: now}, // some of it was gone
		wal.Loss{Reason: "refused", Stream: someKey},                                       // number 0
		wal.Loss{Reason: "corrupt", Stream: someKey, Items: 7},                             // no numbers
		wal.Loss{Reason: "corrupt", Items: 7},                                              // of nobody knows what
		wal.Loss{Reason: "evicted", Stream: strings.Repeat("ff", 16), FromSeq: 0, ToSeq: 100, FromTime: now},
	)
	id := idOfKey(someKey)
	for _, c := range []struct {
		from, to uint64
		want     string
	}{
		{0, 5, "0-0 refused, 1-5 "},
		{5, 12, "5-9 , 10-12 evicted"},
		{12, 17, "12-17 evicted"},
		{18, 40, "18-20 evicted, 21-30 purged, 31-40 "},
		{31, 31, "31-31 "},
	} {
		if got := told(t, id, c.from, c.to, ledger); got != c.want {
			t.Errorf("%d to %d: %q, want %q", c.from, c.to, got, c.want)
		}
		if got := told(t, id, c.from, c.to, filepath.Dir(ledger)); got != c.want {
			t.Errorf("%d to %d, by the directory: %q, want %q", c.from, c.to, got, c.want)
		}
	}
	if got, want := told(t, someKey, 10, 20, ledger), "10-20 "; got != want {
		t.Errorf("the key is taken for an id: %q, want %q", got, want)
	}
	for name, text := range map[string]string{"other.json": "{}\n", "text": "a line\n"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := make(fates).read(path); err == nil || !strings.Contains(err.Error(), "line 1 is not of a ledger") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := make(fates).read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a log") {
		t.Errorf("an empty directory: %v", err)
	}
}

// Records that are held, parked or set aside are no gaps. What carries a cursor only has no number.
func TestALogExplainsWhatItHolds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wal")
	if err := makeLog(dir); err != nil { // six records, of which 1 is a dead letter
		t.Fatal(err)
	}
	s, err := wal.Open(wal.Config{Dir: dir, Lanes: []string{"logs"}, MaxBytes: 64 << 20, MinFreeBytes: 1, NewFold: newFold})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []wal.Record{{Items: 1, Data: someLogs(1, "x")}, {Meta: []byte("a cursor")}, {Items: 1, Data: someLogs(1, "y")}} {
		if err := s.Lane("logs").Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	in, err := wal.Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	var streams []string
	if _, err := in.Read("logs", func(r wal.Found) error {
		if id := streamID(r.Stream); len(streams) == 0 || streams[len(streams)-1] != id {
			streams = append(streams, id)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(streams) != 2 {
		t.Fatalf("streams %q", streams)
	}
	if got, want := told(t, streams[0], 0, 7, dir), "0-5 held, 6-7 "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := told(t, streams[1], 0, 3, dir), "0-1 held, 2-3 "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// Without the lanes it is the dead letter, and the ledger's line about it, that tell.
	for _, lane := range []string{"logs", "parked-logs"} {
		if err := os.RemoveAll(filepath.Join(dir, lane)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "ledger.jsonl")); err != nil {
		t.Fatal(err)
	}
	if got, want := told(t, streams[0], 0, 2, dir), "0-0 , 1-1 refused, 2-2 "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A loss without numbers explains what is missing as long as it is not more than was lost.
func TestLossesWithoutNumbers(t *testing.T) {
	id := idOfKey(someKey)
	for _, c := range []struct {
		losses  []wal.Loss
		missing uint64
	}{
		{nil, 3},
		{[]wal.Loss{{Reason: "corrupt", Stream: someKey, Items: 2}}, 3},
		{[]wal.Loss{{Reason: "corrupt", Stream: someKey, Items: 3}}, 0},
		{[]wal.Loss{{Reason: "corrupt", Stream: someKey}}, 0},
	} {
		f := make(fates)
		for _, l := range c.losses {
			f.loss(l)
		}
		f.sort()
		r := newReport(f, 1)
		r.gap("logs", id, clickhouse.Gap{From: 4, To: 5})
		r.gap("logs", id, clickhouse.Gap{From: 8, To: 8})
		r.gap("logs", id, clickhouse.Gap{From: 9, To: 9, Expired: true})
		r.gap("logs", "other", clickhouse.Gap{From: 1, To: 1, Recent: true})
		r.end([]clickhouse.StreamSeen{{Signal: "logs", ID: id, Last: 10, Records: 6}, {Signal: "logs", ID: "other", Last: 2, Records: 2}})
		sum := r.Signals[0].counts
		if want := (counts{Gaps: c.missing - c.missing/3, Missing: c.missing, Explained: 3 - c.missing, Unknown: 2}); sum != want {
			t.Errorf("%+v: %+v, want %+v", c.losses, sum, want)
		}
		if r.Clean != (c.missing == 0) || len(r.Streams) != 1 || r.Streams[0].Stream != id || len(r.Gaps)+len(r.Explained) > 2 {
			t.Errorf("%+v: %+v", c.losses, r)
		}
	}
}

func TestVerifyUsage(t *testing.T) {
	for _, args := range []string{"verify --stream xyz", "verify --stream " + someKey + "00", "verify --since -1h", "verify --ledger /nowhere", "verify --clickhouse ftp://x"} {
		var out, errs strings.Builder
		if code := run(t.Context(), strings.Fields(args), func(string) (string, bool) { return "", false }, &out, &errs); code != 2 {
			t.Errorf("%s: exit %d: %s", args, code, errs.String())
		}
	}
}
