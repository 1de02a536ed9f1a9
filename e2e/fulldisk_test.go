package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
	"github.com/spillway-io/spillway/wal/smalldisk"
)

// Somebody else fills the node's disk while the collector is away; the agent is killed on the
// full disk and starts again; the collector comes back before there is room. Senders are told to
// wait, what was acknowledged arrives, and when there is room again senders succeed.
func TestADiskThatSomebodyElseFilled(t *testing.T) { smalldisk.On(t, 96, diskFilled) }

func diskFilled(t *testing.T, disk string) {
	engine := enginetest.Start(t)
	target, admin := port(t), port(t)
	a := &node{grpc: port(t), http: port(t), wal: filepath.Join(disk, "wal")}
	a.proc = start(t, "agent", admin, "agent", "--config", config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}}
wal: {dir: %q, max_size_mib: 64, min_free_mib: 1}
batch: {timeout: 200ms}
forward: {otlp: {endpoints: [%q], retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
admin: {endpoint: %q}
`, a.grpc, a.http, a.wal, target, admin)))
	a.healthyNode()

	l := newLoad(t, a.grpc, "disk", 50)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan struct{})
	go func() { defer close(done); l.run(ctx, 4, 5*time.Millisecond) }()
	until(t, "records in the log", func() bool { return l.ackedCount() > 20_000 })

	empty := smalldisk.Fill(t, disk)
	refused := func() bool { return status.Code(l.lastError()) == codes.ResourceExhausted }
	until(t, "refusal", refused)
	a.kill()
	a.start()
	a.healthy()
	l.forget()
	until(t, "refusal after a restart on the full disk", refused)
	a.equation()

	collectorAdmin := port(t)
	start(t, "collector", collectorAdmin, "collector", "--config", config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: ""}}}
batch: {timeout: 1s}
forward: {clickhouse: {dsn: %q}}
admin: {endpoint: %q}
`, target, engine.DSN(), collectorAdmin))).ready()
	before := l.ackedCount()
	empty()
	until(t, "success once there is room", func() bool { return l.ackedCount() > before+5_000 })
	stop()
	<-done
	a.drained()
	a.equation()
	lost, duplicated := l.verify(connect(t, engine.DSN()))
	t.Logf("%d records acknowledged, lost %d, duplicated %d", l.ackedCount(), lost, duplicated)
	if lost > 0 || duplicated > 0 {
		t.Errorf("%d acknowledged records lost, %d are there twice", lost, duplicated)
	}
}
