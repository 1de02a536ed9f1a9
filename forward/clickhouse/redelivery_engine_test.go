package clickhouse

import (
	"fmt"
	"testing"
	"time"

	"github.com/spillway-io/spillway/forward"
)

// attempt states fences in every marker of b: earlier attempts ended that long ago, this one has
// its usual time.
func attempt(r *rig, b forward.Batch, ago time.Duration) forward.Batch {
	now, _ := r.clock.Now()
	at := 0
	for rec := range forward.Records(b.Body) {
		forward.Stamp(b.Body[at:], forward.Fence(now.Add(-ago)), forward.Fence(now.Add(forward.AttemptTime)))
		at += forward.MarkerSize + len(rec.Body)
	}
	return b
}

// part is some of b's records, as another attempt may group them.
func part(b forward.Batch, from, to int) forward.Batch {
	p := forward.Batch{Signal: b.Signal}
	n := 0
	for rec := range forward.Records(b.Body) {
		if n >= from && n < to {
			p.Body = append(rec.Marker.Append(p.Body), rec.Body...)
			p.Items += int(rec.Marker.Items)
		}
		n++
	}
	return p
}

func (r *rig) rows(t *testing.T, want string) {
	t.Helper()
	if got := r.e.SQL("SELECT count(), uniqExact(Body) FROM otel_logs"); got != want {
		t.Errorf("rows and distinct ones: %q, want %q", got, want)
	}
}

// However what was sent is grouped the second time, what is there stays there once, and what is
// not there is stored.
func TestARedeliveryInOtherCompanyIsStoredOnce(t *testing.T) {
	r := newRig(t)
	all := records(1, []int{3, 1, 4, 1, 5, 9, 2, 6})
	for _, first := range []forward.Batch{part(all, 0, 3), part(all, 5, 6)} {
		if err := r.Put(within(t, time.Minute), first); err != nil {
			t.Fatal(err)
		}
	}
	for _, again := range []forward.Batch{part(all, 2, 4), all, part(all, 6, 8), all} {
		if err := r.Put(within(t, time.Minute), attempt(r, again, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	r.rows(t, "31\t31")
	if got := r.out("already_present"); got != 4+(8+1+9)+8+31 {
		t.Errorf("%v items were already there", got)
	}
}

// A record that is there is there, however soon one asks. One that is not is not missing before
// its earlier attempts have ended.
func TestBeforeTheFenceOnlyPresenceIsCertain(t *testing.T) {
	r := newRig(t)
	b := records(1, []int{3, 4})
	if err := r.Put(within(t, time.Minute), part(b, 0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := r.Put(within(t, time.Minute), attempt(r, part(b, 0, 1), -time.Minute)); err != nil {
		t.Errorf("what is there: %v", err)
	}
	err := r.Put(within(t, time.Minute), attempt(r, b, -10*time.Second))
	if busy := forward.Busy(err); busy == nil || !busy.NotTaken || busy.After < 9*time.Second || busy.After > 12*time.Second {
		t.Errorf("what may still come: %v", err)
	}
	r.rows(t, "3\t3")
}

// An INSERT that the server let in before the fence may commit after it.
func TestAnInsertUnderWayIsWaitedFor(t *testing.T) {
	r := newRig(t)
	r.e.SQL("CREATE TABLE nowhere (x UInt8) ENGINE = Null")
	r.e.SQL("CREATE MATERIALIZED VIEW slow TO nowhere AS SELECT toUInt8(sleep(3)) AS x FROM otel_logs")
	done := make(chan error, 1)
	go func() { done <- r.Put(within(t, time.Minute), records(2, []int{1})) }()
	b := records(1, []int{3})
	waited := false
	for deadline := time.Now().Add(time.Minute); ; {
		at, err := r.send.(*Conn).executing(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(at.since) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not show what it executes")
		}
	}
	for {
		err := r.Put(within(t, time.Minute), attempt(r, b, time.Second))
		if err == nil {
			break
		}
		waited = true
		if busy := forward.Busy(err); busy == nil || !busy.NotTaken {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		r.e.SQL("DROP VIEW slow")
		close(done) // what is executed now began after the fence
	}
	if !waited {
		t.Error("stored while an INSERT was executed that began before the fence")
	}
	r.rows(t, "4\t3")
}

// What others insert, without fences, is nobody's redelivery.
func TestAForeignInsertIsNotWaitedFor(t *testing.T) {
	r := newRig(t)
	conn := r.send.(*Conn)
	done := make(chan error, 1)
	go func() {
		done <- conn.Driver().Exec(within(t, time.Minute), fmt.Sprintf("INSERT INTO %s.otel_logs (Timestamp, Body) SELECT now64(9), 'slow' FROM numbers(1) WHERE sleepEachRow(3) = 0", r.e.Database()))
	}()
	for deadline := time.Now().Add(time.Minute); r.e.SQL("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO %slow%' AND query_kind = 'Insert'") == "0"; {
		if time.Now().After(deadline) {
			t.Fatal("the server does not show what it executes")
		}
	}
	if at, err := conn.executing(t.Context()); err != nil || len(at.since) > 0 {
		t.Errorf("%v, %v", at, err)
	}
	if err := r.Put(within(t, time.Minute), attempt(r, records(1, []int{3}), time.Second)); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The search for rows that ClickHouse refuses stores a record in pieces. When its answer is lost,
// the record comes again: what is there is not stored again, and what is not, is.
func TestARecordInPiecesIsCompleted(t *testing.T) {
	r := newRig(t)
	r.e.SQL("ALTER TABLE otel_logs ADD CONSTRAINT fine CHECK Body NOT LIKE 'bad%'")
	b := records(1, []int{3, 40, 5}, 10, 30)
	err := r.Put(within(t, time.Minute), b)
	if p := forward.Partial(err); p == nil || p.Items != 2 {
		t.Fatal(err)
	}
	r.rows(t, "46\t46")

	for range 2 {
		err = r.Put(within(t, time.Minute), attempt(r, b, time.Minute))
		if p := forward.Partial(err); p == nil || p.Items != 2 {
			t.Errorf("again: %v", err)
		}
		r.rows(t, "46\t46")
	}
}
