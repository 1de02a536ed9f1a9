package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// A pipe that ends: its lines are delivered, and then the agent has done its work. What could not
// be delivered, for want of a collector, waits in the log for an agent on the same log.
func TestAnAgentOnAPipeEndsWithIt(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t)
	grpc := port(t)
	admin := port(t)
	file := config(t, fmt.Sprintf(`
service: {name: piped}
receivers: {otlp: {grpc: {endpoint: ""}, http: {endpoint: ""}}}
wal: {dir: %q, min_free_mib: 64}
batch: {timeout: 200ms}
forward: {otlp: {endpoints: [%q], retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
admin: {endpoint: %q}
shutdown_timeout: 5s
`, filepath.Join(t.TempDir(), "wal"), grpc, admin))
	run := func(from, to int) {
		t.Helper()
		begun := time.Now()
		line := fmt.Sprintf("seq %d %d | %s agent --stdin --config %s", from, to-1, bin, file)
		out, err := exec.Command("sh", "-c", line).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Logf("%d lines in %s: %s", to-from, time.Since(begun).Round(10*time.Millisecond), out)
	}
	run(0, 50_000)
	c := startCollectorAt(t, engine.DSN(), grpc)
	c.ready()
	run(50_000, 100_000)
	start(t, "agent", admin, "agent", "--config", file).healthy()
	conn := connect(t, engine.DSN())
	until(t, "all rows", func() bool {
		return one(t, conn, "SELECT count() FROM otel_logs WHERE ServiceName = 'piped'") >= 100_000
	})
	if n := one(t, conn, "SELECT uniqExact(toUInt32(Body)) FROM otel_logs WHERE LogAttributes = map()"); n != 100_000 {
		t.Errorf("%d lines of 100000", n)
	}
	if n := one(t, conn, "SELECT count() FROM otel_logs"); n != 100_000 {
		t.Errorf("%d rows of 100000 lines", n)
	}
}
