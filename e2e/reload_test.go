package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// reload writes text over the file, sends SIGHUP and waits for what comes of it.
func (p *proc) reload(file, text, outcome string) {
	p.t.Helper()
	count := func() float64 {
		return kit.Total(p.metrics(), "spillway_config_reloads_total", `outcome="`+outcome+`"`)
	}
	before := count()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.mu.Unlock()
	until(p.t, p.name+" reload "+outcome, func() bool { return count() > before })
}

// Files and a load of requests go on while sources, rates and the target change with every SIGHUP, and
// the target of before is killed: every line and every acknowledged record is in ClickHouse, once.
func TestReloadsUnderLoadLoseNothing(t *testing.T) {
	t.Parallel()
	const reloads = 6
	engine := enginetest.Start(t)
	collectors := []*collector{startCollector(t, engine.DSN()), startCollector(t, engine.DSN())}
	for _, c := range collectors {
		c.ready()
	}
	dir, grpc, admin := t.TempDir(), port(t), port(t)
	wal := filepath.Join(t.TempDir(), "wal")
	text := func(round int) string {
		tail := fmt.Sprintf("{include: [%q], rate_limit: {bytes_per_second: %d, burst_bytes: 100000}, resource: {round: %q}}",
			filepath.Join(dir, "a*.log"), (1+round)<<20, fmt.Sprint(round))
		if round%2 == 1 {
			tail += fmt.Sprintf(", {include: [%q]}", filepath.Join(dir, "b*.log"))
		}
		return fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: ""}}, tail: [%s]}
wal: {dir: %q, min_free_mib: 64}
batch: {timeout: 100ms}
forward: {otlp: {endpoints: [%q], retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
admin: {endpoint: %q}
`, grpc, tail, wal, collectors[round%2].grpc, admin)
	}
	file := config(t, text(0))
	a := start(t, "agent", admin, "agent", "--config", file)
	a.healthy()

	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	l := newLoad(t, grpc, "reload", 100)
	working.Go(func() { l.run(ctx, 2, 5*time.Millisecond) })
	written := map[string]int{"a": 0, "b": 0}
	working.Go(func() {
		for tick := time.NewTicker(5 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			for name := range written {
				writeLines(t, filepath.Join(dir, name+".log"), name, written[name], 20)
				written[name] += 20
			}
		}
	})
	for round := 1; round <= reloads; round++ {
		target := l.ackedCount() + 2000
		until(t, "some more records acknowledged", func() bool { return l.ackedCount() >= target })
		a.reload(file, text(round), "applied")
		arrived := func() float64 { return kit.Total(collectors[round%2].metrics(), "spillway_in_items_total") }
		before := arrived()
		until(t, "records arrive at the new target", func() bool { return arrived() > before })
		if round == reloads-1 {
			collectors[reloads%2].kill() // nobody sends there any more
			collectors[reloads%2].start()
			collectors[reloads%2].ready()
		}
	}
	stop()
	working.Wait()
	a.reload(file, text(reloads+1), "applied") // both files are read to their ends
	conn := connect(t, engine.DSN())
	for name, n := range written {
		until(t, "all lines of "+name, func() bool {
			return one(t, conn, "SELECT uniqExact(Body) FROM otel_logs WHERE Body LIKE ?", name+" line %") >= uint64(n)
		})
	}
	until(t, "everything delivered", func() bool { return kit.Total(a.metrics(), "spillway_wal_held_items") == 0 })
	a.equation()
	lost, duplicated := l.verify(conn)
	t.Logf("%d records, lost %d, duplicated %d; lines %v", l.ackedCount(), lost, duplicated, written)
	if lost > 0 || duplicated > 0 {
		t.Errorf("%d lost, %d there twice", lost, duplicated)
	}
	for name, n := range written {
		if rows := one(t, conn, "SELECT count() FROM otel_logs WHERE Body LIKE ?", name+" line %"); rows != uint64(n) {
			t.Errorf("%d rows of %d lines of %s", rows, n, name)
		}
	}
	if n := one(t, conn, "SELECT uniqExact(ResourceAttributes['round']) FROM otel_logs WHERE Body LIKE 'a line %'"); n < reloads {
		t.Errorf("lines of %d configurations, want %d at least", n, reloads)
	}
}

func writeLines(t *testing.T, path, name string, from, n int) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	var b []byte
	for i := range n {
		b = fmt.Appendf(b, "%s line %d\n", name, from+i)
	}
	if _, err := f.Write(b); err != nil {
		t.Error(err)
	}
}

// post sends one log record with a token, and returns the status.
func post(t *testing.T, addr, token string) int {
	t.Helper()
	body, err := proto.Marshal(numbered("token", span{0, 1}))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest("POST", "http://"+addr+"/v1/logs", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// A reload takes over all of the file or nothing: what is wrong in it, and what cannot change while the
// process runs, is named, and the rest of it does not hold either.
func TestAReloadIsTakenWholeOrRefusedWhole(t *testing.T) {
	t.Parallel()
	addr, admin, wal := port(t), port(t), filepath.Join(t.TempDir(), "wal")
	text := func(token, more string) string {
		return fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: ""}, http: {endpoint: %q, auth: {tokens: [%q]}}}}
wal: {dir: %q, min_free_mib: 64}
forward: {otlp: {endpoints: ["127.0.0.1:9"]}}
admin: {endpoint: %q}
shutdown_timeout: 1s
%s`, addr, token, wal, admin, more)
	}
	file := config(t, text("first", ""))
	a := start(t, "agent", admin, "agent", "--config", file)
	a.healthy()
	holds := func(token string, others ...string) {
		t.Helper()
		if code := post(t, addr, token); code != http.StatusOK {
			t.Errorf("with token %s: %d", token, code)
		}
		for _, other := range others {
			if code := post(t, addr, other); code != http.StatusUnauthorized {
				t.Errorf("with token %s: %d", other, code)
			}
		}
	}
	holds("first", "second")
	a.reload(file, text("second", ""), "applied")
	holds("second", "first")
	for _, c := range []struct{ more, says string }{
		{"nonsense: 1\n", "unknown key"},
		{"batch: {timeout: 3s, send_batch_size: 100}\nmemory_limiter: {limit_mib: 99}\n", "batch.send_batch_size: cannot change while the process runs"},
		{"memory_limiter: {limit_mib: 98}\n", "memory_limiter.limit_mib: cannot change while the process runs"},
		{"service: {name: [}\n", ""},
	} {
		a.reload(file, text("third", c.more), "refused")
		holds("second", "third")
		if got := a.metrics()["spillway_config_last_reload_successful"]; got != 0 {
			t.Errorf("%q: last_reload_successful is %v", c.more, got)
		}
		if said := a.log.String(); !strings.Contains(said, c.says) || !strings.Contains(said, "configuration not reloaded") {
			t.Errorf("%q: %q is not in the log", c.more, c.says)
		}
	}
	a.reload(file, text("fourth", ""), "applied")
	holds("fourth", "second", "third")
	if got := a.metrics()["spillway_config_last_reload_successful"]; got != 1 {
		t.Errorf("last_reload_successful is %v", got)
	}
	if code := a.term(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// A collector turns to another ClickHouse while requests come: every acknowledged record is in one of
// the two, once.
func TestACollectorTurnsToAnotherClickHouseUnderLoad(t *testing.T) {
	t.Parallel()
	engines := []*enginetest.Engine{enginetest.Start(t), enginetest.Start(t, enginetest.WithDatabase("otel"))}
	grpc, admin := port(t), port(t)
	text := func(dsn string) string {
		return fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: ""}}}
batch: {send_batch_size: 10000, timeout: 1s}
forward: {clickhouse: {dsn: %q, retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
admin: {endpoint: %q}
`, grpc, dsn, admin)
	}
	file := config(t, text("http://default:@127.0.0.1:9/otel")) // nobody is there
	c := start(t, "collector", admin, "collector", "--config", file)
	a := startAgent(t, grpc, "")
	l := newLoad(t, a.grpc, "hops", 100)
	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	loading.Go(func() { l.run(ctx, 2, 5*time.Millisecond) })
	for _, e := range []int{0, 1, 0, 1} {
		c.reload(file, text(engines[e].DSN()), "applied")
		c.ready()
		out := func() float64 { return kit.Total(c.metrics(), "spillway_out_items_total", `outcome="delivered"`) }
		target := out() + 2000
		until(t, "records delivered to the new ClickHouse", func() bool { return out() >= target })
	}
	stop()
	loading.Wait()
	a.drained()
	c.equation()
	seen := make(map[uint64]int)
	for _, e := range engines {
		rows, err := connect(t, e.DSN()).Query(t.Context(), "SELECT toUInt64(LogAttributes['n']) FROM otel_logs WHERE LogAttributes['test'] = 'hops'")
		if err != nil {
			t.Fatal(err)
		}
		before := len(seen)
		for rows.Next() {
			var n uint64
			if err := rows.Scan(&n); err != nil {
				t.Fatal(err)
			}
			seen[n]++
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if len(seen) == before {
			t.Error("a ClickHouse got nothing")
		}
	}
	lost, twice := 0, 0
	for _, s := range l.acked {
		for n := s.from; n < s.to; n++ {
			switch {
			case seen[n] == 0:
				lost++
			case seen[n] > 1:
				twice++
			}
		}
	}
	t.Logf("%d records, lost %d, twice %d", l.ackedCount(), lost, twice)
	if lost > 0 || twice > 0 {
		t.Errorf("%d lost, %d there twice", lost, twice)
	}
}
