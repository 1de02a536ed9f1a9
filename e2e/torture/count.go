package main

import (
	"context"
	"fmt"
	"math"
	"strings"
)

// A tally is what the tables say of the books.
type tally struct {
	lost       uint64           // acknowledged numbers that are not there
	duplicated uint64           // rows above the first of a number
	stored     [outcomes]uint64 // numbers that are there, by what their sender knows
	strange    uint64           // rows that nobody sent
	paths      []string         // what is lost or duplicated, and what is known of it
}

func (t *tally) note(format string, args ...any) {
	t.paths = append(t.paths, fmt.Sprintf(format, args...))
}

// count holds the books of writers, which are all that wrote into d, against its tables.
func count(ctx context.Context, d database, list []*writer) (t tally, err error) {
	rows := make(map[string]uint64)
	for _, w := range list {
		there, err := w.stored(ctx, d, rows)
		if err != nil {
			return t, err
		}
		lost, twice := w.compare(there, &t)
		w.trace(ctx, d, "lost", lost, &t)
		w.trace(ctx, d, "duplicated", twice, &t)
	}
	for table, ours := range rows {
		if err := d.pairs(ctx, "SELECT count(), toUInt64(0) FROM "+table, func(n, _ uint64) { t.strange += n - ours }); err != nil {
			return t, err
		}
	}
	return t, nil
}

// stored is how often each of the writer's numbers is in the tables. Its rows are added to those
// of each table.
func (w *writer) stored(ctx context.Context, d database, rows map[string]uint64) ([]uint8, error) {
	there := make([]uint8, w.book.next)
	for _, table := range w.signal.tables {
		sql := fmt.Sprintf("SELECT toUInt64OrZero(%s) AS n, count() FROM %s WHERE %s GROUP BY n", w.column(attrNumber), table, w.mine())
		rows[table] += 0
		err := d.pairs(ctx, sql, func(n, count uint64) {
			if n < uint64(len(there)) { // else it is strange
				rows[table] += count
				there[n] = uint8(min(uint64(there[n])+count, math.MaxUint8))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return there, nil
}

// compare holds what is there against the book.
func (w *writer) compare(there []uint8, t *tally) (lost, twice runs) {
	for _, s := range w.book.sends {
		for n := s.first; n < s.first+uint64(s.count); n++ {
			switch {
			case there[n] > 0:
				t.stored[s.outcome]++
			case s.outcome == acked:
				t.lost++
				lost = lost.add(n)
			}
			if there[n] > 1 {
				t.duplicated += uint64(there[n]) - 1
				twice = twice.add(n)
			}
		}
	}
	return lost, twice
}

func (w *writer) column(attribute string) string {
	return fmt.Sprintf("%s['%s']", w.signal.attributes, attribute)
}

// mine selects the writer's rows. The names are ours and need no quoting.
func (w *writer) mine() string {
	return fmt.Sprintf("%s = '%s' AND %s = '%s'", w.column(attrRun), w.run, w.column(attrWriter), w.writer)
}

// A runOf is numbers without a gap, the last one included.
type runOf struct{ from, to uint64 }

// runs are in order.
type runs []runOf

func (r runs) add(n uint64) runs {
	if last := len(r) - 1; last >= 0 && r[last].to+1 == n {
		r[last].to = n
		return r
	}
	return append(r, runOf{n, n})
}

func (r runs) first(n int) runs { return r[:min(n, len(r))] }

func (r runs) String() string {
	var all []string
	for _, one := range r {
		if one.from == one.to {
			all = append(all, fmt.Sprint(one.from))
		} else {
			all = append(all, fmt.Sprintf("%d to %d", one.from, one.to))
		}
	}
	return strings.Join(all, ", ")
}
