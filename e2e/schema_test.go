package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// spillway runs a command to its end.
func spillway(args ...string) (out string, err error) {
	b, err := exec.Command(bin, args...).CombinedOutput()
	return string(b), err
}

// The operator's way: look, do, look again; and nothing is removed without being asked for.
func TestSchemaCommands(t *testing.T) {
	t.Parallel()
	engine := enginetest.Shared(t)
	engine.SQL("DROP DATABASE " + engine.Database())
	config := filepath.Join(t.TempDir(), "collector.yaml")
	write := func(schema string) {
		t.Helper()
		text := fmt.Sprintf("forward:\n  clickhouse: {dsn: %q}\nschema: %s\n", engine.DSN(), schema)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(want string, args ...string) string {
		t.Helper()
		out, err := spillway(append([]string{"schema", "--config", config}, args...)...)
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("schema %v: %v, want %q in\n%s", args, err, want, out)
		}
		return out
	}
	fails := func(want string, args ...string) {
		t.Helper()
		out, err := spillway(append([]string{"schema", "--config", config}, args...)...)
		if err == nil || !strings.Contains(out, want) {
			t.Fatalf("schema %v: %v, want it to fail with %q:\n%s", args, err, want, out)
		}
	}
	write("{}")
	run("CREATE TABLE IF NOT EXISTS "+engine.Database()+".otel_logs", "print")
	run("-- otel_logs: the table does not exist", "plan")
	run("missing", "status")
	run(" 0 left", "apply")
	run("nothing to do", "plan")
	run("otel_metrics_sum", "status")
	var status struct {
		SchemaVersion int `json:"schema_version"`
		Tables        []struct{ Name, Engine, Durable string }
		Problems      []string
	}
	if err := json.Unmarshal([]byte(run("{", "status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	if status.SchemaVersion != 1 || len(status.Tables) != 8 || len(status.Problems) != 0 || status.Tables[0].Durable != "yes" {
		t.Errorf("%+v", status)
	}

	write("{retention: {logs: 12h}}")
	run("removes rows: only with --allow-destructive", "plan")
	run("left: otel_logs", "apply")
	run("1 steps done, 0 left", "apply", "--allow-destructive")

	write("{cold_after: {logs: 3h}, storage_policy: nowhere}")
	fails("there is no storage policy nowhere: put deploy/clickhouse/", "apply")
	fails("there is no storage policy nowhere", "plan")
	run("there is no storage policy nowhere", "status")
	write("{cold_after: {logs: 3h}}")
	fails("name a storage_policy", "apply")
	write("{cluster: prod}")
	fails("cluster prod is not in the server's remote_servers", "apply")
	write("{managed: true, cluster: prod}")
	fails("leave cluster", "print")
	if out, err := spillway("schema", "status", "--clickhouse", "http://default:@127.0.0.1:1/otel"); err == nil || !strings.Contains(out, "127.0.0.1:1") {
		t.Errorf("no server: %v\n%s", err, out)
	}
}
