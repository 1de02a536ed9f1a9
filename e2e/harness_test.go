package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
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

	"github.com/spillway-io/spillway/e2e/kit"
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

// patience is when a test gives up: far above what a busy machine needs, for no time is asserted anywhere.
const patience = 5 * time.Minute

// until asks ok again and again until it says yes, and fails when patience is at its end.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %s", what, patience)
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
	in    group  // that it runs in; "": ours
	dir   string // likewise

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
	return startIn(t, "", name, admin, args...)
}

// startIn is start in a cgroup.
func startIn(t testing.TB, in group, name, admin string, args ...string) *proc {
	t.Helper()
	p := &proc{t: t, name: name, args: args, admin: admin, in: in}
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
	if p.in != "" {
		cmd = p.in.command(cmd.Args...)
	}
	cmd.Env, cmd.Dir = append(os.Environ(), p.env...), p.dir
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
	until(p.t, p.name+" healthy", func() bool { return p.get("/healthz") == http.StatusOK })
	return p
}

func (p *proc) ready() *proc {
	p.t.Helper()
	until(p.t, p.name+" ready", func() bool { return p.get("/readyz") == http.StatusOK })
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
func (p *proc) term() int {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd.Process.Signal(syscall.SIGTERM)
	return p.waitLocked()
}

// wait returns the exit code of a process that is about to end.
func (p *proc) wait() int {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waitLocked()
}

func (p *proc) waitLocked() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s did not stop within %s", p.name, patience)
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

// metrics are the process's samples, see kit.Samples.
func (p *proc) metrics() map[string]float64 {
	p.t.Helper()
	resp, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	all, err := kit.Samples(said)
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

// equation asserts, for each signal, in + recovered = out + held + lost.
func (p *proc) equation() {
	p.t.Helper()
	for _, wrong := range kit.Unbalanced(p.metrics(), p.name) {
		p.t.Errorf("%s, %s", p.name, wrong)
	}
}

func port(t testing.TB) string {
	t.Helper()
	addr, err := kit.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
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
	return startCollectorWith(t, dsn, grpc, "")
}

// startCollectorWith takes more sections as YAML.
func startCollectorWith(t testing.TB, dsn, grpc, more string) *collector {
	t.Helper()
	c := &collector{grpc: grpc, http: port(t)}
	admin := port(t)
	file := config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}}
batch: {send_batch_size: 10000, timeout: 1s}
forward: {clickhouse: {dsn: %q, retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
admin: {endpoint: %q}
%s
`, c.grpc, c.http, dsn, admin, more))
	c.proc = start(t, "collector", admin, "collector", "--config", file)
	return c
}

// A node is an agent with short waits.
type node struct {
	*proc
	grpc, http, wal string
}

// startAgent sends to target; receivers is more YAML of that section.
func startAgent(t testing.TB, target, receivers string) *node {
	t.Helper()
	return startAgentTo(t, fmt.Sprintf("endpoints: [%q]", target), receivers)
}

// startAgentTo takes the forward section as YAML.
func startAgentTo(t testing.TB, forward, receivers string) *node {
	t.Helper()
	n := &node{grpc: port(t), http: port(t), wal: filepath.Join(t.TempDir(), "wal")}
	admin := port(t)
	file := config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}%s}
wal: {dir: %q, min_free_mib: 64}
batch: {timeout: 200ms}
forward: {otlp: {%s, retry_on_failure: {initial_interval: 200ms, max_interval: 2s}}}
admin: {endpoint: %q}
`, n.grpc, n.http, receivers, n.wal, forward, admin))
	n.proc = start(t, "agent", admin, "agent", "--config", file)
	return n.healthyNode()
}

func (n *node) healthyNode() *node { n.healthy(); return n }

// drained waits until the agent has delivered everything, and then holds its equation.
func (n *node) drained() {
	n.t.Helper()
	until(n.t, "everything delivered", func() bool {
		return kit.Total(n.metrics(), "spillway_wal_held_items") == 0
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
