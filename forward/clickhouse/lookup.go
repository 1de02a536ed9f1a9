package clickhouse

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	lib "github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spillway-io/spillway/schema"
)

const (
	// maxLookups is how many lookups ask the server at once.
	maxLookups = 2
	// maxSought is how many runs of records one query asks for. The server reads queries of up to
	// 256 KiB; a run takes some 250 bytes.
	maxSought = 500
)

// lookups asks ClickHouse which units it has. Callers that come while others are being answered
// are answered together: after an outage every node comes at once.
type lookups struct {
	ask   asker
	turns chan struct{}

	mu      sync.Mutex
	waiting []*lookup
}

// An asker is *Conn, and in tests of time a script.
type asker interface {
	executing(ctx context.Context) (executing, error)
	present(ctx context.Context, table *schema.Table, sought []schema.Sought, found map[unit]int) error
}

func newLookups(ask asker) *lookups {
	return &lookups{ask: ask, turns: make(chan struct{}, maxLookups)}
}

// A unit is a record's rows in a partition of a table: what is stored at once, or not at all.
type unit struct {
	table     *schema.Table
	stream    string
	seq       uint64
	partition int32
}

// A lookup is one caller's question and, once done is closed, the answer.
type lookup struct {
	sought map[*schema.Table][]schema.Sought
	done   chan struct{}

	at    executing
	found map[unit]int // rows
	err   error
}

// executing is what the server was doing before it was asked for rows.
type executing struct {
	now   uint32                   // the server's time, unix seconds
	since map[*schema.Table]uint32 // when the oldest INSERT began that was not done; none: 0
}

// settled says that nothing with that fence can be stored any more: the server was past it, and
// executed no INSERT that it had let in before.
func (e executing) settled(table *schema.Table, fence uint32) bool {
	since := e.since[table]
	return e.now > fence && (since == 0 || since > fence)
}

// do answers l, or returns when ctx is done.
func (k *lookups) do(ctx context.Context, l *lookup) error {
	l.done = make(chan struct{})
	k.mu.Lock()
	k.waiting = append(k.waiting, l)
	k.mu.Unlock()
	select {
	case k.turns <- struct{}{}:
		k.mu.Lock()
		all := k.waiting
		k.waiting = nil
		k.mu.Unlock()
		k.answer(all)
		<-k.turns
	case <-l.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-l.done: // by another who had the turn, if not by us
		return l.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// answer asks what is being executed, and then, never before, for the rows.
func (k *lookups) answer(all []*lookup) {
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), socketTime) // not one caller's: all of them wait
	defer cancel()
	found := make(map[unit]int)
	at, err := k.ask.executing(ctx)
	for _, table := range schema.Tables() {
		var sought []schema.Sought
		for _, l := range all {
			sought = append(sought, l.sought[table]...)
		}
		for len(sought) > 0 && err == nil {
			n := min(len(sought), maxSought)
			err = k.ask.present(ctx, table, sought[:n], found)
			sought = sought[n:]
		}
	}
	for _, l := range all {
		l.at, l.found, l.err = at, found, err
		close(l.done)
	}
}

func (c *Conn) executing(ctx context.Context) (e executing, err error) {
	var (
		queries []string
		elapsed []float64
	)
	if err := c.conn.QueryRow(ctx, schema.ExecutingSQL(c.tables)).Scan(&e.now, &queries, &elapsed); err != nil {
		return e, fmt.Errorf("what is being executed: %w", err)
	}
	e.since = make(map[*schema.Table]uint32)
	for i, query := range queries {
		began := e.now - uint32(math.Ceil(elapsed[i]))
		for _, t := range schema.Tables() {
			if since := e.since[t]; t.Inserts(c.tables, query) && (since == 0 || began < since) {
				e.since[t] = began
			}
		}
	}
	return e, nil
}

func (c *Conn) present(ctx context.Context, table *schema.Table, sought []schema.Sought, found map[unit]int) error {
	err := eachRow(ctx, c.conn, table.PresentSQL(c.tables, sought), func(row lib.Rows) error {
		u, n := unit{table: table}, uint64(0)
		err := row.Scan(&u.stream, &u.seq, &u.partition, &n)
		found[u] = int(n)
		return err
	})
	if err != nil {
		return fmt.Errorf("which records are there: %s: %w", table.Name(), err)
	}
	return nil
}

// waitFor is how long until that second is over on the server.
func (e executing) waitFor(fence uint32) time.Duration {
	if e.now > fence {
		return time.Second // an INSERT is still being executed
	}
	return time.Duration(fence+1-e.now) * time.Second
}
