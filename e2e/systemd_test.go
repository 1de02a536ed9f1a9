package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// little is a target that pulls in no more of this system's units than is needed to write to the journal.
const little = `mkdir -p /run/systemd/system
for t in sysinit basic shutdown; do printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' $t >/run/systemd/system/$t.target; done
printf '[Unit]\nDescription=test\nDefaultDependencies=no\nWants=systemd-journald.socket systemd-journald.service\n' >/run/systemd/system/test.target
mkdir -p /run/log/journal
systemd-tmpfiles --create --prefix=/run/log/journal
exec /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=0`

// startSystemd boots a machine with a systemd, and installs the package.
func startSystemd(t *testing.T) *machine {
	t.Helper()
	dir := packages(t)
	if err := os.WriteFile(filepath.Join(dir, "init"), []byte(little), 0o700); err != nil {
		t.Fatal(err)
	}
	m := startMachine(t, dir, "sh /packages/init")
	m.until("systemctl is-active test.target systemd-journald.service", "active\nactive")
	m.run("dpkg -i /packages/spillway_1.0.0_*.deb")
	return m
}

// What the journal holds of a unit, for whoever looks for a mistake.
func (m *machine) journalOf(unit string) {
	m.t.Cleanup(func() {
		if m.t.Failed() {
			out, _ := m.try("systemctl status --no-pager -l " + unit + "; journalctl --no-pager -o cat -n 30 -u " + unit)
			m.t.Logf("%s:\n%s", unit, out)
		}
	})
}

// The shipped unit of an agent under a real systemd: it starts and is told to be ready, runs as its user
// behind all that is shut off, takes in what a program prints to the journal and to a file, reloads
// or says why not, shows a credential as its token, is started again when it hangs, upgraded, and stops in order.
func TestTheAgentRunsUnderSystemd(t *testing.T) {
	t.Parallel()
	m := startSystemd(t)
	m.journalOf("spillway-agent")
	m.run("install -d -m 0700 /etc/credstore && echo secret >/etc/credstore/spillway.token")
	// The packaged file as it is, but that the token of the receiver is the credential's.
	m.run(`sed -i 's|http: {endpoint: "127.0.0.1:4318"}|http: {endpoint: "127.0.0.1:4318", auth: {tokens: ["${credential:spillway.token}"]}}|' /etc/spillway/agent.yaml`)
	m.run("mkdir -p /run/systemd/system/spillway-agent.service.d && printf '[Service]\\nEnvironment=SPILLWAY_SHUTDOWN_TIMEOUT=1s\\n' >/run/systemd/system/spillway-agent.service.d/stop.conf && systemctl daemon-reload")
	m.is("systemctl is-enabled spillway-agent || true", "disabled")
	m.run("systemctl start spillway-agent")
	m.is("systemctl is-active spillway-agent", "active")
	m.is("ps -o user= -p $(systemctl show -P MainPID spillway-agent)", "spillway")
	m.is("grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/$(systemctl show -P MainPID spillway-agent)/status | tr -s '\\t' ' ' | tr '\\n' ' '",
		"CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2")
	m.until("systemctl show -P StatusText spillway-agent", "items in the log")
	m.is("curl -s http://127.0.0.1:13133/healthz", "ok")

	// Two shapes of a program's output.
	m.run(`echo 'd /var/log/shop 0755 root adm' >/etc/tmpfiles.d/shop.conf && systemd-tmpfiles --create /etc/tmpfiles.d/shop.conf
cat >/run/systemd/system/shop.service <<'END'
[Service]
ExecStart=/bin/sh -c 'for i in 1 2 3; do echo to a file $$i; done; exec sleep infinity'
StandardOutput=append:/var/log/shop/shop.log
END
cat >/run/systemd/system/till.service <<'END'
[Service]
ExecStart=/bin/sh -c 'for i in 1 2 3; do echo to the journal $$i; done; exec sleep infinity'
END
systemctl daemon-reload
systemctl start shop till`)
	m.until("curl -s http://127.0.0.1:13133/metrics | grep '^spillway_tail_lines_total{outcome=\"emitted\"}'", " 3")
	m.until("spillway wal dump /var/lib/spillway/wal 2>/dev/null | grep -o 'to the journal [0-9]' | sort -u | wc -l", "3")
	m.until("spillway wal dump /var/lib/spillway/wal 2>/dev/null | grep -o 'to a file [0-9]' | sort -u | wc -l", "3")

	// A credential, and a reload that is refused and one that is not.
	status := func(token string) string {
		return m.run("curl -s -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' -H 'Authorization: Bearer " + token + "' -d '{}' http://127.0.0.1:4318/v1/logs")
	}
	if got := status("secret"); got != "200" {
		t.Errorf("with the credential: %s", got)
	}
	if got := status("other"); got != "401" {
		t.Errorf("with another token: %s", got)
	}
	m.run("cp /etc/spillway/agent.yaml /root/agent.yaml && echo 'nonsense: 1' >>/etc/spillway/agent.yaml && systemctl reload spillway-agent")
	m.until("systemctl show -P StatusText spillway-agent", `unknown key "nonsense"`)
	m.is("systemctl is-active spillway-agent", "active")
	m.run("sed 's|${credential:spillway.token}|changed|' /root/agent.yaml >/etc/spillway/agent.yaml && systemctl reload spillway-agent")
	m.until("curl -s http://127.0.0.1:13133/metrics | grep '^spillway_config_reloads_total'", `outcome="applied"} 1`)
	if got := status("changed"); got != "200" {
		t.Errorf("with the token of the reload: %s", got)
	}
	m.until("systemctl is-active spillway-agent", "active")

	// Who hangs is ended by the watchdog, and started again.
	m.run("printf '[Service]\\nWatchdogSec=2\\n' >/run/systemd/system/spillway-agent.service.d/test.conf && systemctl daemon-reload && systemctl restart spillway-agent")
	m.run("kill -STOP $(systemctl show -P MainPID spillway-agent)")
	m.until("systemctl show -P NRestarts spillway-agent", "1")
	m.until("systemctl is-active spillway-agent", "active")

	pid := m.run("systemctl show -P MainPID spillway-agent")
	m.run("dpkg -i /packages/spillway_1.0.1_*.deb")
	m.is("systemctl is-active spillway-agent", "active")
	if now := m.run("systemctl show -P MainPID spillway-agent"); now == pid {
		t.Error("the upgrade left the old process running")
	}
	m.run("systemctl stop spillway-agent")
	m.is("systemctl show -P Result spillway-agent", "success")
	m.run("dpkg -P spillway")
	m.gone("/var/lib/spillway", "/etc/spillway", "/usr/bin/spillway")
}

// The shipped units of the others start under a real systemd, too; one whose configuration is wrong is
// not started again and again.
func TestCollectorAndStandaloneRunUnderSystemd(t *testing.T) {
	t.Parallel()
	m := startSystemd(t)
	for _, mode := range []string{"collector", "standalone"} {
		unit := "spillway-" + mode
		m.journalOf(unit)
		m.run("systemctl start " + unit)
		m.is("systemctl is-active "+unit, "active")
		m.is("ps -o user= -p $(systemctl show -P MainPID "+unit+")", "spillway")
		m.until("systemctl show -P StatusText "+unit, "the tables of ClickHouse are not ready yet") // there is none
		m.is("curl -s http://127.0.0.1:13134/healthz", "ok")
		m.run("systemctl reload " + unit)
		m.until("journalctl --no-pager -o cat -u "+unit, "configuration reloaded")
		m.run("systemctl stop " + unit)
		m.is("systemctl show -P Result "+unit, "success")
	}
	m.run("echo 'nonsense: 1' >>/etc/spillway/collector.yaml; systemctl start spillway-collector || true")
	m.until("systemctl show -P ActiveState spillway-collector", "failed")
	m.is("systemctl show -P NRestarts spillway-collector", "0")
}

// The shipped unit and timer that count, under a real systemd, with a configuration that names a credential: without ClickHouse
// it fails, says so and writes nothing; with it there is a file that others can read, and when it is away again the file stays.
func TestTheTimerCountsUnderSystemd(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t)
	if out, err := spillway("schema", "apply", "--clickhouse", engine.DSN()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := startSystemd(t)
	m.journalOf("spillway-verify")
	m.run("install -d -m 0700 /etc/credstore && echo secret >/etc/credstore/spillway.token")
	m.run(`sed -i 's|grpc: {endpoint: "0.0.0.0:4319",|& auth: {tokens: ["${credential:spillway.token}"]},|' /etc/spillway/collector.yaml && grep '^    grpc:.*credential' /etc/spillway/collector.yaml`)
	m.is("systemctl is-enabled spillway-verify.timer || true", "disabled")
	m.run("systemctl start spillway-verify.timer")
	m.is("systemctl show -P ActiveState -P Triggers spillway-verify.timer", "spillway-verify.service\nactive")
	count := func(code, says string) {
		t.Helper()
		m.run("systemctl start spillway-verify || true")
		m.is("systemctl show -P ExecMainStatus spillway-verify", code)
		m.until("journalctl --no-pager -o cat -n 5 -u spillway-verify", says)
	}
	count("1", "127.0.0.1:8123: connect: connection refused")
	m.is("stat -c '%U %a' /var/lib/spillway-verify", "spillway 755")
	m.is("ls -A /var/lib/spillway-verify", "")

	away := m.serve(t, "127.0.0.1:8123", engine.HTTPAddr())
	engine.SQL(`INSERT INTO otel_logs (Timestamp, IngestStream, IngestSeq, InsertedAt) SELECT now(), repeat('ab', 16), arrayJoin([1, 2, 5]), now() - 600
SETTINGS insert_allow_materialized_columns = 1`)
	count("1", "logs: streams 1, records 3, missing 2 in 1 gaps")
	const missing = "setpriv --reuid nobody --clear-groups grep -h '^spillway_verify_missing_records' /var/lib/spillway-verify/*.prom"
	m.is(missing, `spillway_verify_missing_records{signal="logs"} 2`)
	engine.SQL(`INSERT INTO otel_logs (Timestamp, IngestStream, IngestSeq, InsertedAt) SELECT now(), repeat('ab', 16), arrayJoin([3, 4]), now() - 600
SETTINGS insert_allow_materialized_columns = 1`)
	count("0", "logs: streams 1, records 5, missing 0 in 0 gaps")
	m.is(missing, `spillway_verify_missing_records{signal="logs"} 0`)
	away()
	file := m.run("cat /var/lib/spillway-verify/spillway_verify.prom")
	count("1", "127.0.0.1:8123: connect: connection refused")
	m.is("cat /var/lib/spillway-verify/*", file)
}

// Each drop-in of docs/systemd.md is one that systemd understands.
func TestTheVMPageIsTrue(t *testing.T) {
	page, err := os.ReadFile("../docs/systemd.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, block := range strings.Split(string(page), "```ini\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		dir := t.TempDir()
		unit := filepath.Join(dir, fmt.Sprintf("block%d.service", i))
		if !strings.Contains(text, "ExecStart=") {
			text += "ExecStart=/bin/true\n"
		}
		if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		b, err := exec.Command("systemd-analyze", "verify", unit).CombinedOutput()
		out := string(b)
		if err != nil || strings.Contains(out, "block") {
			t.Errorf("%s\n%v: %s", text, err, out)
		}
		n++
	}
	if n < 3 {
		t.Errorf("%d blocks", n)
	}
}
