package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// What a network does to a sender: answers that never come, connections that are open at one end,
// peers that stand still. Each ends in delivery, once.

// newWire is a proxy in front of one address, until the test ends.
func newWire(t testing.TB, target string) *kit.Proxy {
	t.Helper()
	p, err := kit.NewProxy(0, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// underWay is a load through an agent to a collector behind a wire; its first records have arrived.
// more is of the agent's forward section.
func underWay(t *testing.T, more string) (dsn string, c *collector, w *kit.Proxy, a *node, l *load) {
	t.Helper()
	engine := enginetest.Shared(t)
	c = startCollector(t, engine.DSN())
	c.ready()
	w = newWire(t, c.grpc)
	a = startAgentTo(t, fmt.Sprintf("endpoints: [%q]%s", w.Addr(), more), "")
	l = newLoad(t, a.grpc, t.Name(), 100)
	l.some(5)
	a.drained()
	return engine.DSN(), c, w, a, l
}

// some sends that many requests, and fails unless all are acknowledged.
func (l *load) some(requests int) {
	l.t.Helper()
	client := logspb.NewLogsServiceClient(l.conn)
	for range requests {
		if !l.send(client) {
			l.t.Fatal(l.lastError())
		}
	}
}

// signal is kill with that signal.
func (p *proc) signal(s syscall.Signal) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// onceAndAll waits until the agent holds nothing and fails unless every acknowledged record is
// there, once.
func (l *load) onceAndAll(n *node, dsn string) {
	l.t.Helper()
	n.drained()
	lost, duplicated := l.verify(connect(l.t, dsn))
	l.t.Logf("records %d, lost %d, duplicated %d", l.ackedCount(), lost, duplicated)
	if lost > 0 || duplicated > 0 {
		l.t.Errorf("lost %d, duplicated %d of %d records", lost, duplicated, l.ackedCount())
	}
}

func (l *load) stored(dsn string) func() bool {
	conn := connect(l.t, dsn)
	return func() bool {
		return one(l.t, conn, "SELECT count() FROM otel_logs WHERE LogAttributes['test'] = ?", l.id) > 0
	}
}

// A collector commits, and its OK is lost with the connection.
func TestAnOKThatIsLost(t *testing.T) {
	t.Parallel()
	dsn, c, w, a, l := underWay(t, "")
	w.Set(kit.Weather{Deaf: true})
	l.some(10)
	conn := connect(t, dsn)
	until(t, "rows without an answer", func() bool {
		return one(t, conn, "SELECT count() FROM otel_logs WHERE LogAttributes['test'] = ?", l.id) == 1500
	})
	w.Cut()
	w.Set(kit.Weather{})
	l.onceAndAll(a, dsn)
	if got := kit.Total(c.metrics(), "spillway_out_items_total", `outcome="already_present"`); got != 1000 {
		t.Errorf("%.0f items were found, want 1000", got)
	}
}

// A collector that takes a request and never answers: the agent gives up on it, and asks again.
func TestACollectorThatNeverAnswers(t *testing.T) {
	t.Parallel()
	dsn, _, w, a, l := underWay(t, ", timeout: 2s")
	w.Set(kit.Weather{Deaf: true})
	l.some(5)
	until(t, "attempts given up", func() bool {
		return kit.Total(a.metrics(), "spillway_send_attempts_total", `outcome="failed"`) >= 2
	})
	w.Set(kit.Weather{})
	l.onceAndAll(a, dsn)
}

// A connection that is open at one end only: what is sent goes nowhere, and nobody says so. What
// is held up arrives late, behind the redelivery.
func TestAConnectionThatIsHalfOpen(t *testing.T) {
	t.Parallel()
	engine := enginetest.Shared(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	w, spare := newWire(t, c.grpc), newWire(t, c.grpc)
	a := startAgentTo(t, fmt.Sprintf("endpoints: [%q, %q], timeout: 2s", w.Addr(), spare.Addr()), "")
	l := newLoad(t, a.grpc, t.Name(), 100)
	l.some(5)
	a.drained()
	w.Set(kit.Weather{Stalled: true})
	l.some(25)
	a.drained()
	w.Set(kit.Weather{})
	l.some(5)
	l.onceAndAll(a, engine.DSN())
}

// A collector stands still with requests in its hands, longer than their fences, and goes on when
// another has stored them.
func TestACollectorThatStandsStill(t *testing.T) {
	t.Parallel()
	engine := enginetest.Shared(t)
	first, second := startCollector(t, engine.DSN()), startCollector(t, engine.DSN())
	first.ready()
	second.ready()
	a := startAgentTo(t, fmt.Sprintf("endpoints: [%q, %q], timeout: 3s", first.grpc, second.grpc), "")
	l := newLoad(t, a.grpc, t.Name(), 100)
	l.some(5)
	a.drained()
	first.signal(syscall.SIGSTOP)
	l.some(45)
	a.drained()
	first.signal(syscall.SIGCONT)
	first.ready()
	l.some(5)
	l.onceAndAll(a, engine.DSN())
}

// A certificate ends while data flows: nothing is lost by that, and delivery goes on with a new one.
func TestACertificateThatEnds(t *testing.T) {
	t.Parallel()
	engine := enginetest.Shared(t)
	au := newAuthority(t)
	end := time.Now().Add(12 * time.Second) // for what comes before it, on a busy machine
	au.server("short", end)
	c := &collector{grpc: port(t)}
	admin := port(t)
	file := func(cert string) string {
		return config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q, tls: {cert_file: %q, key_file: %q}}, http: {endpoint: ""}}}
batch: {timeout: 1s}
forward: {clickhouse: {dsn: %q}}
admin: {endpoint: %q}
`, c.grpc, au.file(cert+".crt"), au.file(cert+".key"), engine.DSN(), admin))
	}
	c.proc = start(t, "collector", admin, "collector", "--config", file("short"))
	c.ready()
	w := newWire(t, c.grpc)
	a := startAgentTo(t, fmt.Sprintf("endpoints: [%q], tls: {ca_file: %q}", w.Addr(), au.file("ca.crt")), "")
	l := newLoad(t, a.grpc, t.Name(), 100)
	l.some(5)
	a.drained()
	until(t, "the end of the certificate", func() bool { return time.Now().After(end) })
	w.Set(kit.Weather{Deaf: true}) // the last requests are stored, and nobody hears of it
	l.some(5)
	until(t, "rows without an answer", l.stored(engine.DSN()))
	w.Cut()
	w.Set(kit.Weather{})
	l.some(5)
	a.says("certificate has expired")
	c.kill()
	au.server("long", time.Now().Add(time.Hour))
	c.proc = start(t, "collector", admin, "collector", "--config", file("long"))
	l.onceAndAll(a, engine.DSN())
}
