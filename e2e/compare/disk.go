package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// disk sends the same rows through both programs into a real engine, each into the tables that
// it makes itself, and compares what they take when they are merged.
func (o options) disk(ctx context.Context, dir string) error {
	e, err := startEngine(o.engine, dir)
	if err != nil {
		return err
	}
	defer e.stop()
	w := workload{seed: 1, start: yesterday()}
	var errs []error
	for _, s := range o.signals() {
		l := load{signal: s, count: o.rows / s.perRequest, request: func(n int) []byte { return s.make(w, n) }, conns: o.conns, callers: o.callers}
		fmt.Printf("%s: %d rows\n", s.name, l.rows())
		stored := make(map[string]footprint)
		for _, p := range o.programs() {
			if err := fill(ctx, dir, p, l, e); err != nil {
				return fmt.Errorf("%s, %s: %w", p.name, s.name, err)
			}
			if stored[p.name], err = e.footprint(ctx, p.name, s.tables); err != nil {
				return fmt.Errorf("%s, %s: %w", p.name, s.name, err)
			}
		}
		ours, peers := stored["spillway"], stored["otelcol"]
		printFootprints(l.rows(), ours, peers)
		if o.side != "" {
			continue
		}
		ratio := float64(ours.bytes) / float64(peers.bytes)
		fmt.Printf("  %s on disk: spillway %.1f, otelcol %.1f MB: ratio %.3f\n", s.name, float64(ours.bytes)/1e6, float64(peers.bytes)/1e6, ratio)
		if ratio > o.ceiling {
			errs = append(errs, fmt.Errorf("%s: ratio %.3f of bytes on disk is above %.3f", s.name, ratio, o.ceiling))
		}
	}
	return errors.Join(errs...)
}

// fill sends the load through p into a database named after it, and merges what it makes.
func fill(ctx context.Context, dir string, p program, l load, e *engine) error {
	ctx, run, err := p.start(ctx, dir, place{clickhouse: e.http, database: p.name})
	if err != nil {
		return err
	}
	defer run.kill()
	start := time.Now()
	if err := l.send(ctx, run.grpc); err != nil {
		return run.blame(err)
	}
	var rows int64
	var countErr error
	err = until(ctx, func() bool {
		rows, countErr = e.number(ctx, "SELECT count() FROM %s.%s", p.name, l.signal.table)
		return countErr != nil || rows >= int64(l.rows())
	})
	if err := errors.Join(err, countErr); err != nil || rows != int64(l.rows()) {
		return run.blame(fmt.Errorf("%d rows arrived, %d were sent", rows, l.rows()), err)
	}
	stored := time.Since(start)
	// One part in each partition is what merges come to, after a while.
	for _, table := range l.signal.tables {
		if _, err := e.sql(ctx, "OPTIMIZE TABLE %s.%s FINAL", p.name, table); err != nil {
			return err
		}
		parts, err := e.number(ctx, "SELECT max(n) FROM (SELECT count() AS n FROM system.parts WHERE active AND database = '%s' AND table = '%s' GROUP BY partition)", p.name, table)
		if err != nil {
			return err
		}
		if parts != 1 {
			return fmt.Errorf("%s has %d parts in a partition after OPTIMIZE FINAL", table, parts)
		}
	}
	fmt.Printf("  %-9s stored in %.1f s, merged in %.1f s\n", p.name, stored.Seconds(), (time.Since(start) - stored).Seconds())
	return nil
}

// A footprint is what tables take on disk, and what of it is due to what.
type footprint struct {
	bytes int64
	// items are compressed sizes by table and name. ClickHouse does not tell the columns of a small
	// part apart, and counts the array sizes that the columns of a Nested share in each of them.
	items map[string]int64
}

func (e *engine) footprint(ctx context.Context, database string, tables []string) (f footprint, err error) {
	f.items = make(map[string]int64)
	for _, table := range tables {
		where := fmt.Sprintf("database = '%s' AND table = '%s'", database, table)
		bytes, err := e.number(ctx, "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND %s", where)
		if err != nil {
			return f, err
		}
		rows, err := e.sql(ctx, `SELECT name, data_compressed_bytes FROM system.columns WHERE %[1]s
UNION ALL SELECT 'index ' || name, data_compressed_bytes FROM system.data_skipping_indices WHERE %[1]s`, where)
		if err != nil {
			return f, err
		}
		rest := bytes
		for _, row := range rows {
			n, err := strconv.ParseInt(row[1], 10, 64)
			if err != nil {
				return f, err
			}
			if n > 0 {
				f.items[table+" "+row[0]] = n
				rest -= n
			}
		}
		f.items[table+" (all else)"] = rest
		f.bytes += bytes
	}
	return f, nil
}

// printFootprints prints what takes most first, in bytes a row.
func printFootprints(rows int, ours, peers footprint) {
	var names []string
	for name := range ours.items {
		names = append(names, name)
	}
	for name := range peers.items {
		if _, both := ours.items[name]; !both {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(max(ours.items[b], peers.items[b]), max(ours.items[a], peers.items[a])), strings.Compare(a, b))
	})
	fmt.Printf("  %10s %10s  bytes a row, compressed\n", "spillway", "otelcol")
	for _, name := range names {
		fmt.Printf("  %10.3f %10.3f  %s\n", float64(ours.items[name])/float64(rows), float64(peers.items[name])/float64(rows), name)
	}
}
