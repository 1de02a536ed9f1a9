package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// Agent, collector and engine are killed with -9 in random order during load, at least twenty
// times each. Every acknowledged record must be in ClickHouse, once.
func TestEveryAcknowledgedRecordSurvivesKill9(t *testing.T) {
	t.Parallel()
	const (
		kills   = 20 // of each
		records = 500_000
	)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	engine := enginetest.Start(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	a := startAgent(t, c.grpc, "")
	l := newLoad(t, a.grpc, "kill9", 250)

	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	loading.Go(func() { l.run(ctx, 4, 5*time.Millisecond) })

	victims := make([]int, 0, 3*kills)
	for i := range 3 {
		for range kills {
			victims = append(victims, i)
		}
	}
	r.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	for i, v := range victims {
		// The next kill comes when some more was acknowledged, so that every one meets data under way.
		target := l.ackedCount() + 2000 + uint64(r.IntN(8000))
		until(t, "some more records acknowledged", func() bool { return l.ackedCount() >= target })
		switch v {
		case 0:
			a.kill()
			a.start()
			a.healthy()
		case 1:
			c.kill()
			c.start()
		case 2:
			engine.Kill9()
			engine.Restart()
		}
		if i%20 == 19 {
			t.Logf("%d kills, %d records acknowledged", i+1, l.ackedCount())
		}
	}
	until(t, "enough records acknowledged", func() bool { return l.ackedCount() >= records })
	stop()
	loading.Wait()
	c.ready()
	a.drained()
	c.equation()

	lost, duplicated := l.verify(connect(t, engine.DSN()))
	t.Logf("seed %d, kills %d, records %d, lost %d, duplicated %d", seed, len(victims), l.ackedCount(), lost, duplicated)
	if lost > 0 || duplicated > 0 {
		t.Errorf("%d acknowledged records are lost, %d are there twice", lost, duplicated)
	}
}

// The collector is away for a minute: nothing is refused, nothing is lost. There is no journalctl either, and a directory
// that cannot be read: all of that is said in fewer than 100 lines.
func TestAMinuteWithoutACollector(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	dir := t.TempDir()
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil { // unreadable for root, too
		t.Fatal(err)
	}
	a := startAgent(t, c.grpc, fmt.Sprintf(", tail: [{include: [%q]}], journald: [{journalctl_path: %q}]", filepath.Join(dir, "loop", "*.log"), filepath.Join(dir, "none")))
	l := newLoad(t, a.grpc, "outage", 50)
	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	loading.Go(func() { l.run(ctx, 2, 50*time.Millisecond) })

	until(t, "first delivery", func() bool { return kit.Total(a.metrics(), "spillway_out_items_total") > 0 })
	c.kill()
	ends := time.Now().Add(time.Minute)
	until(t, "a minute has passed", func() bool { return time.Now().After(ends) })
	said := strings.Count(a.log.String(), "\n")
	t.Logf("an agent in trouble for a minute said %d lines:\n%s", said, a.log.String())
	if said >= 100 || !strings.Contains(a.log.String(), "journalctl does not run") || !strings.Contains(a.log.String(), "loop") {
		t.Errorf("it said %d lines, want fewer than 100 with all its troubles in them", said)
	}
	before := kit.Total(a.metrics(), "spillway_out_items_total")
	c.start()
	c.healthy()
	back := time.Now()
	until(t, "first delivery after the outage", func() bool { return kit.Total(a.metrics(), "spillway_out_items_total") > before })
	t.Logf("first delivery %s after the collector answered", time.Since(back))
	stop()
	loading.Wait()
	a.drained()
	if refused := kit.Total(a.metrics(), "spillway_refused_requests_total"); refused != 0 {
		t.Errorf("%.0f requests were refused", refused)
	}
	lost, duplicated := l.verify(connect(t, engine.DSN()))
	t.Logf("records %d, lost %d, duplicated %d", l.ackedCount(), lost, duplicated)
	if lost > 0 || duplicated > 0 {
		t.Errorf("%d acknowledged records are lost, %d are there twice", lost, duplicated)
	}
}
