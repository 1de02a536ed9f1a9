package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// A manager is the service manager's end of NOTIFY_SOCKET.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func startManager(t *testing.T) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, conn}
}

func (m *manager) env() string { return "NOTIFY_SOCKET=" + m.conn.LocalAddr().String() }

// next is the assignments of the next datagram.
func (m *manager) next() map[string]string {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	b := make([]byte, 64<<10)
	n, err := m.conn.Read(b)
	if err != nil {
		m.t.Fatalf("nothing more was said: %v", err)
	}
	said := make(map[string]string)
	for _, line := range strings.Split(string(b[:n]), "\n") {
		k, v, ok := strings.Cut(line, "=")
		if !ok {
			m.t.Fatalf("%q is no assignment", line)
		}
		said[k] = v
	}
	return said
}

// until reads on to a datagram with key.
func (m *manager) until(key string) map[string]string {
	m.t.Helper()
	for {
		if said := m.next(); said[key] != "" {
			return said
		}
	}
}

func monotonic(t *testing.T) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano() / 1000
}

// Each mode tells the service manager what sd_notify(3) has words for, from the start to the stop.
func TestTheServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t)
	agent := func(admin string) string {
		return fmt.Sprintf("receivers: {otlp: {grpc: {endpoint: 127.0.0.1:0}, http: {endpoint: 127.0.0.1:0}}}\nwal: {dir: %q, min_free_mib: 64}\nadmin: {endpoint: %q}\nshutdown_timeout: 1s\n",
			filepath.Join(t.TempDir(), "wal"), admin)
	}
	for mode, text := range map[string]func(admin string) string{
		"agent": agent,
		"collector": func(admin string) string {
			return fmt.Sprintf("receivers: {otlp: {grpc: {endpoint: 127.0.0.1:0}, http: {endpoint: 127.0.0.1:0}}}\nforward: {clickhouse: {dsn: %q}}\nadmin: {endpoint: %q}\nshutdown_timeout: 1s\n", engine.DSN(), admin)
		},
		"standalone": func(admin string) string {
			return agent(admin) + fmt.Sprintf("collector:\n  receivers: {otlp: {grpc: {endpoint: 127.0.0.1:0}, http: {endpoint: 127.0.0.1:0}}}\n  forward: {clickhouse: {dsn: %q}}\n  admin: {endpoint: 127.0.0.1:0}\n", engine.DSN())
		},
	} {
		t.Run(mode, func(t *testing.T) {
			m, admin := startManager(t), port(t)
			file := config(t, text(admin))
			args := []string{mode, "--config", file}
			if mode == "standalone" {
				args = append(args, "--data-dir", t.TempDir())
			}
			p := &proc{t: t, name: mode, args: args, admin: admin, env: []string{m.env(), "WATCHDOG_USEC=200000"}}
			p.start()
			t.Cleanup(p.kill)
			if said := m.next(); said["STATUS"] != "starting" {
				t.Errorf("first it says %v", said)
			}
			ready := m.until("READY")
			if ready["READY"] != "1" || ready["STATUS"] == "" {
				t.Errorf("ready it says %v", ready)
			}
			if code := p.get("/healthz"); code != http.StatusOK {
				t.Errorf("it is ready and answers %d", code)
			}
			for range 3 {
				if said := m.until("WATCHDOG"); said["WATCHDOG"] != "1" {
					t.Errorf("to the watchdog it says %v", said)
				}
			}
			hangup := func(text string) (status string) {
				t.Helper()
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				before := monotonic(t)
				p.mu.Lock()
				p.cmd.Process.Signal(syscall.SIGHUP)
				p.mu.Unlock()
				said := m.until("RELOADING")
				if at, err := strconv.ParseInt(said["MONOTONIC_USEC"], 10, 64); err != nil || at < before || at > monotonic(t) {
					t.Errorf("on SIGHUP it says %v", said)
				}
				for {
					said := m.next()
					if said["STATUS"] != "" {
						status = said["STATUS"]
					}
					if said["READY"] == "1" {
						return status
					}
				}
			}
			whole := text(admin)
			if mode != "collector" { // another directory is another log
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				whole = string(b)
			}
			if status := hangup(whole + "nonsense: 1\n"); !strings.Contains(status, "reload refused: ") || !strings.Contains(status, `unknown key "nonsense"`) {
				t.Errorf("of a file that is wrong it says %q", status)
			}
			if status := hangup(whole); strings.Contains(status, "refused") || status == "" {
				t.Errorf("of a file that is right it says %q", status)
			}
			p.mu.Lock()
			p.cmd.Process.Signal(syscall.SIGTERM)
			p.mu.Unlock()
			if said := m.until("STOPPING"); said["STOPPING"] != "1" || !strings.HasPrefix(said["STATUS"], "stopping") {
				t.Errorf("at the end it says %v", said)
			}
			if code := p.wait(); code != 0 {
				t.Errorf("exit %d", code)
			}
		})
	}
}

// A watchdog that is another process's hears nothing of us, and a manager that is not there is no
// reason not to run.
func TestNobodyIsToldWhoDoesNotAsk(t *testing.T) {
	t.Parallel()
	m, admin := startManager(t), port(t)
	file := config(t, fmt.Sprintf("receivers: {otlp: {grpc: {endpoint: 127.0.0.1:0}, http: {endpoint: 127.0.0.1:0}}}\nwal: {dir: %q, min_free_mib: 64}\nadmin: {endpoint: %q}\n", filepath.Join(t.TempDir(), "wal"), admin))
	p := &proc{t: t, name: "agent", args: []string{"agent", "--config", file}, admin: admin, env: []string{m.env(), "WATCHDOG_USEC=1000", "WATCHDOG_PID=1"}}
	p.start()
	t.Cleanup(p.kill)
	m.until("READY")
	p.healthy()
	p.mu.Lock()
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.mu.Unlock()
	for said := m.next(); said["STOPPING"] == ""; said = m.next() {
		if said["WATCHDOG"] != "" {
			t.Fatal("another process's watchdog heard of this one")
		}
	}
	p.wait()
	p.env = []string{"NOTIFY_SOCKET=" + filepath.Join(t.TempDir(), "nobody")}
	p.start()
	p.healthy()
}
