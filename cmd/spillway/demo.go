package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

//go:embed demo.py
var demoProgram string

func (p *program) demoCommand() *cobra.Command {
	var flags standaloneFlags
	var duration time.Duration
	c := &cobra.Command{Use: "demo", Short: "standalone with a service that logs, traces and measures: see it work", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := c.Context(), context.CancelFunc(func() {})
			if duration > 0 {
				ctx, cancel = context.WithTimeout(ctx, duration)
			}
			defer cancel()
			return p.demo(ctx, flags)
		}}
	flags.add(c)
	c.Flags().DurationVar(&duration, "duration", 0, "end by itself after this long; 0: at Ctrl-C")
	return c
}

// demoConfig is the standalone configuration of the demo: short waits, so that one sees something.
const demoConfig = `receivers:
  tail:
    - include: [%q]
batch: {send_batch_size: 8192, timeout: 1s}
wal: {dir: %q, max_size_mib: 512, min_free_mib: 64}
service: {name: ops-backend}
collector:
  batch: {send_batch_size: 10000, timeout: 2s}
`

func (p *program) demo(ctx context.Context, flags standaloneFlags) error {
	dir, err := filepath.Abs(flags.dataDir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "demo"), 0o700); err != nil {
		return err
	}
	logFile := filepath.Join(dir, "demo", "ops-backend.log")
	if flags.config == "" {
		flags.config = filepath.Join(dir, "demo", "standalone.yaml")
		text := fmt.Sprintf(demoConfig, logFile, filepath.Join(dir, "wal"))
		if err := os.WriteFile(flags.config, []byte(text), 0o600); err != nil {
			return err
		}
	}
	s, err := p.openStandalone(ctx, flags, p.logger(), nil)
	if err != nil {
		return err
	}
	s.announce(p)
	var helpers sync.WaitGroup
	source, stopSource := context.WithCancel(ctx)
	defer stopSource()
	helpers.Go(func() { p.logSource(source, logFile) })
	helpers.Go(func() { sendDemoTelemetry(source, s.node.listening.GRPC.String()) })
	helpers.Go(func() { p.narrate(source, s) })
	err = s.run(ctx)
	stopSource()
	helpers.Wait()
	received, held, delivered, _ := s.node.agent.Totals()
	fmt.Fprintf(p.stdout, "ended: received=%d delivered=%d left in the log=%d\n", received, delivered, held)
	return err
}

// narrate prints a line a second, and once the rows of the slow-request query.
func (p *program) narrate(ctx context.Context, s *standalone) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	const queryAt = 15
	for second := 1; ; second++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		received, held, delivered, oldest := s.node.agent.Totals()
		lag := time.Duration(0)
		if held > 0 && !oldest.IsZero() {
			lag = time.Since(oldest).Round(100 * time.Millisecond)
		}
		fmt.Fprintf(p.stdout, "received=%d wal=%d delivered=%d lag=%s\n", received, held, delivered, lag)
		if second == queryAt {
			if err := p.slowRequests(ctx, s); err != nil && ctx.Err() == nil {
				fmt.Fprintf(p.stderr, "slow-request query: %v\n", err)
			}
		}
	}
}

// slowRequestQuery is the one that dashboards begin with: requests that took over a second.
const slowRequestQuery = `SELECT TraceId, ServiceName, Duration / 1000000 AS DurationMs, StatusCode
FROM otel_traces
WHERE Duration > 1000000000
ORDER BY Timestamp DESC
LIMIT 5`

func (p *program) slowRequests(ctx context.Context, s *standalone) error {
	rows, err := s.tier.hop().conn.Driver().Query(ctx, slowRequestQuery)
	if err != nil {
		return err
	}
	defer rows.Close()
	fmt.Fprintf(p.stdout, "\n%s\n\n", slowRequestQuery)
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TraceId\tServiceName\tDurationMs\tStatusCode")
	n := 0
	for ; rows.Next(); n++ {
		var trace, service, status string
		var ms float64
		if err := rows.Scan(&trace, &service, &ms, &status); err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%s\t%.1f\t%s\n", trace, service, ms, status)
	}
	fmt.Fprintln(table)
	return errors.Join(rows.Err(), table.Flush())
}

// logSource runs a real structlog program that appends to file, or writes the same lines itself.
func (p *program) logSource(ctx context.Context, file string) {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(ctx, python, "-c", "import structlog").Run() != nil {
			continue
		}
		fmt.Fprintf(p.stdout, "  demo       structlog program writes %s\n", file)
		out, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			fmt.Fprintf(p.stderr, "demo: %v\n", err)
			return
		}
		defer out.Close()
		cmd := exec.CommandContext(ctx, python, "-u", "-")
		cmd.Stdin = strings.NewReader(demoProgram)
		cmd.Stdout = out
		cmd.Run() // ends with ctx
		return
	}
	fmt.Fprintf(p.stdout, "  demo       no structlog here: built-in writer of the same lines to %s\n", file)
	if err := writeDemoLines(ctx, file); err != nil && ctx.Err() == nil {
		fmt.Fprintf(p.stderr, "demo: %v\n", err)
	}
}

// writeDemoLines writes what demo.py writes.
func writeDemoLines(ctx context.Context, file string) error {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case at := <-tick.C:
			level := "info"
			if n%50 == 49 {
				level = "warning"
			}
			if _, err := fmt.Fprintf(out, `{"order_id": %d, "path": "/orders/%d", "status": 200, "trace_id": "%032x", "event": "request finished", "logger": "ops.http", "level": %q, "timestamp": %q}`+"\n",
				n, n%97, n+1, level, at.UTC().Format("2006-01-02T15:04:05.000000Z")); err != nil {
				return err
			}
		}
	}
}
