package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// earlierLog is the log directory of an agent of commit 2076144, which was killed before it had delivered any of it: 300 log
// records, a span, a data point, and 100 lines of a file. See TestRecordALog.
const earlierLog = "testdata/earlier/log-2076144.tar.gz"

// A node's log outlives the program that wrote it: what an earlier build took is delivered once by this one.
func TestTheLogOfAnEarlierBuildIsDelivered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-C", dir, "-xzf", earlierLog).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command(bin, "wal", "verify", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	engine := enginetest.Shared(t)
	c := startCollectorWith(t, engine.DSN(), port(t), "schema: {retention: {logs: 0s, traces: 0s, metrics: 0s}}") // the records stay as old as they are
	c.ready()
	admin := port(t)
	a := &node{grpc: port(t), wal: dir}
	file := filepath.Join(t.TempDir(), "later.log")
	if err := os.WriteFile(file, []byte(`{"event":"later"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.proc = start(t, "agent", admin, "agent", "--config", config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: ""}}, tail: [{include: [%q]}]}
wal: {dir: %q, min_free_mib: 64}
batch: {timeout: 200ms}
forward: {otlp: {endpoints: [%q], retry_on_failure: {initial_interval: 200ms, max_interval: 2s}}}
admin: {endpoint: %q}
`, a.grpc, file, dir, c.grpc, admin)))
	a.healthy()
	l := newLoad(t, a.grpc, "later", 50)
	l.some(2)
	a.drained()
	for query, want := range map[string]string{
		"SELECT count(), uniqExact(LogAttributes['n']) FROM otel_logs WHERE LogAttributes['test'] = 'golden'": "300\t300",
		"SELECT count(), uniqExact(LogAttributes['n']) FROM otel_logs WHERE Body = 'line'":                    "100\t100",
		"SELECT count() FROM otel_logs WHERE Body = 'later'":                                                  "1",
		"SELECT count() FROM otel_logs WHERE LogAttributes['test'] = 'later'":                                 "100",
		"SELECT count(), any(SpanName) FROM otel_traces":                                                      "1\tgolden",
		"SELECT count(), any(Value) FROM otel_metrics_gauge":                                                  "1\t1.5",
	} {
		if got := engine.SQL(query); got != want {
			t.Errorf("%s: %s, want %s", query, strings.ReplaceAll(got, "\t", " "), want)
		}
	}
	a.equation()
}
