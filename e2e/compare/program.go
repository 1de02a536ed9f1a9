package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// A program is what is compared: something that takes OTLP over gRPC and writes to ClickHouse, or
// takes files and sends OTLP.
type program struct {
	name   string
	binary string
	args   func(config string) []string
	config func(p place) string
}

// A place is where a program listens and writes.
type place struct {
	grpc, http, admin string // addresses it listens on
	clickhouse        string // address it writes to, HTTP
	database          string // where it makes its tables

	files string // that it tails, a glob
	otlp  string // address that it sends them to, gRPC
	state string // a directory of its own, empty
}

func spillway(binary string) program {
	return program{name: "spillway", binary: binary,
		args: func(config string) []string { return []string{"collector", "--config", config} },
		config: func(p place) string {
			return fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}}
memory_limiter: {limit_mib: 1500}
batch: {send_batch_size: 10000, timeout: 5s}
forward: {clickhouse: {dsn: "http://default:@%s/%s"}}
admin: {endpoint: %q}
`, p.grpc, p.http, p.clickhouse, p.database, p.admin)
		}}
}

// otelcol is configured as it needs least: inserts are not asynchronous, its own metrics are off.
// It batches in a processor before its queue, or in the queue, as its documents recommend since
// the former loses what it has acknowledged when the process dies.
func otelcol(binary string, queueBatch bool, compress string) program {
	return program{name: "otelcol", binary: binary,
		args: func(config string) []string { return []string{"--config", "file:" + config} },
		config: func(p place) string {
			processors, queue := "memory_limiter, batch", ""
			if queueBatch {
				processors, queue = "memory_limiter", "\n    sending_queue: {batch: {min_size: 10000, flush_timeout: 5s, sizer: items}}"
			}
			return fmt.Sprintf(`
receivers: {otlp: {protocols: {grpc: {endpoint: %q, max_recv_msg_size_mib: 20}}}}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: 1500}
  batch: {send_batch_size: 10000, timeout: 5s}
exporters:
  clickhouse:
    endpoint: http://default:@%s
    database: %s
    async_insert: false
    compress: %s
    timeout: 60s%s
service:
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines:
    logs: {receivers: [otlp], processors: [%[6]s], exporters: [clickhouse]}
    traces: {receivers: [otlp], processors: [%[6]s], exporters: [clickhouse]}
`, p.grpc, p.clickhouse, p.database, compress, queue, processors)
		}}
}

// A process is a program that runs.
type process struct {
	place
	name   string
	cmd    *exec.Cmd
	exited chan struct{}
	said   tail
}

// startTime is far above what a start takes.
const startTime = time.Minute

// start runs the program and waits until it takes requests. Its configuration goes into dir. The
// context that start returns is done when the program has ended.
func (p program) start(ctx context.Context, dir string, at place) (context.Context, *process, error) {
	ctx, run, err := p.launch(ctx, dir, at)
	if err != nil {
		return nil, nil, err
	}
	ready, stop := context.WithTimeout(ctx, startTime)
	defer stop()
	if err := until(ready, run.ready); err != nil {
		run.kill()
		return nil, nil, run.blame(fmt.Errorf("start: %w", err))
	}
	return ctx, run, nil
}

// launch is start without the wait.
func (p program) launch(ctx context.Context, dir string, at place) (context.Context, *process, error) {
	for _, addr := range []*string{&at.grpc, &at.http, &at.admin} {
		var err error
		if *addr, err = kit.FreeAddr(); err != nil {
			return nil, nil, err
		}
	}
	file := filepath.Join(dir, p.name+".yaml")
	if err := os.WriteFile(file, []byte(p.config(at)), 0o600); err != nil {
		return nil, nil, err
	}
	run := &process{place: at, name: p.name, cmd: exec.Command(p.binary, p.args(file)...), exited: make(chan struct{})}
	run.cmd.Stdout, run.cmd.Stderr = &run.said, &run.said
	run.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := run.cmd.Start(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		err := run.cmd.Wait()
		cancel(fmt.Errorf("%s has ended: %w", p.name, err))
		close(run.exited)
	}()
	return ctx, run, nil
}

// ready reports whether the program takes requests. Ours does only when it has made its tables.
func (p *process) ready() bool {
	if p.name == "spillway" {
		resp, err := http.Get("http://" + p.admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	conn, err := net.Dial("tcp", p.grpc)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// blame joins errors with the end of what the program said.
func (p *process) blame(errs ...error) error {
	return fmt.Errorf("%w\n%s said:\n%s", errors.Join(errs...), p.name, &p.said)
}

// until asks ok again and again until it says yes or ctx is done.
func until(ctx context.Context, ok func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// kill ends the program at once and waits for its end.
func (p *process) kill() {
	p.cmd.Process.Kill() // it may have ended by itself
	<-p.exited
}

// clockTick is the unit of times in /proc: USER_HZ, which Linux shows as 100 to all programs.
const clockTick = time.Second / 100

// cpu is the time that the program has spent on processors, in user and system mode.
func (p *process) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The second field is the name, in parentheses, and may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// peakRSS is the most memory that was ever resident, in bytes.
func (p *process) peakRSS() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest + " -")[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("VmHWM: %w", err)
	}
	return kib << 10, nil
}

// tail keeps the end of what a program says.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - tailBytes; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.buf.String())
}
