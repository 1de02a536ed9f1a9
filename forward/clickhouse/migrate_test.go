package clickhouse

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
	"github.com/spillway-io/spillway/schema"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// migrated opens e's database and migrates it with changed options.
func migrated(t *testing.T, e *enginetest.Engine, destructive bool, change func(*schema.Options)) (*Conn, Migrated, error) {
	t.Helper()
	o := schema.DefaultOptions()
	if change != nil {
		change(&o)
	}
	c, err := Open(e.DSN(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	m, err := c.Migrate(t.Context(), destructive)
	return c, m, err
}

func mustMigrate(t *testing.T, e *enginetest.Engine, destructive bool, change func(*schema.Options)) (*Conn, Migrated) {
	t.Helper()
	c, m, err := migrated(t, e, destructive, change)
	if err != nil {
		t.Fatal(err)
	}
	return c, m
}

// nothingLeft asserts that a second run has nothing to do.
func nothingLeft(t *testing.T, c *Conn) {
	t.Helper()
	plan, err := c.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range plan.Steps {
		t.Errorf("still to do: %s: %s\n%s", s.Table, s.Why, s.SQL)
	}
}

func TestAnEmptyServerGetsEverythingOnce(t *testing.T) {
	e := enginetest.Shared(t)
	e.SQL("DROP DATABASE " + e.Database())
	c, m := mustMigrate(t, e, false, nil)
	if len(m.Done) < len(schema.Tables())+1 {
		t.Errorf("%d steps", len(m.Done))
	}
	nothingLeft(t, c)
	if n := e.SQL("SELECT count() FROM " + schema.MigrationsTable); n != fmt.Sprint(schema.CurrentVersion) {
		t.Errorf("%s versions noted", n)
	}
	if n := e.SQL("EXISTS TABLE " + lockTable); n != "0" {
		t.Error("the lock is still there")
	}
	state, err := c.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	status := schema.NewStatus(state, c.Tables())
	if status.Version != schema.CurrentVersion || len(status.Problems) > 0 || len(status.NotDurable) > 0 {
		t.Errorf("%+v", status)
	}
	for _, table := range status.Tables {
		if table.Durable != "yes" || table.Window != "10000" || table.TTL == "" {
			t.Errorf("%+v", table)
		}
	}
}

// Several collectors start at once: one works, and all find everything there.
func TestOnlyOneChangesTheTables(t *testing.T) {
	e := enginetest.Shared(t)
	e.SQL("DROP DATABASE " + e.Database())
	const collectors = 6
	steps := make([]int, collectors)
	var wg sync.WaitGroup
	for i := range collectors {
		wg.Go(func() {
			c, m, err := migrated(t, e, false, nil)
			if err != nil {
				t.Error(err)
				return
			}
			steps[i] = len(m.Done)
			nothingLeft(t, c)
		})
	}
	wg.Wait()
	slices.Sort(steps)
	if steps[collectors-1] == 0 || steps[collectors-2] != 0 {
		t.Errorf("steps of each: %v, want all of one", steps)
	}
}

// A lock whose holder died is taken over after its lease, and not before.
func TestALockOutlivesNobody(t *testing.T) {
	e := enginetest.Shared(t)
	e.SQL("CREATE TABLE " + lockTable + " (x UInt8) ENGINE = Memory COMMENT 'node-7, process 4711'")
	c, err := Open(e.DSN(), schema.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if _, err := c.Migrate(ctx, false); err == nil || !strings.Contains(err.Error(), "node-7, process 4711") {
		t.Errorf("%v, which does not say who has the lock", err)
	}
	old := time.Now().Add(-lockLease - time.Minute)
	metadata := e.SQL("SELECT metadata_path FROM system.tables WHERE database = currentDatabase() AND name = '" + lockTable + "'")
	if !filepath.IsAbs(metadata) {
		metadata = filepath.Join(e.DataDir(), "store", metadata)
	}
	if err := os.Chtimes(metadata, old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Migrate(t.Context(), false); err != nil {
		t.Error(err)
	}
	nothingLeft(t, c)
}

func TestRetentionIsReconciled(t *testing.T) {
	e := enginetest.Shared(t)
	mustMigrate(t, e, false, nil)
	ttl := func(table string) string {
		_, clause, _ := strings.Cut(e.SQL("SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '"+table+"'"), " TTL ")
		clause, _, _ = strings.Cut(clause, " SETTINGS")
		return clause
	}
	c, m := mustMigrate(t, e, false, func(o *schema.Options) { o.Retention.Logs = 60 * 24 * time.Hour })
	if got := ttl("otel_logs"); got != "toDateTime(Timestamp) + toIntervalDay(60)" || len(m.Done) != 1 {
		t.Errorf("longer: %s, %d steps", got, len(m.Done))
	}
	nothingLeft(t, c)

	shorter := func(o *schema.Options) { o.Retention.Logs, o.Retention.Traces = 2*24*time.Hour, 12*time.Hour }
	_, m = mustMigrate(t, e, false, shorter)
	if got := ttl("otel_logs"); got != "toDateTime(Timestamp) + toIntervalDay(60)" || len(m.Done) != 0 || len(m.Left) != 3 {
		t.Errorf("shorter without being allowed: %s, done %d, left %d", got, len(m.Done), len(m.Left))
	}
	c, m = mustMigrate(t, e, true, shorter)
	if got := ttl("otel_logs"); got != "toDateTime(Timestamp) + toIntervalDay(2)" || len(m.Left) != 0 {
		t.Errorf("shorter: %s", got)
	}
	if got := ttl("otel_traces"); got != "toDateTime(Timestamp) + toIntervalHour(12)" {
		t.Errorf("shorter: %s", got)
	}
	nothingLeft(t, c)

	e.SQL("ALTER TABLE otel_logs MODIFY TTL toDateTime(Timestamp) + INTERVAL 1 MONTH DELETE WHERE ServiceName = 'x'")
	_, m = mustMigrate(t, e, true, shorter)
	if got := ttl("otel_logs"); !strings.Contains(got, "toIntervalMonth(1)") || !slices.ContainsFunc(m.Notes, func(n schema.Note) bool { return strings.Contains(n.Text, "by hand") }) {
		t.Errorf("by hand: %s, notes %v", got, m.Notes)
	}
	c, _ = mustMigrate(t, e, false, func(o *schema.Options) { o.Retention = schema.Retention{} })
	if got := ttl("otel_traces"); got != "" {
		t.Errorf("for ever: %s", got)
	}
	nothingLeft(t, c)
}

// What a server lacks is said before anything is changed, with what to do.
func TestWhatTheServerLacksIsSaid(t *testing.T) {
	e := enginetest.Shared(t)
	for want, change := range map[string]func(*schema.Options){
		"there is no storage policy hot_cold": func(o *schema.Options) { o.StoragePolicy, o.ColdAfter.Logs = "hot_cold", time.Hour },
		"none called cold":                    func(o *schema.Options) { o.StoragePolicy, o.ColdAfter.Logs = "default", time.Hour },
		"not in the server's remote_servers":  func(o *schema.Options) { o.Cluster = "nowhere" },
	} {
		_, _, err := migrated(t, e, false, change)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if n := e.SQL("SELECT count() FROM system.tables WHERE database = currentDatabase()"); n != "0" {
		t.Errorf("%s tables were made", n)
	}
}

// Settings that an operator made stricter stay; those that the guarantees rest on come back.
func TestSettingsAreReconciled(t *testing.T) {
	e := enginetest.Shared(t)
	mustMigrate(t, e, false, nil)
	e.SQL("ALTER TABLE otel_logs MODIFY SETTING non_replicated_deduplication_window = 50000")
	e.SQL("ALTER TABLE otel_traces MODIFY SETTING non_replicated_deduplication_window = 5, fsync_after_insert = 0")
	state := func(c *Conn) schema.Status {
		s, err := c.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return schema.NewStatus(s, c.Tables())
	}
	c, err := Open(e.DSN(), schema.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if s := state(c); len(s.NotDurable) != 1 || !strings.Contains(s.NotDurable[0], "otel_traces: no fsync_after_insert") {
		t.Errorf("not durable: %v", s.NotDurable)
	}
	if m, err := c.Migrate(t.Context(), false); err != nil || len(m.Done) != 1 {
		t.Errorf("%+v, %v", m.Done, err)
	}
	s := state(c)
	for _, table := range s.Tables {
		if want := map[string]string{"otel_logs": "50000"}[table.Name]; want != "" && table.Window != want || table.Durable != "yes" {
			t.Errorf("%+v", table)
		}
	}
}

func TestASchemaOfANewerVersionIsLeftAlone(t *testing.T) {
	e := enginetest.Shared(t)
	mustMigrate(t, e, false, nil)
	e.SQL("INSERT INTO " + schema.MigrationsTable + " (version, name) VALUES (99, 'from the future')")
	e.SQL("ALTER TABLE otel_logs DROP COLUMN EventName")
	if _, _, err := migrated(t, e, true, nil); err == nil || !strings.Contains(err.Error(), "version 99 (from the future)") {
		t.Errorf("%v", err)
	}
}

// Tables that the OpenTelemetry exporter made by itself, with rows in them, become ours: rows stay,
// rows of both writers come in, and what cannot be changed is noted.
func TestTablesOfTheExporterAreAdopted(t *testing.T) {
	for _, kind := range []string{"", "ttl_"} {
		e := enginetest.Shared(t)
		files, err := filepath.Glob("../../schema/testdata/exporter/" + kind + "otel_*.sql")
		if err != nil || len(files) != len(schema.Tables())+1 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		for _, file := range files { // the view is last
			sql, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			e.SQL(strings.ReplaceAll(string(sql), " otel.", " "+e.Database()+"."))
		}
		e.SQL("INSERT INTO otel_logs (Timestamp, ServiceName, Body) VALUES (now64(9), 'old', 'before')")
		c, m := mustMigrate(t, e, true, nil)
		nothingLeft(t, c)
		noted := func(table, text string) {
			t.Helper()
			if !slices.ContainsFunc(m.Notes, func(n schema.Note) bool { return n.Table == table && strings.Contains(n.Text, text) }) {
				t.Errorf("no note on %s about %s in %v", table, text, m.Notes)
			}
		}
		noted("otel_traces", "its sorting key is")
		noted("otel_traces", "materialized view")
		set := schema.NewSet()
		for range 2 {
			if _, err := set.AppendLogs(logBatch(3, "after", false).Body, schema.Origin{Stream: "0123", Seq: 7, Accepted: time.Now().UnixNano()}); err != nil {
				t.Fatal(err)
			}
		}
		for rows := range set.Buckets() {
			var buf, late proto.Buffer
			if err := schema.Encode(&buf, forward.Fence(time.Now().Add(time.Minute)), rows); err != nil {
				t.Fatal(err)
			}
			if err := c.insert(t.Context(), rows.Table(), buf.Buf, rand.Text()); err != nil {
				t.Fatal(err)
			}
			if err := schema.Encode(&late, forward.Fence(time.Now().Add(-time.Minute)), rows); err != nil {
				t.Fatal(err)
			}
			if err := c.insert(t.Context(), rows.Table(), late.Buf, rand.Text()); classify(err) != fenced {
				t.Errorf("a late block: %v", err)
			}
		}
		// The exporter goes on writing what it wrote.
		e.SQL("INSERT INTO otel_logs (Timestamp, ServiceName, Body) VALUES (now64(9), 'old', 'before')")
		if got := e.SQL("SELECT Body, count(), countIf(IngestStream != '') FROM otel_logs GROUP BY Body ORDER BY Body"); got != "after\t6\t6\nbefore\t2\t0" {
			t.Errorf("%q", got)
		}
	}
}

// Tables as ClickStack (HyperDX) seeds them, written down from its documentation of August 2026: the
// exporter's columns, some of its own, other indexes, and no table of trace times.
const clickStackTables = "CREATE TABLE otel_logs (" +
	"Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)), TraceId String, SpanId String, TraceFlags UInt8, SeverityText LowCardinality(String), SeverityNumber UInt8, " +
	"ServiceName LowCardinality(String), Body String, ResourceSchemaUrl LowCardinality(String), ResourceAttributes Map(LowCardinality(String), String), " +
	"ScopeSchemaUrl LowCardinality(String), ScopeName String, ScopeVersion LowCardinality(String), ScopeAttributes Map(LowCardinality(String), String), " +
	"LogAttributes Map(LowCardinality(String), String), EventName String, " +
	"`__hdx_materialized_k8s.pod.name` LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.pod.name'], " +
	"LogAttributeItems Array(String) ALIAS arrayMap(kv -> concat(kv.1, '=', kv.2), LogAttributes::Array(Tuple(String, String))), " +
	"INDEX idx_trace_id TraceId TYPE text(tokenizer = 'array'), INDEX idx_log_attr_items LogAttributeItems TYPE text(tokenizer = 'array'), " +
	"INDEX idx_lower_body lower(Body) TYPE text(tokenizer = 'splitByNonAlpha')) " +
	"ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp) " +
	"TTL toDateTime(Timestamp) + toIntervalDay(30) SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, enable_block_number_column = 1, enable_block_offset_column = 1"

func TestTablesOfClickStackAreAdopted(t *testing.T) {
	e := enginetest.Shared(t)
	e.SQL(clickStackTables)
	e.SQL("INSERT INTO otel_logs (Timestamp, ServiceName, Body) VALUES (now64(9), 'old', 'before')")
	c, m := mustMigrate(t, e, false, nil)
	nothingLeft(t, c)
	if len(m.Left) != 0 {
		t.Errorf("left: %v", m.Left)
	}
	for _, s := range m.Done {
		if strings.Contains(s.SQL, "DROP") || strings.Contains(s.SQL, "MODIFY TTL") {
			t.Errorf("%s\n%s", s.Why, s.SQL)
		}
	}
	set := schema.NewSet()
	if _, err := set.AppendLogs(logBatch(3, "after", false).Body, schema.Origin{Stream: "0123", Seq: 7, Accepted: time.Now().UnixNano()}); err != nil {
		t.Fatal(err)
	}
	for rows := range set.Buckets() {
		var buf proto.Buffer
		if err := schema.Encode(&buf, forward.Fence(time.Now().Add(time.Minute)), rows); err != nil {
			t.Fatal(err)
		}
		if err := c.insert(t.Context(), rows.Table(), buf.Buf, rand.Text()); err != nil {
			t.Fatal(err)
		}
	}
	if got := e.SQL("SELECT Body, count(), countIf(IngestStream != ''), min(ObservedTimestamp >= Timestamp) FROM otel_logs GROUP BY Body ORDER BY Body"); got != "after\t3\t3\t1\nbefore\t1\t0\t1" {
		t.Errorf("%q", got)
	}
}

// What a table is by somebody's hand, and must not be for our rows, is said.
func TestTablesThatWouldHarmRowsAreRefusedOrNoted(t *testing.T) {
	e := enginetest.Shared(t)
	mustMigrate(t, e, false, nil)
	e.SQL("ALTER TABLE otel_logs MODIFY TTL InsertedAt + INTERVAL 5 DAY")
	e.SQL("ALTER TABLE otel_traces DROP COLUMN InsertedAt")
	e.SQL("ALTER TABLE otel_traces ADD COLUMN InsertedAt DateTime DEFAULT now()")
	_, m := mustMigrate(t, e, true, nil)
	for table, text := range map[string]string{"otel_logs": "written by hand", "otel_traces": "not what refuses a block that comes too late"} {
		if !slices.ContainsFunc(m.Notes, func(n schema.Note) bool { return n.Table == table && strings.Contains(n.Text, text) }) {
			t.Errorf("%s: no note on %s in %v", table, text, m.Notes)
		}
	}
	e.SQL("DROP TABLE otel_logs")
	e.SQL("CREATE TABLE otel_logs (Timestamp DateTime64(9), Body String) ENGINE = ReplacingMergeTree ORDER BY Timestamp")
	if _, _, err := migrated(t, e, false, nil); err == nil || !strings.Contains(err.Error(), "one row of several") {
		t.Errorf("ReplacingMergeTree: %v", err)
	}
}
