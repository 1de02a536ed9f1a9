package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"

	"github.com/spillway-io/spillway/e2e/kit"
)

// How the output of a structlog service arrives in each shape of a deployment, with kill -9 of the agent in the
// middle: every line is stored once. A node's containers are in structlog_test.go, with the kubelet's files.

// A sidecar has two ways: spillway tee into a volume that the agent tails, and OTLP over a UNIX socket in it.
func TestASidecarsWaysSurviveKill9(t *testing.T) {
	t.Parallel()
	const count = 8000
	volume := t.TempDir()
	file, socket := filepath.Join(volume, "ops-backend.log"), filepath.Join(volume, "otlp.sock")
	engine, c, _ := both(t, "")
	admin := port(t)
	a := &node{grpc: "unix://" + socket, wal: filepath.Join(t.TempDir(), "wal")}
	a.proc = start(t, "agent", admin, "agent", "--config", config(t, fmt.Sprintf(`
receivers:
  otlp: {grpc: {transport: unix, endpoint: %q}, http: {endpoint: ""}}
  tail: [{include: [%q, %q]}]
service: {name: ops-backend}
wal: {dir: %q, min_free_mib: 64}
batch: {timeout: 200ms}
forward: {otlp: {endpoints: [%q], retry_on_failure: {initial_interval: 200ms, max_interval: 2s}}}
admin: {endpoint: %q}
`, socket, file, file+".*", a.wal, c.grpc, admin)))
	a.healthy()

	tee := exec.Command(bin, "tee", file, "--max-size-mib", "1", "--max-files", "50")
	tee.Stderr = os.Stderr
	in, err := tee.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tee.Start(); err != nil {
		t.Fatal(err)
	}
	l := newLoad(t, a.grpc, "socket", 50)
	client := logspb.NewLogsServiceClient(l.conn)
	printed := eachLine(t, structlog(t, "count", fmt.Sprint(count)), func(n int, line string) {
		switch n {
		case count / 4, count / 2:
			until(t, "the socket is served", func() bool { return l.send(client) })
			a.kill() // its socket stays behind
		case count * 3 / 8, count * 5 / 8:
			a.start()
		}
		if _, err := io.WriteString(in, line+"\n"); err != nil {
			t.Fatal(err)
		}
	})
	in.Close()
	if err := tee.Wait(); err != nil || printed != count {
		t.Errorf("%d lines printed, tee: %v", printed, err)
	}
	a.healthy()
	until(t, "the socket is served", func() bool { return l.send(client) })
	conn := connect(t, engine.DSN())
	until(t, "every line stored", func() bool {
		return one(t, conn, "SELECT uniqExact(LogAttributes['n']) FROM otel_logs WHERE ServiceName = 'ops-backend'") == count
	})
	a.drained()
	if rows := one(t, conn, "SELECT count() FROM otel_logs WHERE ServiceName = 'ops-backend'"); rows != count {
		t.Errorf("%d rows of %d lines", rows, count)
	}
	if lost, duplicated := l.verify(conn); lost > 0 || duplicated > 0 {
		t.Errorf("over the socket: %d lost, %d there twice", lost, duplicated)
	}
}

// On a VM a unit's output is appended to a file, or goes to the journal: here of real units, with the packaged unit
// and configuration of the agent. It has no collector, so that its log is what it took.
func TestAVMsWaysSurviveKill9(t *testing.T) {
	t.Parallel()
	const count = 3000
	service, err := os.ReadFile("testdata/structlog/service.py")
	if err != nil {
		t.Fatal(err)
	}
	m := startSystemd(t)
	m.journalOf("spillway-agent")
	if err := os.WriteFile(filepath.Join("/proc", m.init, "root/root/service.py"), service, 0o644); err != nil {
		t.Fatal(err)
	}
	m.run(`echo 'd /var/log/shop 0755 root adm' >/etc/tmpfiles.d/shop.conf && systemd-tmpfiles --create /etc/tmpfiles.d/shop.conf`)
	for unit, output := range map[string]string{"shop": "append:/var/log/shop/shop.log", "till": "journal"} {
		m.run(fmt.Sprintf(`printf '[Service]\nExecStart=/usr/bin/python3 -u /root/service.py count %d %s\nStandardOutput=%s\n' >/run/systemd/system/%[2]s.service`, count, unit, output))
	}
	m.run("mkdir -p /run/systemd/system/spillway-agent.service.d && printf '[Service]\\nRestartSec=100ms\\n' >/run/systemd/system/spillway-agent.service.d/test.conf")
	m.run("systemctl daemon-reload && systemctl start spillway-agent && systemctl start shop till")
	taken := func() (lines []string) {
		out, _ := m.try("spillway wal dump /var/lib/spillway/wal 2>/dev/null | grep -ao '~[a-z]*~[0-9]*~' || true")
		return strings.Fields(out)
	}
	for kill := 1; kill <= 3; kill++ {
		had := len(taken())
		until(t, "the agent takes more", func() bool { n := len(taken()); return n > had || n >= 2*count })
		m.run("systemctl kill -s KILL spillway-agent")
		m.until("systemctl show -P NRestarts spillway-agent", fmt.Sprint(kill))
		m.until("systemctl is-active spillway-agent", "active")
	}
	times := make(map[string]int)
	until(t, "every line taken", func() bool {
		clear(times)
		for _, l := range taken() {
			times[l]++
		}
		return len(times) >= 2*count
	})
	for line, n := range times {
		if n != 1 {
			t.Errorf("%s was taken %d times", line, n)
		}
	}
}

// While the agent of a node is replaced, the kubelet rotates and compresses: what was written and rotated in the gap
// is read from the compressed files by the next one, and all of it once.
func TestTheGapOfAReplacementIsRead(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pods", "shop_worker-0_6f1e9a52-7d1c-4c40-9a3f-0d8a5b6c7d8e", "worker")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	container, err := kit.NewCRILog(filepath.Join(dir, "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer container.Close()
	kubelet := &kit.Kubelet{Log: container, MaxFiles: 10}
	engine, _, a := both(t, fmt.Sprintf(", tail: [{include: [%q]}]", filepath.Join(dir, "*.log")))
	const count = 5000
	printed := eachLine(t, structlog(t, "count", fmt.Sprint(count)), func(n int, line string) {
		switch n {
		case count / 5:
			until(t, "the log found", func() bool { return kit.Total(a.metrics(), "spillway_in_items_total") > 0 })
			if code := a.term(); code != 0 {
				t.Errorf("exit %d", code)
			}
		case count * 2 / 5, count * 3 / 5, count * 4 / 5:
			if err := kubelet.Pass(false, true); err != nil {
				t.Fatal(err)
			}
		}
		if err := container.WriteWhole("stdout", line); err != nil {
			t.Fatal(err)
		}
	})
	if gz, _ := filepath.Glob(filepath.Join(dir, "*.gz")); len(gz) == 0 {
		t.Error("nothing was compressed in the gap")
	}
	a.start()
	a.healthy()
	conn := connect(t, engine.DSN())
	until(t, "every line stored", func() bool {
		return one(t, conn, "SELECT uniqExact(LogAttributes['n']) FROM otel_logs") == count
	})
	a.drained()
	if rows := one(t, conn, "SELECT count() FROM otel_logs"); rows != count || printed != count {
		t.Errorf("%d rows of %d lines", rows, printed)
	}
}
