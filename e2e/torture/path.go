package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The path of numbers is what is known of how they went: who sent them when to whom, and what the
// tables say of them or of their neighbours. events.log has what was done to whom at that time.

// from is the send that number n was in.
func (w *writer) from(n uint64) send {
	i, found := slices.BinarySearchFunc(w.book.sends, n, func(s send, n uint64) int { return int(int64(s.first) - int64(n)) })
	if !found {
		i--
	}
	return w.book.sends[i]
}

func (s send) String() string {
	outcomes := [...]string{acked: "acknowledged", unanswered: "not answered", refused: "refused"}
	ms := func(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }
	return fmt.Sprintf("sent with %d to %d at +%s, %s after %s", s.first, s.first+uint64(s.count)-1, ms(s.began), outcomes[s.outcome], ms(s.took))
}

const (
	// maxRuns is how many runs of numbers are named of a writer; all are counted.
	maxRuns = 50
	// maxTraced is how many of them are traced, and maxRows how much is said of each.
	maxTraced, maxRows = 4, 6
)

// trace says which numbers of the writer are lost or duplicated, and of the first what is known.
func (w *writer) trace(ctx context.Context, d database, what string, numbers runs, t *tally) {
	if len(numbers) == 0 {
		return
	}
	t.note("%s: %s of %s, %d runs of numbers: %s", what, w.signal.name, w.writer, len(numbers), numbers.first(maxRuns))
	for _, r := range numbers.first(maxTraced) {
		s := w.from(r.from)
		t.note("  %d was %s by %s", r.from, s, w.agent)
		w.show(ctx, d, fmt.Sprintf("BETWEEN %d AND %d", r.from, r.to), t)
		if what == "lost" { // what came with them has the stream, and numbers close by
			w.show(ctx, d, fmt.Sprintf("BETWEEN %d AND %d", s.first, s.first+uint64(s.count)-1), t)
			w.show(ctx, d, fmt.Sprintf("IN (%d, %d)", int64(r.from)-1, r.to+1), t)
		}
	}
}

// show says under which identities, when and in which parts the numbers are that which selects.
func (w *writer) show(ctx context.Context, d database, which string, t *tally) {
	for _, table := range w.signal.tables {
		said, err := d.text(ctx, fmt.Sprintf(`SELECT min(n), max(n), count(), IngestStream, IngestSeq, InsertedAt, _part FROM (
			SELECT toInt64OrDefault(%s, toInt64(-1)) AS n, IngestStream, IngestSeq, InsertedAt, _part FROM %s WHERE %s) WHERE n %s
			GROUP BY IngestStream, IngestSeq, InsertedAt, _part ORDER BY min(n), InsertedAt LIMIT %d`, w.column(attrNumber), table, w.mine(), which, maxRows))
		if err != nil {
			t.note("    %v", err)
			continue
		}
		for line := range strings.Lines(said) {
			if f := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(f) == 7 {
				t.note("    %s has %s to %s, rows %s, stream %s, seq %s, inserted at %s, part %s", table, f[0], f[1], f[2], f[3], f[4], f[5], f[6])
			}
		}
	}
}
