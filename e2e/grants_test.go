package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// grantStatements are those of deploy/clickhouse/grants.sql, without comments.
func grantStatements(t *testing.T) (all []string) {
	t.Helper()
	var text strings.Builder
	for line := range strings.Lines(shipped(t, "grants.sql")) {
		if !strings.HasPrefix(line, "--") {
			text.WriteString(line)
		}
	}
	for _, s := range strings.Split(text.String(), ";") {
		if s = strings.TrimSpace(s); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// restrict restarts the engine so that its only user has the rights of some roles. The engine cannot
// make roles; it takes a user with rights from its configuration.
func restrict(t *testing.T, engine *enginetest.Engine, roles ...string) {
	t.Helper()
	var rights []string
	grant := regexp.MustCompile(`(?s)^(GRANT .*) TO (\w+)$`)
	for _, s := range grantStatements(t) {
		m := grant.FindStringSubmatch(s)
		for _, role := range roles {
			if m != nil && m[2] == role {
				rights = append(rights, m[1])
			}
		}
	}
	if len(rights) == 0 {
		t.Fatalf("%v have no grants", roles)
	}
	allow(t, engine, rights)
}

// allow restarts the engine so that its only user has these rights.
func allow(t *testing.T, engine *enginetest.Engine, rights []string) {
	t.Helper()
	// The engine itself makes its database at the start.
	rights = append(rights, "GRANT CREATE DATABASE ON "+engine.Database()+".*")
	var queries strings.Builder
	for _, r := range rights {
		fmt.Fprintf(&queries, "<query>%s</query>", r)
	}
	users := filepath.Join(engine.DataDir(), "users.xml")
	text := "<clickhouse><users><default><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota><grants>" +
		queries.String() + "</grants></default></users><profiles><default></default></profiles><quotas><default></default></quotas></clickhouse>"
	if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	configured(t, engine, map[string]string{"users.xml": "<clickhouse><users_config>" + users + "</users_config></clickhouse>"})
}

// Each role can do what it is for, and nothing else: spillway runs as a user with the rights of deploy/clickhouse/grants.sql.
// This engine asks nobody for rights on system tables and table engines, as a server does.
func TestGrants(t *testing.T) {
	engine := enginetest.Start(t, enginetest.WithDatabase("elsewhere"))
	for _, s := range grantStatements(t) {
		engine.SQL("EXPLAIN AST " + s)
	}
	dsn := fmt.Sprintf("http://default:@%s/otel", engine.HTTPAddr())
	run := func(want string, args ...string) {
		t.Helper()
		if out, err := spillway(append([]string{"schema", "--clickhouse", dsn}, args...)...); err != nil || !strings.Contains(out, want) {
			t.Fatalf("schema %v: %v, want %q in\n%s", args, err, want, out)
		}
	}

	restrict(t, engine, "spillway_schema")
	run("the database does not exist", "plan")
	run(" 0 left", "apply")
	run("nothing to do", "plan")
	run("schema version 1 of 1", "status")
	mustFail(t, engine, "DROP TABLE otel.otel_logs", "Code: 497.")
	mustFail(t, engine, "ALTER TABLE otel.otel_logs DELETE WHERE 1", "Code: 497.")
	mustFail(t, engine, "SELECT count() FROM otel.otel_logs", "Code: 497.")
	mustFail(t, engine, "CREATE TABLE otel.other (a UInt8) ENGINE = MergeTree ORDER BY a", "Code: 497.")

	// A table that lacks something, as those of older versions and of others do.
	everythingAllowed(t, engine)
	engine.SQL("ALTER TABLE otel.otel_logs DROP INDEX idx_ingest_seq, DROP COLUMN EventName, RESET SETTING fsync_after_insert")
	restrict(t, engine, "spillway_schema")
	config := config(t, fmt.Sprintf("forward: {clickhouse: {dsn: %q}}\nschema: {retention: {logs: 12h, traces: 30d}}\n", dsn))
	run("done: otel_logs: columns and indexes that it lacks", "apply", "--config", config)
	run("done: otel_logs: retention", "apply", "--config", config, "--allow-destructive")
	run("nothing to do", "plan", "--config", config)

	// With the default, schema.create: true, the collector looks at the tables first.
	restrict(t, engine, "spillway_writer")
	c, _ := collectorOf(t, fmt.Sprintf("dsn: %q", dsn), "retention: {logs: 12h, traces: 30d}")
	c.ready()
	sent("granted", 0).to(t, c.grpc)
	mustFail(t, engine, "SELECT Body FROM otel.otel_logs", "Code: 497.")
	mustFail(t, engine, "TRUNCATE TABLE otel.otel_logs", "Code: 497.")
	mustFail(t, engine, "CREATE TABLE otel.otel_other (a UInt8) ENGINE = MergeTree ORDER BY a", "Code: 497.")
	c.kill()
	// A collector that may not do what the tables need says what to do.
	c, _ = collectorOf(t, fmt.Sprintf("dsn: %q", dsn), "retention: {logs: 60d}")
	c.says("Not enough privileges")
	c.kill()

	// Both roles, for a collector that makes the tables itself.
	restrict(t, engine, "spillway_writer", "spillway_schema")
	c, _ = collectorOf(t, fmt.Sprintf("dsn: %q", dsn), "retention: {logs: 60d}")
	c.ready()
	sent("granted", 0).to(t, c.grpc)
	c.kill()

	restrict(t, engine, "spillway_reader")
	for _, table := range tieredTables {
		if got := engine.SQL("SELECT count() FROM otel." + table.name); got != "2" {
			t.Errorf("%s has %s rows", table.name, got)
		}
	}
	mustFail(t, engine, "INSERT INTO otel.otel_logs (Body) VALUES ('')", "Code: 497.")
	mustFail(t, engine, "ALTER TABLE otel.otel_logs MODIFY TTL Timestamp + INTERVAL 1 DAY", "Code: 497.")

	// What may be there is looked for, with the rights of who writes.
	restrict(t, engine, "spillway_writer")
	c, _ = collectorOf(t, fmt.Sprintf("dsn: %q", dsn), "create: false")
	c.ready()
	_, now := c.post("logs", nil)
	trace := tracesOf(func(int) uint64 { return uint64(time.Now().UnixNano()) }, 0)
	spans := 0
	for _, r := range trace.ResourceSpans {
		for _, s := range r.ScopeSpans {
			spans += len(s.Spans)
		}
	}
	m := forward.Marker{Stream: [16]byte{1}, After: now - 1, Until: now + 15}
	for signal, body := range map[string][]byte{"logs": marked(t, numbered("redelivered", span{0, 10}), 10, m),
		"traces": marked(t, trace, spans, m), "metrics": marked(t, points(20), 20, m)} {
		for range 2 {
			if status, _ := c.post(signal, body); status != http.StatusOK {
				t.Errorf("%s, redelivered: %d", signal, status)
			}
		}
	}
}

// everythingAllowed takes the restriction back.
func everythingAllowed(t *testing.T, engine *enginetest.Engine) {
	t.Helper()
	configured(t, engine, map[string]string{"users.xml": "<clickhouse></clickhouse>"})
}

// The other files, as a server reads them. This engine has the cluster and the macros; it has no Keeper
// to start from keeper.xml.
func TestTheClusterFilesAreRead(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t, enginetest.WithEnv("CLICKHOUSE_SHARD=1", "CLICKHOUSE_REPLICA=clickhouse-2", "CLICKHOUSE_CLUSTER_SECRET=secret", "KEEPER_ID=2"))
	configured(t, engine, map[string]string{"cluster.xml": shipped(t, "cluster.xml"), "keeper.xml": shipped(t, "keeper.xml")})
	if got := engine.SQL("SELECT shard_num, replica_num, host_name, internal_replication FROM system.clusters WHERE cluster = 'spillway' ORDER BY ALL"); got != "1\t1\tclickhouse-1\t1\n1\t2\tclickhouse-2\t1\n1\t3\tclickhouse-3\t1" {
		t.Errorf("cluster: %s", got)
	}
	if got := engine.SQL("SELECT macro, substitution FROM system.macros ORDER BY macro"); got != "cluster\tspillway\nreplica\tclickhouse-2\nshard\t1" {
		t.Errorf("macros: %s", got)
	}
	// The plan is not blocked: cluster and macros are what schema.cluster needs.
	file := config(t, fmt.Sprintf("forward: {clickhouse: {dsn: %q}}\nschema: {cluster: spillway}\n", engine.DSN()))
	if out, err := spillway("schema", "plan", "--config", file); err != nil || !strings.Contains(out, "otel_logs_local ON CLUSTER spillway") {
		t.Errorf("plan: %v\n%s", err, out)
	}
}
