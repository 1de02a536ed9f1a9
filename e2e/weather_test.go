package e2e

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// What a network does to a sender: answers that never come, connections that are open at one end,
// peers that stand still. Each ends in delivery, once.

// A wire is a TCP proxy in front of one address.
type wire struct {
	target string
	addr   string

	mu       sync.Mutex
	conns    []net.Conn
	requests bool          // pass
	answers  bool          // pass
	changed  chan struct{} // closed when one of them changes
}

func newWire(t testing.TB, target string) *wire {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{target: target, addr: lis.Addr().String(), requests: true, answers: true, changed: make(chan struct{})}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			in, err := lis.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, in, out)
			w.mu.Unlock()
			serving.Go(func() { w.copy(out, in, &w.requests) })
			serving.Go(func() { w.copy(in, out, &w.answers) })
		}
	})
	t.Cleanup(func() {
		lis.Close()
		w.pass(true, true)
		w.cut()
		serving.Wait()
	})
	return w
}

// copy moves bytes while open says so.
func (w *wire) copy(to io.WriteCloser, from io.ReadCloser, open *bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		for n > 0 {
			w.mu.Lock()
			passes, changed := *open, w.changed
			w.mu.Unlock()
			if passes {
				break
			}
			<-changed
		}
		if _, e := to.Write(buf[:n]); err != nil || e != nil {
			return
		}
	}
}

// pass opens and closes the two directions.
func (w *wire) pass(requests, answers bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests, w.answers = requests, answers
	close(w.changed)
	w.changed = make(chan struct{})
}

// cut ends all connections.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

// through is an agent whose forward section is given.
func through(t testing.TB, forward string) *node {
	t.Helper()
	n := &node{grpc: port(t), http: port(t), wal: filepath.Join(t.TempDir(), "wal")}
	admin := port(t)
	n.proc = start(t, "agent", admin, "agent", "--config", config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}}
wal: {dir: %q, min_free_mib: 64}
batch: {timeout: 200ms}
forward: {otlp: {%s, retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
admin: {endpoint: %q}
`, n.grpc, n.http, n.wal, forward, admin)))
	return n.healthyNode()
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
	n.drained(2 * time.Minute)
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
	engine := enginetest.Shared(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	w := newWire(t, c.grpc)
	a := through(t, fmt.Sprintf("endpoints: [%q]", w.addr))
	l := newLoad(t, a.grpc, t.Name(), 100)
	l.some(10)
	a.drained(time.Minute)
	w.pass(true, false)
	l.some(10)
	conn := connect(t, engine.DSN())
	until(t, time.Minute, "rows without an answer", func() bool {
		return one(t, conn, "SELECT count() FROM otel_logs WHERE LogAttributes['test'] = ?", l.id) == 2000
	})
	w.cut()
	w.pass(true, true)
	l.onceAndAll(a, engine.DSN())
	if got := total(c.metrics(), "spillway_out_items_total", `outcome="already_present"`); got != 1000 {
		t.Errorf("%.0f items were found, want 1000", got)
	}
}

// A collector that takes a request and never answers: the agent gives up on it, and asks again.
func TestACollectorThatNeverAnswers(t *testing.T) {
	t.Parallel()
	engine := enginetest.Shared(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	w := newWire(t, c.grpc)
	a := through(t, fmt.Sprintf("endpoints: [%q], timeout: 2s", w.addr))
	l := newLoad(t, a.grpc, t.Name(), 100)
	l.some(5)
	a.drained(time.Minute)
	w.pass(true, false)
	l.some(5)
	until(t, time.Minute, "attempts given up", func() bool {
		return total(a.metrics(), "spillway_send_attempts_total", `outcome="failed"`) >= 2
	})
	w.pass(true, true)
	l.onceAndAll(a, engine.DSN())
}

// A connection that is open at one end only: what is sent goes nowhere, and nobody says so. What
// is held up arrives late, behind the redelivery.
func TestAConnectionThatIsHalfOpen(t *testing.T) {
	t.Parallel()
	engine := enginetest.Shared(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	w, spare := newWire(t, c.grpc), newWire(t, c.grpc)
	a := through(t, fmt.Sprintf("endpoints: [%q, %q], timeout: 2s", w.addr, spare.addr))
	l := newLoad(t, a.grpc, t.Name(), 100)
	l.some(5)
	a.drained(time.Minute)
	w.pass(false, true)
	l.some(25)
	a.drained(2 * time.Minute)
	w.pass(true, true)
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
	a := through(t, fmt.Sprintf("endpoints: [%q, %q], timeout: 3s", first.grpc, second.grpc))
	l := newLoad(t, a.grpc, t.Name(), 100)
	l.some(5)
	a.drained(time.Minute)
	first.signal(syscall.SIGSTOP)
	l.some(45)
	a.drained(2 * time.Minute)
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
	end := time.Now().Add(6 * time.Second)
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
	a := through(t, fmt.Sprintf("endpoints: [%q], tls: {ca_file: %q}", w.addr, au.file("ca.crt")))
	l := newLoad(t, a.grpc, t.Name(), 100)
	l.some(5)
	a.drained(time.Minute)
	until(t, time.Minute, "the end of the certificate", func() bool { return time.Now().After(end) })
	w.pass(true, false) // the last requests are stored, and nobody hears of it
	l.some(5)
	until(t, time.Minute, "rows without an answer", l.stored(engine.DSN()))
	w.cut()
	w.pass(true, true)
	l.some(5)
	a.says("certificate has expired")
	c.kill()
	au.server("long", time.Now().Add(time.Hour))
	c.proc = start(t, "collector", admin, "collector", "--config", file("long"))
	l.onceAndAll(a, engine.DSN())
}
