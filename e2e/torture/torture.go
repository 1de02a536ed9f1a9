package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// torture is one run. The error says why there is no report.
func torture(ctx context.Context, o options) (r *report, err error) {
	fmt.Fprintf(o.out, "torture: seed %d, faults for %s\n", o.seed, o.duration)
	dir, err := os.MkdirTemp("", "spillway-torture-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if o.keep || err != nil && ctx.Err() == nil || err == nil && !r.good() {
			fmt.Fprintf(o.out, "torture: logs and events are in %s\n", dir)
			return
		}
		os.RemoveAll(dir)
	}()
	if err := o.build(ctx, dir); err != nil {
		return nil, err
	}
	c, err := newCluster(dir, o)
	defer c.stop()
	if err != nil {
		return nil, err
	}
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	w, err := newWriters(c, o.seed)
	if err != nil {
		return nil, err
	}
	c.torment(ctx, w, o)
	r = &report{dir: dir, seed: o.seed, took: time.Since(c.began), disk: c.disk.kind, kills: c.kills, faults: c.faults}
	if err := c.drain(ctx, w); err != nil {
		r.finding("%v", err)
	}
	if ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	r.sent = w.sent()
	if r.tally, err = count(ctx, database{c.engine.http, databaseName}, w.list); err != nil {
		return nil, err
	}
	if r.tally.strange > 0 {
		r.finding("%d rows are there that nobody sent", r.tally.strange)
	}
	r.findings = append(r.findings, c.review()...)
	c.verify(ctx, r)
	return r, nil
}

const module = "github.com/spillway-io/spillway"

// build makes the programs that were not named.
func (o *options) build(ctx context.Context, dir string) error {
	for _, p := range []struct {
		path       *string
		name, tags string
	}{{&o.spillway, "spillway", o.tags}, {&o.engine, "spillway-engine", ""}} {
		if *p.path != "" {
			continue
		}
		*p.path = filepath.Join(dir, p.name)
		cmd := exec.CommandContext(ctx, "go", "build", "-tags", p.tags, "-o", *p.path, module+"/cmd/"+p.name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
		}
	}
	return nil
}

// progressEvery is how often a line says how far a run is.
const progressEvery = 10 * time.Second

// torment writes and does harm for as long as o says. When it returns everything is healed,
// nothing is written any more, and every number has its outcome.
func (c *cluster) torment(ctx context.Context, w *writers, o options) {
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { w.write(ctx) })
	beside.Go(func() {
		for kit.Pause(ctx, progressEvery) {
			fmt.Fprintln(o.out, c.progress(w))
		}
	})
	newSchedule(c, o.seed, o.onlyRepeats).run(ctx)
	c.heal()
}

func (c *cluster) progress(w *writers) string {
	held := make([]string, len(c.agents))
	for i, a := range c.agents {
		held[i] = "?"
		if m, err := a.metrics(); err == nil {
			held[i] = fmt.Sprintf("%.0f", kit.Total(m, heldItems))
		}
	}
	return fmt.Sprintf("torture: %3.0f s, kills %d, records %d, held %s", time.Since(c.began).Seconds(), sum(c.kills.all()), w.sent()[acked], strings.Join(held, " + "))
}

// drainTime is far above what two healthy agents take for what they can hold.
const drainTime = 3 * time.Minute

// drain waits until the agents have read every line and delivered every record, and what was
// damaged is replayed.
func (c *cluster) drain(ctx context.Context, w *writers) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	var left string
	tick, said := time.NewTicker(100*time.Millisecond), time.Now()
	defer tick.Stop()
	for {
		if left = c.left(); left == "" {
			return nil
		}
		if time.Since(said) > progressEvery {
			said = time.Now()
			fmt.Fprintln(c.out, c.progress(w)+"; left: "+left)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) { // and not interrupted
				for _, n := range c.nodes() {
					c.keep(n)
				}
			}
			return fmt.Errorf("not delivered %s after the last fault: %s", drainTime, left)
		}
	}
}

// keep writes down what a node is at, for whoever wants to know why it is not done.
func (c *cluster) keep(n *node) {
	for name, path := range map[string]string{"goroutines": "/debug/pprof/goroutine?debug=2", "metrics": "/metrics", "status": "/status"} {
		said, err := get("http://" + n.admin + path)
		if err == nil {
			err = os.WriteFile(filepath.Join(c.dir, n.name+"."+name), said, 0o644)
		}
		if err != nil {
			c.event("%s of %s: %v", name, n.name, err)
		}
	}
}

// The metrics that say what an agent has still to do.
const (
	heldItems   = "spillway_wal_held_items"
	unreadBytes = "spillway_tail_unread_bytes"
	knownFiles  = "spillway_tail_files"
)

// left says what is still to be done; "" is nothing.
func (c *cluster) left() string {
	var left []string
	for _, a := range c.agents {
		m, err := a.metrics()
		if err != nil {
			left = append(left, fmt.Sprintf("%s does not answer: %v", a.name, err))
			continue
		}
		held, unread, known := kit.Total(m, heldItems), kit.Total(m, unreadBytes), kit.Total(m, knownFiles, `state="known"`)
		files, err := os.ReadDir(a.files)
		if err != nil || held+unread > 0 || int(known) < len(files) { // one that has just started knows of none
			left = append(left, fmt.Sprintf("%s holds %.0f items, %.0f bytes of files are unread, %.0f of %d files known", a.name, held, unread, known, len(files)))
		}
	}
	if n := c.replays.running(); n > 0 {
		left = append(left, fmt.Sprintf("%d replays", n))
	}
	return strings.Join(left, "; ")
}
