package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// A result is what one program needed for one round.
type result struct {
	rows    int
	cpu     time.Duration // user and system, from before the load until the server holds all rows
	wall    time.Duration
	rss     int64 // peak, bytes
	inserts int64
	bytes   int64 // of INSERT bodies, as they were sent
}

func (r result) rate() float64 { return float64(r.rows) / r.cpu.Seconds() }

const (
	// distinct is how many requests are made in advance; they are sent again and again.
	distinct = 64
	// roundTime is far above what a round takes.
	roundTime = 15 * time.Minute
)

// prepare makes a load of that many rows, to be sent from memory.
func (o options) prepare(s signal, rows int) (l load, bytes int) {
	w := workload{seed: 1, start: yesterday()}
	requests := make([][]byte, distinct)
	for i := range requests {
		requests[i] = s.make(w, i)
		bytes += len(requests[i])
	}
	return load{signal: s, count: rows / s.perRequest, conns: o.conns, callers: o.callers,
		request: func(n int) []byte { return requests[n%distinct] }}, bytes / distinct
}

// processors measures both programs in turn, and compares their processor time and memory.
func (o options) processors(ctx context.Context, dir string) error {
	e, err := startEngine(o.engine, dir)
	if err != nil {
		return err
	}
	defer e.stop()
	server, err := newDiscard(e.http)
	if err != nil {
		return err
	}
	defer server.close()
	var errs []error
	for _, s := range o.signals() {
		l, bytes := o.prepare(s, map[string]int{"logs": o.logs, "traces": o.traces}[s.name])
		fmt.Printf("%s: %d rows, %d in a request of %d kB, %d connections, %d requests under way on each\n",
			s.name, l.rows(), s.perRequest, bytes/1000, o.conns, o.callers)
		results := make(map[string][]result)
		for round := range o.rounds {
			for _, p := range o.programs() {
				r, err := measure(ctx, dir, p, l, server)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, p.name, err)
				}
				results[p.name] = append(results[p.name], r)
				fmt.Printf("  round %d  %-8s %8.0f rows/CPU-s  %6.2f CPU-s  %7.2f s  %4d MiB peak  %4d INSERTs  %4d MB sent\n",
					round+1, p.name, r.rate(), r.cpu.Seconds(), r.wall.Seconds(), r.rss>>20, r.inserts, r.bytes/1e6)
			}
		}
		if o.side == "" {
			errs = append(errs, verdict(s.name, o.floor, results["spillway"], results["otelcol"]))
		}
	}
	return errors.Join(errs...)
}

// verdict compares the programs round by round: what else the machine does changes from one round
// to the next, and concerns both.
func verdict(name string, floor float64, ours, peers []result) error {
	var our, peer, ratios []float64
	ourRSS, peerRSS := int64(0), int64(math.MaxInt64)
	for i := range ours {
		our, peer = append(our, ours[i].rate()), append(peer, peers[i].rate())
		ratios = append(ratios, our[i]/peer[i])
		ourRSS, peerRSS = max(ourRSS, ours[i].rss), min(peerRSS, peers[i].rss)
	}
	ratio := median(ratios)
	fmt.Printf("  median   spillway %.0f, otelcol %.0f rows/CPU-s; ratio of a round %.2f (%.2f to %.2f)\n",
		median(our), median(peer), ratio, slices.Min(ratios), slices.Max(ratios))
	fmt.Printf("  best     spillway %.0f, otelcol %.0f rows/CPU-s; ratio %.2f\n", slices.Max(our), slices.Max(peer), slices.Max(our)/slices.Max(peer))
	fmt.Printf("  memory   spillway at most %d MiB, otelcol at least %d MiB\n", ourRSS>>20, peerRSS>>20)
	var errs []error
	if ratio < floor {
		errs = append(errs, fmt.Errorf("%s: the ratio of rows per CPU second is %.2f, less than %.2f", name, ratio, floor))
	}
	if ourRSS > peerRSS {
		errs = append(errs, fmt.Errorf("%s: spillway took %d MiB, otelcol %d", name, ourRSS>>20, peerRSS>>20))
	}
	return errors.Join(errs...)
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// measure runs p, sends it the load, and waits until the server holds all rows.
func measure(ctx context.Context, dir string, p program, l load, server *discard) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	server.reset()
	ctx, run, err := p.start(ctx, dir, place{clickhouse: server.addr, database: p.name})
	if err != nil {
		return r, err
	}
	defer run.kill()
	before, err := run.cpu()
	if err != nil {
		return r, err
	}
	start := time.Now()
	if err := l.send(ctx, run.grpc); err != nil {
		return r, run.blame(err, server.err())
	}
	table := server.tables[l.signal.table]
	for table.Load() < int64(l.rows()) {
		select {
		case <-server.arrived:
		case <-ctx.Done():
			return r, run.blame(fmt.Errorf("%d of %d rows arrived: %w", table.Load(), l.rows(), context.Cause(ctx)), server.err())
		}
	}
	r.rows, r.wall = int(table.Load()), time.Since(start)
	after, err := run.cpu()
	if err != nil {
		return r, err
	}
	if r.rows > l.rows() || server.err() != nil {
		return r, run.blame(fmt.Errorf("%d rows arrived, %d were sent", r.rows, l.rows()), server.err())
	}
	r.cpu, r.inserts, r.bytes = after-before, server.inserts.Load(), server.bytes.Load()
	r.rss, err = run.peakRSS()
	return r, err
}

// sendOn sends to ours until ctx is done.
func (o options) sendOn(ctx context.Context, dir string) error {
	e, err := startEngine(o.engine, dir)
	if err != nil {
		return err
	}
	defer e.stop()
	server, err := newDiscard(e.http)
	if err != nil {
		return err
	}
	defer server.close()
	s := o.signals()[0]
	l, _ := o.prepare(s, math.MaxInt32)
	sending, run, err := spillway(o.spillway).start(ctx, dir, place{clickhouse: server.addr, database: "spillway"})
	if err != nil {
		return err
	}
	defer run.kill()
	fmt.Printf("sending %s to process %d until interrupted\n", s.name, run.cmd.Process.Pid)
	if err := l.send(sending, run.grpc); ctx.Err() == nil {
		return run.blame(err, server.err())
	}
	return nil
}
