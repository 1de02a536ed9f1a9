package clickhouse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/spillway-io/spillway/schema"
)

const (
	lockTable = "spillway_schema_lock"
	// lockLease is how long nobody takes over the lock of one who died with it. Every statement
	// may be run again, so two who work at once cost time and nothing else.
	lockLease = 5 * time.Minute
	// lockPoll is how often to look whether the lock is free.
	lockPoll = 500 * time.Millisecond
)

// Migrated is what Migrate did and did not do.
type Migrated struct {
	Done   []schema.Step
	Left   []schema.Step // destructive, and not allowed
	Failed []error       // of steps that rows can be written without
	Notes  []schema.Note
}

// Migrate brings the tables to what they should be: it makes what is missing, adopts what others
// made, and applies changes of retention, storage policy and settings. Steps that remove rows
// are left unless destructive allows them. When several processes do so at once, one works and
// the others wait for it, and then find nothing to do.
func (c *Conn) Migrate(ctx context.Context, destructive bool) (Migrated, error) {
	if err := c.tables.Validate(); err != nil {
		return Migrated{}, err
	}
	conn, err := c.admin()
	if err != nil {
		return Migrated{}, err
	}
	defer conn.Close()
	m := migrator{conn: conn, o: c.tables, destructive: destructive}
	plan, err := m.plan(ctx)
	if err != nil || len(m.todo(plan)) == 0 {
		return m.result(plan), err
	}
	// The lock is a table of the database, so that comes first; two may make it at once.
	if err := conn.Exec(ctx, schema.CreateDatabase(c.tables)); err != nil {
		return m.result(plan), fmt.Errorf("database %s: %w", c.tables.Database, err)
	}
	release, err := m.lock(ctx)
	if err != nil {
		return m.result(plan), err
	}
	defer release()
	if plan, err = m.plan(ctx); err != nil {
		return m.result(plan), err
	}
	for _, s := range m.todo(plan) {
		if err := conn.Exec(ctx, s.SQL); err != nil {
			first, _, _ := strings.Cut(s.SQL, "\n")
			err = fmt.Errorf("%s: %s: %w", s.Why, first, err)
			if s.Vital {
				return m.result(plan), err
			}
			m.failed = append(m.failed, err)
			continue
		}
		m.done = append(m.done, s)
	}
	return m.result(plan), nil
}

// Plan says what Migrate would do.
func (c *Conn) Plan(ctx context.Context) (schema.Plan, error) {
	if err := c.tables.Validate(); err != nil {
		return schema.Plan{}, err
	}
	state, err := c.State(ctx)
	if err != nil {
		return schema.Plan{}, err
	}
	return schema.NewPlan(state, c.tables)
}

type migrator struct {
	conn        driver.Conn
	o           schema.Options
	destructive bool
	done        []schema.Step
	failed      []error
}

func (m *migrator) plan(ctx context.Context) (schema.Plan, error) {
	state, err := readState(ctx, m.conn, m.o.Database)
	if err != nil {
		return schema.Plan{}, err
	}
	plan, err := schema.NewPlan(state, m.o)
	return plan, errors.Join(err, plan.Blocked())
}

// todo are the plan's steps that may be taken.
func (m *migrator) todo(p schema.Plan) (steps []schema.Step) {
	for _, s := range p.Steps {
		if !s.Destructive || m.destructive {
			steps = append(steps, s)
		}
	}
	return steps
}

func (m *migrator) result(p schema.Plan) Migrated {
	r := Migrated{Done: m.done, Failed: m.failed, Notes: p.Notes}
	for _, s := range p.Steps {
		if s.Destructive && !m.destructive {
			r.Left = append(r.Left, s)
		}
	}
	return r
}

func (m *migrator) name(table string) string {
	return schema.Ident(m.o.Database) + "." + schema.Ident(table)
}

// lock waits until this process is the only one that changes the tables. The lock is a table:
// the server lets one of several make it.
func (m *migrator) lock(ctx context.Context) (release func(), err error) {
	host, _ := os.Hostname()
	holder := strings.ReplaceAll(fmt.Sprintf("%s, process %d, %s", host, os.Getpid(), rand.Text()), "'", "")
	create := fmt.Sprintf("CREATE TABLE %s%s (x UInt8) ENGINE = Memory COMMENT '%s'", m.name(lockTable), m.o.OnCluster(), holder)
	drop := func(ctx context.Context, whose string) error {
		if now, _, err := m.holder(ctx); err != nil || now != whose {
			return err // somebody else's by now
		}
		return m.conn.Exec(ctx, "DROP TABLE IF EXISTS "+m.name(lockTable)+m.o.OnCluster()+" SYNC")
	}
	comment := "somebody"
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		err := m.conn.Exec(ctx, create)
		if ex, ok := errors.AsType[*driver.Exception](err); err != nil && (!ok || ex.Code != tableExists) && ctx.Err() == nil {
			return nil, fmt.Errorf("lock %s: %w", m.name(lockTable), err)
		}
		now, age, err2 := m.holder(ctx)
		if err2 == nil {
			comment = now
		}
		if err == nil || now == holder { // or made, and the answer was lost
			return func() {
				// Whoever waited for the statements to end does not decide whether they are over.
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
				defer cancel()
				_ = drop(ctx, holder)
			}, nil
		}
		if err2 == nil && age > lockLease {
			if err := drop(ctx, now); err != nil {
				return nil, fmt.Errorf("lock of %s, who seems to have died: %w", comment, err)
			}
			continue
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("the tables are being changed by %s: %w; if it is gone, DROP TABLE %s", comment, context.Cause(ctx), m.name(lockTable))
		}
	}
}

// holder says who has the lock, by its comment, and for how long; nobody is an error.
func (m *migrator) holder(ctx context.Context) (who string, age time.Duration, err error) {
	var seconds uint64
	err = m.conn.QueryRow(ctx, "SELECT comment, toUInt64(greatest(0, dateDiff('second', metadata_modification_time, now()))) FROM system.tables WHERE database = ? AND name = ?",
		m.o.Database, lockTable).Scan(&who, &seconds)
	return who, time.Duration(seconds) * time.Second, err
}

const tableExists = 57 // TABLE_ALREADY_EXISTS
