package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// SIGTERM under load: intake stops, what can be delivered is delivered, the rest stays in the
// log, exit 0; and after the next start everything acknowledged is in ClickHouse.
func TestSIGTERMLosesNothing(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	a := startAgent(t, c.grpc, "")
	l := newLoad(t, a.grpc, "term", 100)
	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	loading.Go(func() { l.run(ctx, 2, 5*time.Millisecond) })
	for round := range 3 {
		target := l.ackedCount() + 3000
		until(t, "some more records acknowledged", func() bool { return l.ackedCount() >= target })
		if round == 1 {
			c.kill() // a stop with nobody to deliver to
		}
		if code := a.term(); code != 0 {
			t.Errorf("round %d: exit %d", round, code)
		}
		if round == 1 {
			if said := a.log.String(); !regexp.MustCompile(`waits in the log","items":[1-9]\d*,"bytes":[1-9]\d*,"dir":"/`).MatchString(said) {
				t.Errorf("it did not say what is left:\n%s", tail(said, 5))
			}
			c.start()
		}
		a.start()
		a.healthy()
	}
	if code := c.term(); code != 0 {
		t.Errorf("collector: exit %d", code)
	}
	c.start()
	stop()
	loading.Wait()
	a.drained()
	lost, duplicated := l.verify(connect(t, engine.DSN()))
	t.Logf("records %d, lost %d, duplicated %d", l.ackedCount(), lost, duplicated)
	if lost > 0 || duplicated > 0 {
		t.Errorf("%d lost, %d there twice", lost, duplicated)
	}
}

// A second signal ends the process at once, and what was acknowledged is in the log all the same.
func TestASecondSignalEndsAtOnceAndLosesNothing(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	c.kill()
	a := startAgent(t, c.grpc, "")
	l := newLoad(t, a.grpc, "second", 100)
	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	loading.Go(func() { l.run(ctx, 2, 5*time.Millisecond) })
	until(t, "records acknowledged", func() bool { return l.ackedCount() >= 2000 })
	stop()
	loading.Wait()

	a.mu.Lock()
	a.cmd.Process.Signal(syscall.SIGTERM)
	a.mu.Unlock()
	until(t, "intake stopped", func() bool { return !l.probe() })
	a.mu.Lock()
	a.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-a.done: // without the second signal it would go on for shutdown_timeout, 20 s
	case <-time.After(10 * time.Second):
		t.Error("a second signal did not end it")
	}
	if a.cmd.ProcessState != nil && a.cmd.ProcessState.Success() {
		t.Error("a hurried end passes for a clean one")
	}
	a.cmd = nil
	a.mu.Unlock()

	c.start()
	a.start()
	a.healthy()
	a.drained()
	if lost, _ := l.verify(connect(t, engine.DSN())); lost > 0 {
		t.Errorf("%d lost", lost)
	}
}

// In overflow mode a clean stop writes first: nothing acknowledged is lost by SIGTERM. (By
// kill -9 is: what was not written is gone, which is what the mode gives up.)
func TestOverflowSpillsOnSIGTERM(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	c.kill()
	n := &node{grpc: port(t), http: port(t), wal: filepath.Join(t.TempDir(), "wal")}
	admin := port(t)
	n.proc = start(t, "agent", admin, "agent", "--config", config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}}
wal: {dir: %q, mode: overflow, min_free_mib: 64}
batch: {timeout: 1h, send_batch_size: 1000000}
forward: {otlp: {endpoints: [%q], retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
admin: {endpoint: %q}
shutdown_timeout: 2s
`, n.grpc, n.http, n.wal, c.grpc, admin)))
	n.healthy()
	l := newLoad(t, n.grpc, "overflow", 100)
	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	loading.Go(func() { l.run(ctx, 2, time.Millisecond) })
	until(t, "records acknowledged", func() bool { return l.ackedCount() >= 5000 })
	stop()
	loading.Wait()
	if deferred := kit.Total(n.metrics(), "spillway_wal_deferred_bytes"); deferred == 0 {
		t.Error("overflow mode wrote although nothing pressed")
	}
	if code := n.term(); code != 0 {
		t.Errorf("exit %d", code)
	}
	c.start()
	// The same log, now with ordinary batches.
	text := strings.ReplaceAll(readFile(t, n.args[len(n.args)-1]), "batch: {timeout: 1h, send_batch_size: 1000000}", "batch: {timeout: 200ms}")
	n.args[len(n.args)-1] = config(t, text)
	n.start()
	n.healthy()
	n.drained()
	if lost, _ := l.verify(connect(t, engine.DSN())); lost > 0 {
		t.Errorf("%d lost", lost)
	}
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
