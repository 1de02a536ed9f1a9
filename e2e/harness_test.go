package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// bin is where TestMain built the binaries.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "spillway-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = filepath.Join(dir, "spillway")
		build := exec.Command("go", "build", "-o", bin, "../cmd/spillway")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s%v\n", out, err)
			return 1
		}
		return enginetest.Main(m)
	}())
}

// until asks ok again and again until it says yes, and fails after limit.
func until(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

// A proc is a running spillway.
type proc struct {
	t     testing.TB
	name  string
	args  []string
	env   []string
	admin string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan error
	log  logBuffer
}

// logBuffer keeps the end of what a process wrote.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf.Len() > 1<<20 {
		b.buf.Next(1 << 19)
	}
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs spillway with args until the test ends. admin is its admin address.
func start(t testing.TB, name, admin string, args ...string) *proc {
	t.Helper()
	p := &proc{t: t, name: name, args: args, admin: admin}
	p.start()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said:\n%s", name, tail(p.log.String(), 30))
			p.quit()
			t.Logf("%s wrote:\n%s", name, tail(p.log.String(), 400))
		}
		p.kill()
	})
	return p
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (p *proc) start() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command(bin, p.args...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	p.cmd, p.done = cmd, done
}

// healthy waits until the process answers.
func (p *proc) healthy() *proc {
	p.t.Helper()
	until(p.t, 30*time.Second, p.name+" healthy", func() bool { return p.get("/healthz") == http.StatusOK })
	return p
}

func (p *proc) ready() *proc {
	p.t.Helper()
	until(p.t, 60*time.Second, p.name+" ready", func() bool { return p.get("/readyz") == http.StatusOK })
	return p
}

func (p *proc) get(path string) int {
	resp, err := http.Get("http://" + p.admin + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// kill is kill -9.
func (p *proc) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill()
	<-p.done
	p.cmd = nil
}

// quit has the process print its goroutines, which is what one wants to see when a test hangs.
func (p *proc) quit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGQUIT)
	<-p.done
	p.cmd = nil
}

// term is SIGTERM; it returns the exit code.
func (p *proc) term(limit time.Duration) int {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("%s did not stop within %s", p.name, limit)
	}
	code := p.cmd.ProcessState.ExitCode()
	p.cmd = nil
	return code
}

// rss is the resident memory in MiB.
func (p *proc) rss() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) > 1 && f[0] == "VmRSS:" {
			kib, _ := strconv.Atoi(f[1])
			return kib >> 10
		}
	}
	p.t.Fatal("no VmRSS")
	return 0
}

// metrics are the process's samples whose names begin with spillway_, as "name{labels}".
func (p *proc) metrics() map[string]float64 {
	p.t.Helper()
	out := make(map[string]float64)
	resp, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		name, value, ok := strings.Cut(s.Text(), "} ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && strings.HasPrefix(name, "spillway_") {
			out[name+"}"] = v
		}
	}
	return out
}

// total adds up the samples of a metric whose labels contain all of labels.
func total(m map[string]float64, name string, labels ...string) (sum float64) {
	for sample, v := range m {
		if !strings.HasPrefix(sample, name+"{") {
			continue
		}
		match := true
		for _, l := range labels {
			match = match && strings.Contains(sample, l)
		}
		if match {
			sum += v
		}
	}
	return sum
}

// equation asserts, for each signal, in + recovered = out + held + lost.
func (p *proc) equation() {
	p.t.Helper()
	hop, m := "hop=\""+p.name+"\"", p.metrics()
	for _, signal := range []string{"logs", "traces", "metrics"} {
		s := "signal=\"" + signal + "\""
		in := total(m, "spillway_in_items_total", hop, s) + total(m, "spillway_recovered_items", hop, s)
		held := total(m, "spillway_wal_held_items", hop, s) + total(m, "spillway_held_items", hop, s)
		out, lost := total(m, "spillway_out_items_total", hop, s), total(m, "spillway_lost_items_total", hop, s)
		if in != out+held+lost {
			p.t.Errorf("%s, %s: in and recovered %.0f, out %.0f, held %.0f, lost %.0f", p.name, signal, in, out, held, lost)
		}
	}
}

func port(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func config(t testing.TB, text string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// A collector in front of an engine, with short waits.
type collector struct {
	*proc
	grpc, http string
}

func startCollector(t testing.TB, dsn string) *collector {
	t.Helper()
	return startCollectorAt(t, dsn, port(t))
}

func startCollectorAt(t testing.TB, dsn, grpc string) *collector {
	t.Helper()
	c := &collector{grpc: grpc, http: port(t)}
	admin := port(t)
	file := config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}}
batch: {send_batch_size: 10000, timeout: 1s}
forward: {clickhouse: {dsn: %q, retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
admin: {endpoint: %q}
`, c.grpc, c.http, dsn, admin))
	c.proc = start(t, "collector", admin, "collector", "--config", file)
	return c
}

// A node is an agent with short waits; extra is more YAML at the top level.
type node struct {
	*proc
	grpc, http, wal string
}

func startAgent(t testing.TB, target, extra string) *node {
	t.Helper()
	n := &node{grpc: port(t), http: port(t), wal: filepath.Join(t.TempDir(), "wal")}
	admin := port(t)
	file := config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}%s}
wal: {dir: %q, min_free_mib: 64}
batch: {timeout: 200ms}
forward: {otlp: {endpoints: [%q], retry_on_failure: {initial_interval: 200ms, max_interval: 2s}}}
admin: {endpoint: %q}
`, n.grpc, n.http, extra, n.wal, target, admin))
	n.proc = start(t, "agent", admin, "agent", "--config", file)
	return n.healthyNode()
}

func (n *node) healthyNode() *node { n.healthy(); return n }

// drained waits until the agent has delivered everything, and then holds its equation.
func (n *node) drained(limit time.Duration) {
	n.t.Helper()
	until(n.t, limit, "everything delivered", func() bool {
		return total(n.metrics(), "spillway_wal_held_items") == 0
	})
	n.equation()
}

func connect(t testing.TB, dsn string) driver.Conn {
	t.Helper()
	opts, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// one reads a single number.
func one(t testing.TB, conn driver.Conn, sql string, args ...any) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}
