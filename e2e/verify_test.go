package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// The binary's answers and exit codes, as a user who may read three columns.
func TestVerify(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	engine := enginetest.Start(t)
	if out, err := spillway("schema", "apply", "--clickhouse", engine.DSN()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	key := strings.Repeat("ab", 16)
	sum := sha256.Sum256([]byte(strings.Repeat("\xab", 16)))
	id := hex.EncodeToString(sum[:16])
	store := func(seqs string, ago int) {
		engine.SQL(fmt.Sprintf(`INSERT INTO otel_logs (Timestamp, IngestStream, IngestSeq, InsertedAt) SELECT now(), '%s', arrayJoin(%s), now() - %d FROM numbers(3)
SETTINGS insert_allow_materialized_columns = 1, insert_deduplicate = 0`, id, seqs, ago))
	}
	run := func(code int, want string, args ...string) string {
		t.Helper()
		out, err := spillway(append([]string{"verify", "--clickhouse", engine.DSN()}, args...)...)
		got := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			got = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if got != code || !strings.Contains(out, want) {
			t.Errorf("verify %v: exit %d, want %d and %q:\n%s", args, got, code, want, out)
		}
		return out
	}
	only := func(right string) {
		t.Helper()
		var rights strings.Builder
		for _, table := range tieredTables {
			fmt.Fprintf(&rights, "<query>GRANT %s ON otel.%s</query>", right, table.name)
		}
		users := filepath.Join(engine.DataDir(), "users.xml")
		text := "<clickhouse><users><default><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota><grants>" +
			"<query>GRANT CREATE DATABASE ON otel.*</query>" + rights.String() + "</grants></default></users><profiles><default></default></profiles><quotas><default></default></quotas></clickhouse>"
		if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		configured(t, engine, map[string]string{"users.xml": "<clickhouse><users_config>" + users + "</users_config></clickhouse>"})
	}

	run(0, "no rows with an identity")
	store("range(10)", 600)
	run(0, "logs: streams 1, records 10, missing 0 in 0 gaps")
	store("[12, 13, 20]", 600)
	store("[13]", 300)
	only("SELECT(IngestStream, IngestSeq, InsertedAt, _partition_id)")
	mustFail(t, engine, "SELECT count(Body) FROM otel_logs", "Code: 497.")
	out := run(1, "missing: logs stream "+id+" seq 10 to 11")
	for _, want := range []string{"missing: logs stream " + id + " seq 14 to 19", "stored twice, or in equal pieces because rows were refused: otel_logs partition ",
		"seq 13: 2 INSERTs of 3 rows", "records 13, missing 8 in 2 gaps, explained 0, unknown 0, stored twice 1, in pieces 0", "spillway: records are missing or stored twice"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, stream := range []string{id, id[:8], key} {
		run(1, "missing 8 in 2 gaps", "--stream", stream)
	}
	run(0, "no rows with an identity", "--stream", strings.Repeat("cd", 16))
	run(0, "records 1, missing 0", "--since", "400s")
	run(2, "", "--stream", "cd ef")
	run(2, "no such file", "--ledger", filepath.Join(t.TempDir(), "nowhere"))
	if out := run(1, "missing 8 in 2 gaps", "--limit", "1"); strings.Count(out, "missing: ") != 1 {
		t.Errorf("--limit 1:\n%s", out)
	}

	ledger := filepath.Join(t.TempDir(), "ledger.jsonl")
	if err := os.WriteFile(ledger, fmt.Appendf(nil, `{"lane":"logs","reason":"evicted","stream":"%s","from_seq":10,"to_seq":16,"from_time":"2026-01-01T00:00:00Z"}`+"\n", key), 0o600); err != nil {
		t.Fatal(err)
	}
	var report struct {
		Clean     bool
		Signals   []struct{ Missing, Explained, Twice uint64 }
		Gaps      []struct{ From, To uint64 }
		Explained []struct{ Why string }
		Repeats   []struct{ Seq uint64 }
	}
	text, _, _ := strings.Cut(run(1, "{", "--json", "--ledger", ledger), "\nspillway:")
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if got := fmt.Sprint(report); got != "{false [{3 5 1}] [{17 19}] [{evicted} {evicted}] [{13}]}" {
		t.Errorf("%s\n%s", got, text)
	}
	prom := filepath.Join(t.TempDir(), "spillway_verify.prom")
	run(1, "missing 3 in 1 gaps", "--metrics", prom, "--ledger", ledger)
	exported, err := os.ReadFile(prom)
	if err != nil {
		t.Fatal(err)
	}
	found, err := kit.Samples(exported)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"missing": 3, "duplicate": 1, "unknown": 0} {
		sample := "spillway_verify_" + name + `_records{signal="logs"}`
		if got, there := found[sample]; !there || got != want {
			t.Errorf("%s: %v, want %v in\n%s", sample, got, want, exported)
		}
	}
	if got := found["spillway_verify_last_run_timestamp_seconds"]; got < float64(begun.Unix()) {
		t.Errorf("last run at %v, and the test began at %v", got, begun.Unix())
	}
	run(1, "--metrics", "--metrics", filepath.Join(t.TempDir(), "nowhere", "x.prom"))

	only("INSERT")
	run(1, "grant the user what deploy/clickhouse/grants.sql says")
}
