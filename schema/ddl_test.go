package schema_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

func TestEachTableIsCreatedAsReviewed(t *testing.T) {
	for _, table := range schema.Tables() {
		golden(t, table.Name(), table.DDL(schema.DefaultOptions()))
		golden(t, "insert_"+table.Name(), table.InsertSQL("otel"))
	}
	golden(t, "otel_traces_trace_id_ts_mv", schema.TraceIDView(schema.DefaultOptions()))
}

func TestColdStorageAddsAMoveRuleAndAPolicy(t *testing.T) {
	o := schema.DefaultOptions()
	o.Database = "my-telemetry"
	o.ColdAfter = schema.Retention{Logs: 3 * day, Traces: 36 * time.Hour, Metrics: 400 * day}
	o.StoragePolicy = "hot_cold"
	for _, table := range schema.Tables() {
		switch table.Name() {
		case "otel_logs", "otel_traces", "otel_traces_trace_id_ts", "otel_metrics_sum":
			golden(t, "cold_"+table.Name(), table.DDL(o))
		}
	}
}
