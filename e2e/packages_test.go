package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// packages builds a deb and an rpm of two releases.
func packages(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, version := range []string{"1.0.0", "1.0.1"} {
		if out, err := exec.Command("../deploy/packages/build.sh", bin, version, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return dir
}

// What a package brings, with owner and mode.
var brought = map[string]string{
	"/usr/bin/spillway": "root:root 755",
	"/usr/lib/systemd/system/spillway-agent.service":      "root:root 644",
	"/usr/lib/systemd/system/spillway-collector.service":  "root:root 644",
	"/usr/lib/systemd/system/spillway-standalone.service": "root:root 644",
	"/usr/lib/systemd/system/spillway-verify.service":     "root:root 644",
	"/usr/lib/systemd/system/spillway-verify.timer":       "root:root 644",
	"/etc/spillway":                      "root:spillway 750",
	"/etc/spillway/agent.yaml":           "root:spillway 640",
	"/etc/spillway/collector.yaml":       "root:spillway 640",
	"/etc/spillway/standalone.yaml":      "root:spillway 640",
	"/usr/share/doc/spillway/systemd.md": "root:root 644",
	"/usr/share/doc/spillway/copyright":  "root:root 644",
	"/var/lib/spillway":                  "spillway:spillway 750",
}

// Installed, changed, upgraded and removed, on a machine on which no systemd runs: files, user and
// units are there, state and configuration stay at an upgrade and a removal, and a purge leaves nothing.
func TestPackagesComeAndGo(t *testing.T) {
	t.Parallel()
	dir := packages(t)
	for kind, c := range map[string]struct{ install, upgrade, remove, purge, version string }{
		"deb": {"dpkg -i /packages/spillway_1.0.0_*.deb", "dpkg -i /packages/spillway_1.0.1_*.deb", "dpkg -r spillway", "dpkg -P spillway", "dpkg-query -f '${Version}' -W spillway"},
		// This system's rpm knows nothing of its packages.
		"rpm": {"rpm -i --nodeps /packages/spillway-1.0.0-*.rpm", "rpm -U --nodeps /packages/spillway-1.0.1-*.rpm", "rpm -e spillway", "", "rpm -q --qf '%{VERSION}' spillway"},
	} {
		t.Run(kind, func(t *testing.T) {
			m := startMachine(t, dir, "tail -f /dev/null")
			if out, err := m.try("getent passwd spillway || ls -d /etc/spillway"); err == nil {
				t.Fatalf("the machine is not clean: %s", out)
			}
			m.run(c.install)
			m.is(c.version, "1.0.0")
			for file, want := range brought {
				m.is("stat -c '%U:%G %a' "+file, want)
			}
			m.is("getent passwd spillway | cut -d: -f 6,7", "/var/lib/spillway:/usr/sbin/nologin")
			for _, mode := range []string{"agent", "collector", "standalone"} {
				m.run("setpriv --reuid spillway --regid spillway --clear-groups spillway check --as " + mode + " /etc/spillway/" + mode + ".yaml")
			}
			if out, err := m.try("systemd-analyze verify /usr/lib/systemd/system/spillway-*"); err != nil || out != "" {
				t.Errorf("units: %v %s", err, out)
			}
			m.run("setpriv --reuid spillway --regid spillway --clear-groups sh -c 'mkdir /var/lib/spillway/wal && echo kept >/var/lib/spillway/wal/state'")
			m.run("echo '# ours' >>/etc/spillway/agent.yaml")

			m.run(c.upgrade)
			m.is(c.version, "1.0.1")
			m.is("cat /var/lib/spillway/wal/state", "kept")
			m.is("tail -n 1 /etc/spillway/agent.yaml", "# ours")
			m.is("stat -c '%U:%G %a' /var/lib/spillway/wal/state", "spillway:spillway 644")

			m.run(c.remove)
			m.gone("/usr/bin/spillway", "/usr/lib/systemd/system/spillway-*")
			m.is("cat /var/lib/spillway/wal/state", "kept")
			m.is("tail -n 1 /etc/spillway/agent.yaml*", "# ours")
			if c.purge == "" {
				return
			}
			m.run(c.purge)
			m.gone("/var/lib/spillway*", "/etc/spillway", "/usr/share/doc/spillway")
			if out, err := m.try("getent passwd spillway || getent group spillway"); err == nil {
				t.Errorf("the user is still there: %s", out)
			}
		})
	}
}

// The units give away as little as systemd can measure: 10 is nothing kept back, 0 is everything.
func TestTheUnitsAreHardened(t *testing.T) {
	units, err := filepath.Glob("../deploy/systemd/*.service")
	if err != nil || len(units) != 4 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	for _, unit := range units {
		if out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold=19", "--no-pager", unit).CombinedOutput(); err != nil {
			t.Errorf("%s is at 2.0 or above, or was not read: %v\n%s", unit, err, out)
		}
		// What the measure stands on: a unit without it is above.
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		weak := filepath.Join(t.TempDir(), filepath.Base(unit))
		if err := os.WriteFile(weak, []byte(strings.ReplaceAll(string(text), "SystemCallFilter=", "# ")), 0o600); err != nil {
			t.Fatal(err)
		}
		if exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold=19", "--no-pager", weak).Run() == nil {
			t.Errorf("%s without its filter of system calls is below 2.0, too", unit)
		}
	}
}
