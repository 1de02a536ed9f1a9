// Command compare measures spillway's collector against the OpenTelemetry Collector with its
// ClickHouse exporter, with the same rows for both:
//
//	go run ./e2e/compare          # rows per second of processor time, peak memory
//	go run ./e2e/compare -disk    # bytes on disk, in a real ClickHouse
//
// and its agent against the same program with its filelog receiver, with the same files for both:
//
//	go run ./e2e/compare -tail    # lines per second of processor time, peak memory
//
// It prints a table, and exits with 1 when rows are missing or spillway misses a limit. It runs on
// Linux, within the module's tree, and builds what it runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := ossignal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

type options struct {
	spillway, otelcol, engine string // built programs
	only, side                string
	conns, callers            int

	rounds       int
	logs, traces int
	floor        float64
	keep         bool
	queueBatch   bool
	compress     string

	onDisk  bool
	rows    int
	ceiling float64

	tailing bool
	lines   int
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.StringVar(&o.spillway, "spillway", "", "built program; empty builds it")
	flags.StringVar(&o.otelcol, "otelcol", "", "built program; empty is what e2e/otelcol/build.sh makes")
	flags.StringVar(&o.engine, "engine", "", "built spillway-engine; empty builds it")
	flags.StringVar(&o.only, "only", "", "logs or traces; with -tail structlog, cri, text or unparsed; empty is all")
	flags.StringVar(&o.side, "side", "", "spillway or otelcol; empty is both")
	flags.IntVar(&o.conns, "conns", 4, "connections that send")
	flags.IntVar(&o.callers, "callers", 5, "requests under way on each connection")
	flags.StringVar(&o.compress, "compress", "", "how otelcol compresses INSERTs: lz4 (the default), zstd or none; with -tail, how both compress OTLP: zstd (the default), gzip or none")
	flags.BoolVar(&o.queueBatch, "queue-batch", false, "otelcol batches in its sending_queue, not in a processor before it")

	flags.IntVar(&o.rounds, "rounds", 3, "times that both programs are measured, in turn")
	flags.IntVar(&o.logs, "logs", 1_000_000, "log records of a round")
	flags.IntVar(&o.traces, "traces", 500_000, "spans of a round")
	flags.Float64Var(&o.floor, "floor", 4, "least ratio of rows per second of processor time, ours to otelcol's; with -tail it is 8 for structlog and 12 for cri")
	flags.BoolVar(&o.keep, "keep", false, "send to spillway until interrupted, so that it can be profiled")

	flags.BoolVar(&o.onDisk, "disk", false, "compare bytes on disk")
	flags.IntVar(&o.rows, "rows", 10_000_000, "rows of each signal, for -disk")
	flags.Float64Var(&o.ceiling, "ceiling", 0.9, "greatest ratio of bytes on disk, ours to otelcol's")

	flags.BoolVar(&o.tailing, "tail", false, "compare agents: files of lines, both from the first byte to a server that discards OTLP")
	flags.IntVar(&o.lines, "lines", 2_000_000, "lines in the files, for -tail")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.compress == "" {
		o.compress = map[bool]string{false: "lz4", true: "zstd"}[o.tailing]
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.tailing && !slices.Contains([]string{"", "structlog", "cri", "text", "unparsed"}, o.only):
		return o, fmt.Errorf("-only %s: is structlog, cri, text or unparsed", o.only)
	case !o.tailing && !slices.Contains([]string{"", "logs", "traces"}, o.only):
		return o, fmt.Errorf("-only %s: is logs or traces", o.only)
	case !slices.Contains([]string{"", "spillway", "otelcol"}, o.side):
		return o, fmt.Errorf("-side %s: is spillway or otelcol", o.side)
	case min(o.conns, o.callers, o.rounds) < 1:
		return o, errors.New("-conns, -callers and -rounds are at least 1")
	case o.lines < 100*len(fileShares):
		return o, fmt.Errorf("-lines is at least %d", 100*len(fileShares))
	case min(o.logs, o.traces, o.rows) < perLogs:
		return o, fmt.Errorf("-logs, -traces and -rows are at least %d, the rows of a request", perLogs)
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "spillway-compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := o.build(ctx, dir); err != nil {
		return err
	}
	switch {
	case o.tailing:
		return o.tail(ctx, dir)
	case o.onDisk:
		return o.disk(ctx, dir)
	case o.keep:
		return o.sendOn(ctx, dir)
	default:
		return o.processors(ctx, dir)
	}
}

const module = "github.com/spillway-io/spillway"

// build makes the programs that the flags do not name. What it makes goes into dir, but for
// otelcol, which is kept.
func (o *options) build(ctx context.Context, dir string) (err error) {
	for _, p := range []struct {
		name   string
		path   *string
		needed bool
	}{{"spillway", &o.spillway, o.keep || o.side != "otelcol"}, {"spillway-engine", &o.engine, !o.tailing}} {
		if *p.path != "" || !p.needed {
			continue
		}
		*p.path = filepath.Join(dir, p.name)
		if _, err := tool(ctx, "go", "build", "-trimpath", "-o", *p.path, module+"/cmd/"+p.name); err != nil {
			return err
		}
	}
	if o.otelcol != "" || o.side == "spillway" || o.keep {
		return nil
	}
	root, err := tool(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return err
	}
	o.otelcol, err = tool(ctx, filepath.Join(root, "e2e/otelcol/build.sh"))
	return err
}

// tool returns what the command prints.
func tool(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// programs are those that are measured, in that order.
func (o options) programs() (all []program) {
	for _, p := range []program{spillway(o.spillway), otelcol(o.otelcol, o.queueBatch, o.compress)} {
		if o.side == "" || o.side == p.name {
			all = append(all, p)
		}
	}
	return all
}

// signals are those that are sent.
func (o options) signals() (all []signal) {
	for _, s := range signals {
		if o.only == "" || o.only == s.name {
			all = append(all, s)
		}
	}
	return all
}
