package schema_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
	"github.com/spillway-io/spillway/schema"
)

var update = flag.Bool("update", false, "write testdata/*.sql instead of comparing with it")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".sql")
	got += "\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; go test ./schema -update accepts it):\n%s", path, diff)
	}
}

const day = 24 * time.Hour

// layouts are the ways in which the tables can be made.
func layouts() map[string]schema.Options {
	with := func(change func(*schema.Options)) schema.Options {
		o := schema.DefaultOptions()
		change(&o)
		return o
	}
	return map[string]schema.Options{
		"single": schema.DefaultOptions(),
		"tiered": with(func(o *schema.Options) {
			o.Database = "my-telemetry"
			// Metrics expire before they would move, and rules are in whole units.
			o.ColdAfter = schema.Retention{Logs: 3 * day, Traces: 36 * time.Hour, Metrics: 400 * day}
			o.StoragePolicy = "hot_cold"
		}),
		"cluster":             with(func(o *schema.Options) { o.Cluster = "telemetry-prod" }),
		"replicated_database": with(func(o *schema.Options) { o.Cluster, o.ReplicatedDatabase = "otel", true }),
		"managed":             with(func(o *schema.Options) { o.Managed = true }),
	}
}

// Each layout as it was reviewed, in the order in which it is made, with the INSERTs and the
// optional view.
func TestTablesAreCreatedAsReviewed(t *testing.T) {
	for name, o := range layouts() {
		if err := o.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		all := schema.Statements(o)
		all = append(all, schema.TraceIDView(o))
		for _, table := range schema.Tables() {
			all = append(all, table.InsertSQL(o))
		}
		golden(t, name, strings.Join(all, ";\n\n")+";")
	}
}

// What cannot be run here is at least ClickHouse's SQL: the real parser reads every statement of
// every layout. Replicated and Distributed tables need servers that this engine is not, and only
// ClickHouse Cloud knows Shared ones: those are read as what they are called elsewhere.
func TestEveryLayoutIsClickHousesSQL(t *testing.T) {
	e := enginetest.Shared(t)
	for _, o := range layouts() {
		for _, sql := range append(schema.Statements(o), schema.TraceIDView(o)) {
			e.SQL("EXPLAIN AST " + strings.Replace(sql, "ENGINE = Shared", "ENGINE = ", 1))
		}
	}
}

func TestOptionsThatCannotBeKeptAreRefused(t *testing.T) {
	if err := schema.DefaultOptions().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for want, o := range map[string]schema.Options{
		"database":              {},
		"cold_after":            {Database: "x", ColdAfter: schema.Retention{Logs: day}},
		"replicated_database":   {Database: "x", ReplicatedDatabase: true},
		"managed":               {Database: "x", Managed: true, Cluster: "c"},
		"retention of traces":   {Database: "x", Retention: schema.Retention{Traces: -day}},
		"cold_after of metrics": {Database: "x", ColdAfter: schema.Retention{Metrics: time.Millisecond}, StoragePolicy: "p"},
	} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, which does not name %s", o, err, want)
		}
	}
}
