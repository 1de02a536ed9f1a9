package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

var (
	soakTime = flag.Duration("soak", 30*time.Second, "how long TestSoakOfTailing goes on")
	soakSeed = flag.Uint64("seed", 0, "of TestSoakOfTailing; 0 picks one")
)

// A soak is what the programs of a node do to their logs, all at once: containers that the kubelet
// rotates up to five times a second, pods that come and go, programs with logrotate in all its ways,
// and a uvicorn; and an agent that is killed with -9 again and again.
//
// The claim is about what an agent can have seen. So nothing is destroyed, be it a rotated file that the
// kubelet evicts or a pod's directory, from shortly before a kill until the agent has read what was
// there when it came back; files are renamed, compressed, truncated and written to all the time.
type soak struct {
	t    *testing.T
	dir  string
	conn driver.Conn
	gate gate

	agent     *node
	collector *collector
	began     time.Time

	running   sync.WaitGroup
	rotations atomic.Uint64
	evictions atomic.Uint64 // passes that could destroy
	pods      atomic.Uint64 // that were deleted

	mu     sync.Mutex // guards what follows
	all    []*series
	events *os.File

	settledAt time.Time
}

// A series is numbers that are written from 0 on, each in one line.
type series struct {
	name    string
	written atomic.Uint64
	settled uint64 // how many of them are known to be stored
	// cut is how many records without a number there may be, at most: a record of several lines that a
	// rotation cuts, or that takes longer than tailing waits for more, is several.
	cut atomic.Uint64
}

// next is the mark of the next line. It is to be written: taken is called when it is.
func (s *series) next() string { return fmt.Sprintf("~%s~%d~", s.name, s.written.Load()) }

func (s *series) taken() { s.written.Add(1) }

// record notes that one of that many lines was cut, or may have been.
func (s *series) record(cut bool, begun time.Time, lines int) {
	if cut || time.Since(begun) > time.Second/2 {
		s.cut.Add(uint64(lines))
	}
}

func (s *soak) series(name string) *series {
	one := &series{name: name}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, one)
	return one
}

// A gate is open while content may be destroyed.
type gate struct {
	mu   sync.RWMutex
	open bool
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
}

// pass runs f, which may destroy if it is told so. The gate does not change meanwhile.
func (g *gate) pass(f func(open bool) error) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return f(g.open)
}

// event notes what happens, for whoever looks for the cause of a loss.
func (s *soak) event(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.events, "%s %s\n", time.Now().UTC().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

// act runs an actor until it returns. Its error fails the test.
func (s *soak) act(name string, f func() error) {
	s.running.Go(func() {
		if err := f(); err != nil {
			s.t.Errorf("%s: %v", name, err)
		}
	})
}

func randomTime(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

// Real programs log, real rotations rotate, and the agent is killed with -9 every few seconds: every
// line is in ClickHouse, once, and the tailer's account is even.
//
//	make soak-tail T=10m SEED=1
func TestSoakOfTailing(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("soak: seed %d, for %s", seed, *soakTime)
	dir, err := os.MkdirTemp("", "spillway-soak-")
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{t: t, dir: dir, began: time.Now(), settledAt: time.Now()}
	t.Cleanup(func() {
		if t.Failed() && s.agent != nil {
			err := os.WriteFile(filepath.Join(dir, "agent.log"), []byte(s.agent.log.String()), 0o644)
			t.Logf("files, events and what the agent said are in %s, %v", dir, err)
			return
		}
		os.RemoveAll(dir)
	})
	if s.events, err = os.Create(filepath.Join(dir, "events.log")); err != nil {
		t.Fatal(err)
	}
	defer s.events.Close()
	pods := filepath.Join(dir, "pods")
	include := []string{filepath.Join(pods, "*/*/*.log")}
	for name, glob := range globs {
		include = append(include, filepath.Join(dir, name, "*", glob))
		for _, mode := range rotations {
			if err := os.MkdirAll(filepath.Join(dir, name, mode.name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(pods, 0o755); err != nil { // there from boot, as a node has it
		t.Fatal(err)
	}

	engine := enginetest.Start(t)
	s.conn = connect(t, engine.DSN())
	s.collector = startCollector(t, engine.DSN())
	s.collector.ready()
	s.agent = startAgent(t, s.collector.grpc, fmt.Sprintf(`, tail: [{include: ["%s"]}]`, strings.Join(include, `", "`)))

	ctx, stop := context.WithCancel(t.Context())
	defer s.running.Wait()
	defer stop()
	actors := uint64(0)
	random := func() *rand.Rand { actors++; return rand.New(rand.NewPCG(seed, actors)) }
	s.containers(ctx, pods, random)
	s.logrotates(ctx, random)
	site := s.uvicorn(ctx, pods, random())

	kills := s.torment(random())
	stop()
	s.running.Wait()
	site.stop()
	s.settle()
	s.verify(seed, kills)
}

// torment kills the agent until the time is over, and returns how often it did.
func (s *soak) torment(r *rand.Rand) (kills int) {
	s.settle()
	s.gate.set(true)
	for next := s.began; time.Since(s.began) < *soakTime && !s.t.Failed(); {
		kit.Pause(s.t.Context(), randomTime(r, 500*time.Millisecond, 3*time.Second))
		s.gate.set(false)
		s.event("gate closed")
		s.settle() // what was destroyed before is read
		for range 1 + r.IntN(4) {
			kit.Pause(s.t.Context(), randomTime(r, 0, time.Second))
			s.account()
			switch r.IntN(6) {
			case 0:
				s.event("agent gets SIGTERM")
				if code := s.agent.term(); code != 0 {
					s.t.Errorf("the agent ended with %d", code)
				}
			case 1:
				s.event("agent and collector are killed")
				s.agent.kill()
				s.collector.kill()
				s.collector.start()
			default:
				s.event("agent is killed")
				s.agent.kill()
			}
			kills++
			kit.Pause(s.t.Context(), randomTime(r, 0, 1500*time.Millisecond))
			s.agent.start()
			s.agent.healthy()
			s.event("agent is back")
		}
		for took := arrival; took > current && !s.t.Failed(); took = time.Since(s.settledAt) {
			s.settle()
		}
		if s.t.Failed() {
			break // and nothing is destroyed that says why
		}
		s.gate.set(true)
		s.event("gate open")
		if time.Since(next) > 10*time.Second {
			next = time.Now()
			s.t.Logf("soak: %3.0f s, kills %d, lines %d, rotations %d", time.Since(s.began).Seconds(), kills, s.lines(), s.rotations.Load())
		}
	}
	s.gate.set(false)
	return kills
}

// settle returns when all that was written before it is stored: a loss shows here first.
func (s *soak) settle() {
	s.t.Helper()
	var (
		names      []string
		from, upTo []uint64
		want       uint64
		since      = s.settledAt.Add(-readAhead)
	)
	s.settledAt = time.Now()
	s.mu.Lock()
	for _, one := range s.all {
		written := one.written.Load()
		if written == one.settled {
			continue
		}
		names, from, upTo = append(names, one.name), append(from, one.settled), append(upTo, written)
		want += written - one.settled
		one.settled = written
	}
	s.mu.Unlock()
	const query = "SELECT uniqExact(series, n) FROM (" + found + ` WHERE toDateTime(Timestamp) >= ?)
		WHERE n >= transform(series, ?, ?, toUInt64(0)) AND n < transform(series, ?, ?, toUInt64(0))`
	deadline := time.Now().Add(arrival)
	for there := uint64(0); there < want; {
		if there = one(s.t, s.conn, query, since, names, from, names, upTo); there < want && time.Now().After(deadline) {
			s.event("%d lines are not there", want-there)
			s.t.Errorf("%d lines of %d are not there after %s: %s", want-there, want, arrival, s.missing(names, from, upTo))
			return
		}
		kit.Pause(s.t.Context(), 200*time.Millisecond)
	}
	s.event("%d lines are there after %s", want, time.Since(s.settledAt))
}

// missing says which numbers of the series are not there, for whoever looks for the cause.
func (s *soak) missing(names []string, from, upTo []uint64) string {
	var all []string
	for i, name := range names {
		var runs []string
		err := s.conn.QueryRow(context.Background(), `SELECT groupArray(5)(format('{} to {}, before {}', toString(before+1), toString(n-1), toString(Timestamp))) FROM (
			SELECT toInt64(n) AS n, Timestamp, lagInFrame(toInt64(n), 1, toInt64(?)-1) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before
			FROM (`+found+`) WHERE series = ? AND n >= ?) WHERE n > before+1 AND before < ?`, from[i], name, from[i], upTo[i]).Scan(&runs)
		if err != nil {
			return err.Error()
		}
		last := one(s.t, s.conn, "SELECT max(n) FROM ("+found+") WHERE series = ?", name)
		if last+1 < upTo[i] {
			runs = append(runs, fmt.Sprintf("%d to %d, the last", last+1, upTo[i]-1))
		}
		if len(runs) > 0 {
			all = append(all, name+": "+strings.Join(runs, ", "))
		}
	}
	return strings.Join(all, "; ")
}

const (
	// arrival is how long a line may take. Far above what it takes, on a machine that does other things.
	arrival = time.Minute
	// current is how long what is written takes when the agent has caught up.
	current = 5 * time.Second
	// readAhead is how long before it is written a line may have got its time: structlog prints into a pipe.
	readAhead = 20 * time.Second
)

// account holds the tailer's account against itself, before it is gone.
func (s *soak) account() {
	s.t.Helper()
	missedNothing(s.t, s.agent.metrics())
}

func (s *soak) lines() (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		n += one.written.Load()
	}
	return n
}

// found is a query for the number and the series of each record, which are in one of these.
const found = `SELECT extractGroups(concat(Body, LogAttributes['mark'], LogAttributes['exception.message']), '~([a-z0-9.-]+)~([0-9]+)~') AS mark,
	mark[1] AS series, toUInt64OrZero(mark[2]) AS n, Timestamp, ServiceName, Body, LogAttributes FROM otel_logs`

// verify waits until everything is stored, and counts.
func (s *soak) verify(seed uint64, kills int) {
	t := s.t
	want, tolerated := uint64(0), uint64(0)
	for _, one := range s.all {
		want, tolerated = want+one.written.Load(), tolerated+one.cut.Load()
	}
	s.settle()
	until(t, "every file read", func() bool { return kit.Total(s.agent.metrics(), "spillway_tail_unread_bytes") == 0 })
	s.agent.drained()
	s.collector.equation()
	s.account()

	lost, repeated := uint64(0), uint64(0)
	counts := s.counts()
	for _, one := range s.all {
		l, r := s.hold(one, counts[one.name])
		lost, repeated = lost+l, repeated+r
	}
	if lost+repeated > 0 {
		t.Errorf("%d lines are lost, %d are there again", lost, repeated)
	}
	s.strays(tolerated)
	t.Logf("soak: seed %d, %s, kills %d, lines %d, rotations %d, of which could destroy %d, pods deleted %d, lost %d, repeated %d",
		seed, time.Since(s.began).Round(time.Second), kills, want, s.rotations.Load(), s.evictions.Load(), s.pods.Load(), lost, repeated)
}

// A tally is what ClickHouse has of a series.
type tally struct{ rows, numbers, last uint64 }

func (s *soak) counts() map[string]tally {
	s.t.Helper()
	rows, err := s.conn.Query(context.Background(), "SELECT series, count(), uniqExact(n), max(n) FROM ("+found+") GROUP BY series")
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	all := make(map[string]tally)
	for rows.Next() {
		var name string
		var of tally
		if err := rows.Scan(&name, &of.rows, &of.numbers, &of.last); err != nil {
			s.t.Fatal(err)
		}
		all[name] = of
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return all
}

// hold holds what is stored of a series against what was written.
func (s *soak) hold(of *series, got tally) (lost, repeated uint64) {
	s.t.Helper()
	written, rows, numbers, last := of.written.Load(), got.rows, got.numbers, got.last
	if rows == written && numbers == written {
		return 0, 0
	}
	if numbers > 0 && last >= written {
		s.t.Errorf("%s: number %d was not written, %d is the last", of.name, last, written-1)
	}
	var missing, again []string
	err := s.conn.QueryRow(context.Background(), `SELECT
		(SELECT groupArray(20)(format('{} to {}, between {} and {}', toString(before+1), toString(n-1), toString(beforeAt), toString(Timestamp))) FROM (
			SELECT toInt64(n) AS n, Timestamp, lagInFrame(toInt64(n), 1, -1) OVER w AS before, lagInFrame(Timestamp) OVER w AS beforeAt
			FROM (`+found+`) WHERE series = ? WINDOW w AS (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)) WHERE n > before+1),
		(SELECT groupArray(20)(format('{} at {}', toString(n), arrayStringConcat(times, ' and '))) FROM (
			SELECT n, arrayMap(at -> toString(at), groupArray(Timestamp)) AS times FROM (`+found+`) WHERE series = ? GROUP BY n HAVING count() > 1 ORDER BY n))`,
		of.name, of.name).Scan(&missing, &again)
	if err != nil {
		s.t.Error(err)
	}
	lost, repeated = written-min(written, numbers), rows-numbers
	s.t.Errorf("%s: %d lines, %d rows, last %d, lost %d: %s; repeated %d: %s", of.name, written, rows, last, lost, strings.Join(missing, "; "), repeated, strings.Join(again, "; "))
	return lost, repeated
}

// strays looks at records without a number, which are parts of those that a rotation cut, and what uvicorn
// says of itself.
func (s *soak) strays(cut uint64) {
	t := s.t
	const other = " FROM (" + found + ") WHERE series = ''"
	own := one(t, s.conn, "SELECT count()"+other+" AND ServiceName = 'site' AND (startsWith(Body, 'INFO:     ') OR Body = 'ERROR:    Exception in ASGI application')")
	if all := one(t, s.conn, "SELECT count()"+other); all > own+cut {
		t.Errorf("%d records have no number, at most %d are of records that were cut and %d are uvicorn's own", all, cut, own)
		var some []string
		if err := s.conn.QueryRow(context.Background(), "SELECT groupArray(20)(concat(ServiceName, ': ', substring(Body, 1, 200)))"+other+" AND ServiceName != 'site'").Scan(&some); err != nil {
			t.Error(err)
		}
		t.Log(strings.Join(some, "\n"))
	}
	whole := one(t, s.conn, "SELECT count() FROM ("+found+`) WHERE endsWith(series, '.trace') AND LogAttributes['exception.type'] != ''
		AND startsWith(LogAttributes['exception.stacktrace'], 'Traceback (most recent call last):')`)
	traces := one(t, s.conn, "SELECT count() FROM ("+found+") WHERE endsWith(series, '.trace')")
	if whole+cut < traces {
		t.Errorf("%d tracebacks of %d are whole, at most %d were cut", whole, traces, cut)
	}
	requests := one(t, s.conn, "SELECT count() FROM ("+found+`) WHERE series = 'site.access' AND LogAttributes['http.request.method'] = 'GET'
		AND LogAttributes['http.response.status_code'] IN ('200', '500')`)
	if all := one(t, s.conn, "SELECT count() FROM ("+found+") WHERE series = 'site.access'"); requests != all {
		t.Errorf("%d requests of %d have their attributes", requests, all)
	}
	t.Logf("soak: tracebacks %d, of which whole %d; lines of records that were cut %d; requests %d", traces, whole, cut, requests)
}
