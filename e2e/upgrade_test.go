//go:build upgrade

package e2e

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

var earlier = flag.String("earlier", "", "a program of an earlier build")

// An earlier build, the program that -earlier names, gives way to this one under load, the collector first, as
// docs/guarantees.md says. `make upgrade` builds the earlier one from the history.
func TestUpUnderLoad(t *testing.T) {
	underLoad(t, func(up, _ func(p *proc, hard bool), c, a *proc) {
		up(c, false)
		up(a, false)
	})
}

func TestUpByKill9UnderLoad(t *testing.T) {
	underLoad(t, func(up, _ func(p *proc, hard bool), c, a *proc) {
		up(c, true)
		up(a, true)
	})
}

// Up and down again and again: agent and collector each change first once, by SIGTERM and by kill -9.
func TestUpAndDownUnderLoad(t *testing.T) {
	underLoad(t, func(up, down func(p *proc, hard bool), c, a *proc) {
		for _, hard := range []bool{false, true} {
			up(c, hard)
			up(a, hard)
			down(a, hard)
			down(c, hard)
			up(a, hard)
			up(c, hard)
			down(c, hard)
			down(a, hard)
		}
		up(c, false)
		up(a, false)
	})
}

// underLoad runs changes while requests come and a container's log is written and rotated. What was acknowledged and what was printed
// is stored once.
func underLoad(t *testing.T, changes func(up, down func(p *proc, hard bool), c, a *proc)) {
	if *earlier == "" {
		t.Fatal("-earlier names no program: run make upgrade")
	}
	engine := enginetest.Start(t)
	dir := filepath.Join(t.TempDir(), "pods", "shop_worker-0_6f1e9a52-7d1c-4c40-9a3f-0d8a5b6c7d8e", "worker")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	container, err := kit.NewCRILog(filepath.Join(dir, "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer container.Close()
	kubelet := &kit.Kubelet{Log: container, MaxFiles: 30}

	current := bin
	as := func(program string) { bin = program }
	defer as(current)
	as(*earlier)
	c := startCollector(t, engine.DSN())
	c.ready()
	a := startAgent(t, c.grpc, fmt.Sprintf(", tail: [{include: [%q]}]", filepath.Join(dir, "*.log")))
	l := newLoad(t, a.grpc, "upgrade", 100)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.run(ctx, 2, 5*time.Millisecond) })
	lines := 0
	running.Go(func() {
		for ctx.Err() == nil {
			if err := container.WriteWhole("stdout", fmt.Sprintf(`{"event":"line","n":%d}`, lines)); err != nil {
				t.Error(err)
				return
			}
			if lines++; lines%400 == 0 {
				if err := kubelet.Pass(false, true); err != nil {
					t.Error(err)
					return
				}
			}
			<-time.After(time.Millisecond)
		}
	})
	to := func(program string) func(p *proc, hard bool) {
		return func(p *proc, hard bool) {
			target := l.ackedCount() + 2000
			until(t, "some more records acknowledged", func() bool { return l.ackedCount() >= target })
			if hard {
				p.kill()
			} else if code := p.term(); code != 0 {
				t.Errorf("%s: exit %d", p.name, code)
			}
			as(program)
			p.start()
			p.healthy()
		}
	}
	changes(to(current), to(*earlier), c.proc, a.proc)
	stop()
	running.Wait()
	conn := connect(t, engine.DSN())
	until(t, "every line stored", func() bool {
		return one(t, conn, "SELECT uniqExact(LogAttributes['n']) FROM otel_logs WHERE Body = 'line'") == uint64(lines)
	})
	a.drained()
	rows := one(t, conn, "SELECT count() FROM otel_logs WHERE Body = 'line'")
	lost, duplicated := l.verify(conn)
	t.Logf("%d records, lost %d, duplicated %d; %d lines, duplicated %d", l.ackedCount(), lost, duplicated, lines, rows-uint64(lines))
	if lost > 0 || duplicated > 0 || rows != uint64(lines) {
		t.Errorf("%d lost, %d there twice; %d rows of %d lines", lost, duplicated, rows, lines)
	}
}

// TestRecordALog is for whoever wants another one: it makes the log that TestTheLogOfAnEarlierBuildIsDelivered delivers: of an agent that was killed with -9 before it
// could deliver anything.
func TestRecordALog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.log")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bin = *earlier
	a := startAgent(t, port(t), fmt.Sprintf(", tail: [{include: [%q]}]", file))
	client := client(t, a.grpc)
	for n := uint64(0); n < 300; n += 50 {
		if _, err := client.Export(t.Context(), numbered("golden", span{n, n + 50})); err != nil {
			t.Fatal(err)
		}
	}
	for path, body := range map[string]string{
		"/v1/traces":  `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"golden","startTimeUnixNano":"1795910400000000000","endTimeUnixNano":"1795910401000000000"}]}]}]}`,
		"/v1/metrics": `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"golden","gauge":{"dataPoints":[{"timeUnixNano":"1795910400000000000","asDouble":1.5}]}}]}]}]}`,
	} {
		resp, err := http.Post("http://"+a.http+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, resp.Status)
		}
	}
	var lines strings.Builder
	for n := range 100 {
		fmt.Fprintf(&lines, `{"event":"line","n":%d}`+"\n", n)
	}
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "everything in the log", func() bool { return kit.Total(a.metrics(), "spillway_wal_held_items") == 402 })
	a.kill()
	if out, err := exec.Command("tar", "-C", a.wal, "--exclude", "LOCK", "--exclude", "view.db", "-czf", earlierLog, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
