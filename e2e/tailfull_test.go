package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// The collector is away and the log is full: tailing waits, and the files hold what it does not. One that
// it was in the middle of is removed meanwhile, another one rotated and written on, and a third one rotated and
// compressed. When the collector is back every line arrives, once.
func TestTailingWaitsForAFullLogAndLosesNothing(t *testing.T) {
	t.Parallel()
	const each, limitMiB = 12 << 20, 8 // bytes of each file, of which three are too many for the log
	dir := t.TempDir()
	grpc, admin := port(t), port(t)
	file := config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: ""}, http: {endpoint: ""}}, tail: [{include: [%q]}]}
wal: {dir: %q, max_size_mib: %d, min_free_mib: 64}
batch: {timeout: 200ms}
forward: {otlp: {endpoints: [%q], retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
admin: {endpoint: %q}
`, filepath.Join(dir, "*.log"), filepath.Join(t.TempDir(), "wal"), limitMiB, grpc, admin))
	a := &node{proc: start(t, "agent", admin, "agent", "--config", file)}
	a.healthy()

	r := rand.New(rand.NewPCG(1, 2))
	lines := make(map[string]int)
	write := func(path, name string, bytes int) {
		f, err := os.OpenFile(filepath.Join(dir, path), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var b []byte
		for len(b) < bytes {
			b = fmt.Appendf(b, "~%s~%d~ %016x%016x%016x%016x\n", name, lines[name], r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
			lines[name]++
		}
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"removed", "rotated", "compressed"}
	for _, name := range names {
		write(name+".log", name, each)
	}
	read := func() float64 { return kit.Total(a.metrics(), "spillway_tail_bytes_total", `outcome="read"`) }
	// Full is when nothing more is read for a while, though there is more.
	full := func(what string) {
		t.Helper()
		before, since := 0.0, time.Now()
		until(t, what, func() bool {
			if now := read(); now != before {
				before, since = now, time.Now()
			}
			return before > 0 && time.Since(since) > 2*time.Second
		})
		m := a.metrics()
		if unread := kit.Total(m, "spillway_tail_unread_bytes"); unread == 0 {
			t.Fatalf("%s: everything is read, %.0f bytes", what, before)
		}
		if used := kit.Total(m, "spillway_wal_bytes"); used > limitMiB<<20 {
			t.Errorf("%s: %.0f bytes of log, more than %d MiB", what, used, limitMiB)
		}
		t.Logf("%s: %.0f bytes are read, %.0f wait in files", what, before, kit.Total(m, "spillway_tail_unread_bytes"))
	}
	full("the log is full")
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Remove(at("removed.log")); err != nil {
		t.Fatal(err)
	}
	for _, name := range names[1:] {
		if err := os.Rename(at(name+".log"), at(name+".log.1")); err != nil {
			t.Fatal(err)
		}
		write(name+".log.1", name, 1<<20) // the program has not heard yet
		write(name+".log", name, 1<<20)
	}
	write("removed.log", "removed", 1<<20) // another file of that name
	if err := kit.Compress(at("compressed.log.1")); err != nil {
		t.Fatal(err)
	}
	full("files were removed and rotated")

	engine := enginetest.Shared(t)
	c := startCollectorAt(t, engine.DSN(), grpc)
	c.ready()
	conn := connect(t, engine.DSN())
	total := 0
	for _, n := range lines {
		total += n
	}
	until(t, "every line stored", func() bool {
		return one(t, conn, "SELECT uniqExact(Body) FROM otel_logs") >= uint64(total)
	})
	a.drained()
	c.equation()
	missedNothing(t, a.metrics())
	if rows := one(t, conn, "SELECT count() FROM otel_logs"); rows != uint64(total) {
		t.Errorf("%d rows for %d lines", rows, total)
	}
	t.Logf("lines %d", total)
}
