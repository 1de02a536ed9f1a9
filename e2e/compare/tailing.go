package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// spillwayAgent tails with what its configuration file does not have to say: the log is on disk and
// synced before a line counts as read, JSON is parsed, batches are of 8192 records.
func spillwayAgent(binary, compress string) program {
	return program{name: "spillway", binary: binary,
		args: func(config string) []string { return []string{"agent", "--config", config} },
		config: func(p place) string {
			return fmt.Sprintf(`
receivers:
  otlp: {grpc: {endpoint: ""}, http: {endpoint: ""}}
  tail: [{include: [%q], start_at: beginning, parse: auto}]
wal: {mode: always, dir: %q}
forward: {otlp: {endpoints: [%q], compression: %s}}
admin: {endpoint: %q}
`, p.files, filepath.Join(p.state, "wal"), p.otlp, compress, p.admin)
		}}
}

// filelog keeps its offsets and its queue on disk, in storage that is not synced, which is its
// default. It has no memory limiter, and its own metrics are off. The other settings are defaults.
func filelog(binary string, f form, queueBatch bool, compress string) program {
	return program{name: "otelcol", binary: binary,
		args: func(config string) []string { return []string{"--config", "file:" + config} },
		config: func(p place) string {
			processors, batch := "batch", ""
			if queueBatch {
				processors, batch = "", ", batch: {min_size: 8192, flush_timeout: 200ms, sizer: items}"
			}
			return fmt.Sprintf(`
extensions:
  file_storage: {directory: %q}
receivers:
  file_log:
    include: [%q]
    start_at: beginning
    storage: file_storage
    retry_on_failure: {enabled: true}%s
processors:
  batch: {}
exporters:
  otlp:
    endpoint: %q
    tls: {insecure: true}
    compression: %s
    sending_queue: {storage: file_storage%s}
service:
  extensions: [file_storage]
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines:
    logs: {receivers: [file_log], processors: [%s], exporters: [otlp]}
`, p.state, p.files, f.peer, p.otlp, compress, batch, processors)
		}}
}

const howTailed = `spillway agent: log on disk, synced (mode: always); positions in the log; JSON parsed, stack traces joined
otelcol filelog: offsets and sending_queue in file_storage, fsync off; %s
both: OTLP over gRPC, compressed with %s to the same server; other settings are defaults
`

// tail measures both agents in turn: from their start until the server has all lines of the same files.
func (o options) tail(ctx context.Context, dir string) error {
	server, err := newSink()
	if err != nil {
		return err
	}
	defer server.close()
	batching := "batch processor before the queue, which loses what it holds when the process dies"
	if o.queueBatch {
		batching = "batches made in the queue"
	}
	fmt.Printf(howTailed, batching, o.compress)
	var errs []error
	for _, f := range forms {
		if o.only != "" && o.only != f.name {
			continue
		}
		err := o.tailForm(ctx, dir, f, server)
		if ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (o options) tailForm(ctx context.Context, dir string, f form, server *sink) error {
	files, err := os.MkdirTemp(dir, f.name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(files)
	glob, bytes, err := f.write(files, o.lines)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s: %d lines of %d bytes, %d MB, in %d files of %d to %d lines\n", f.name, f.what, o.lines, bytes/int64(o.lines), bytes/1e6,
		len(fileShares), o.lines*fileShares[0]/sum(fileShares), o.lines*fileShares[len(fileShares)-1]/sum(fileShares))
	results := make(map[string][]result)
	for round := range o.rounds {
		for _, p := range []program{spillwayAgent(o.spillway, o.compress), filelog(o.otelcol, f, o.queueBatch, o.compress)} {
			if o.side != "" && o.side != p.name {
				continue
			}
			r, err := follow(ctx, dir, p, place{files: glob, otlp: server.addr}, o.lines, server)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", f.name, p.name, err)
			}
			results[p.name] = append(results[p.name], r)
			fmt.Printf("  round %d  %-8s %8.0f lines/CPU-s  %5.0f MB/CPU-s  %6.2f CPU-s  %7.2f s  %4d MiB peak  %4d requests of %d MB\n", round+1, p.name,
				r.rate(), float64(bytes)/1e6/r.cpu.Seconds(), r.cpu.Seconds(), r.wall.Seconds(), r.rss>>20, r.inserts, r.bytes/1e6)
		}
	}
	if o.side != "" {
		return nil
	}
	return verdict(f.name, f.floor, results["spillway"], results["otelcol"])
}

// follow runs p until the server holds all lines. The processor time is that of the whole process
// until then, its start included; the other time ends at 99 %, since the last batch waits for more.
func follow(ctx context.Context, dir string, p program, at place, lines int, server *sink) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	if at.state, err = os.MkdirTemp(dir, "state-"); err != nil {
		return r, err
	}
	defer os.RemoveAll(at.state)
	server.reset()
	start := time.Now()
	ctx, run, err := p.launch(ctx, dir, at)
	if err != nil {
		return r, err
	}
	defer run.kill()
	for server.records.Load() < int64(lines) {
		select {
		case <-server.arrived:
		case <-ctx.Done():
			return r, run.blame(fmt.Errorf("%d of %d lines arrived: %w", server.records.Load(), lines, context.Cause(ctx)))
		}
		if r.wall == 0 && server.records.Load() >= int64(lines)*99/100 {
			r.wall = time.Since(start)
		}
	}
	if r.cpu, err = run.cpu(); err != nil {
		return r, err
	}
	if r.rss, err = run.peakRSS(); err != nil {
		return r, err
	}
	r.rows, r.inserts, r.bytes = int(server.records.Load()), server.requests.Load(), server.bytes.Load()
	if r.rows != lines {
		return r, run.blame(fmt.Errorf("%d records arrived of %d lines", r.rows, lines))
	}
	return r, nil
}

func sum(values []int) (n int) {
	for _, v := range values {
		n += v
	}
	return n
}
