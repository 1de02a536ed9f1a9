package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// journal writes entries from, to of units a, b and c to a real journal.
func journal(t *testing.T, dir string, from, to int) {
	t.Helper()
	const remote = "/lib/systemd/systemd-journal-remote"
	var b strings.Builder
	for i := from; i < to; i++ {
		message := fmt.Sprintf("entry %d", i)
		if i%3 == 0 {
			message = fmt.Sprintf(`{"event": "entry %d", "level": "error", "order": %d}`, i, i)
		}
		fmt.Fprintf(&b, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=%032x\n_SYSTEMD_UNIT=%c.service\n_PID=12\nPRIORITY=6\nMESSAGE=%s\n\n",
			time.Now().UnixMicro(), 1000+i, 0xb007, 'a'+i%3, message)
	}
	cmd := exec.Command(remote, "-o", filepath.Join(dir, "test.journal"), "-")
	cmd.Stdin = strings.NewReader(b.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s: apt-get install systemd systemd-journal-remote", remote, err, out)
	}
}

// The agent is killed with -9 again and again while it reads a journal that is written to: every
// entry is in ClickHouse once, mapped.
func TestAJournalIsReadExactlyOnceThroughKill9(t *testing.T) {
	t.Parallel()
	const kills, entries = 8, 20_000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	engine := enginetest.Start(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	dir := t.TempDir()
	journal(t, dir, 0, 100)
	a := startAgent(t, c.grpc, fmt.Sprintf(", journald: [{directory: %q, start_at: beginning}]", dir))

	conn := connect(t, engine.DSN())
	written := 100
	for range kills {
		n := entries / kills / 2
		journal(t, dir, written, written+n)
		written += n
		// Killed at any moment between that and all being read.
		want := r.IntN(n)
		until(t, "some entries are read", func() bool {
			return kit.Total(a.metrics(), "spillway_journald_entries_total") >= float64(want)
		})
		a.kill()
		journal(t, dir, written, written+n) // while nobody reads
		written += n
		a.start()
		a.healthy()
	}
	until(t, "all is in ClickHouse", func() bool { return one(t, conn, "SELECT uniqExact(Body) FROM otel_logs") >= uint64(written) })
	a.drained()
	if n := one(t, conn, "SELECT count() FROM otel_logs"); n != uint64(written) {
		t.Errorf("%d rows of %d entries", n, written)
	}
	if n := one(t, conn, "SELECT countIf(ServiceName = 'a' AND SeverityNumber = 17 AND LogAttributes['order'] = splitByChar(' ', Body)[2] AND ResourceAttributes['systemd.unit'] = 'a.service' AND LogAttributes['process.pid'] = '12') FROM otel_logs"); n != uint64(written+2)/3 {
		t.Errorf("%d of %d entries with JSON are as they should be", n, (written+2)/3)
	}
	m := a.metrics()
	read, out := m[`spillway_journald_entries_total{outcome="read"}`], 0.0
	for _, o := range []string{"emitted", "own", "malformed"} {
		out += m[fmt.Sprintf("spillway_journald_entries_total{outcome=%q}", o)]
	}
	if read != out {
		t.Errorf("%.0f read, %.0f accounted for", read, out)
	}
	t.Logf("%d entries, %d kills", written, kills)

	pgrep, _ := exec.Command("pgrep", "-f", dir).Output()
	a.kill()
	for _, pid := range strings.Fields(string(pgrep)) {
		if cmdline, _ := os.ReadFile("/proc/" + pid + "/cmdline"); !strings.Contains(string(cmdline), "journalctl") {
			continue
		}
		until(t, "journalctl ends with its agent", func() bool { _, err := os.Stat("/proc/" + pid); return err != nil })
	}
}
