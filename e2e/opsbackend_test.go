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

// What docs/clickstack.md tells ops-backend to do is what the files of deploy/ops-backend do: a structlog program with that configuration and
// an SDK with those variables arrive as one service, and the lines of a request find its span.
func TestOpsBackendFindsTheSpanOfALine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "ops-backend.log")
	stdout, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	engine := enginetest.Shared(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	a := startAgent(t, c.grpc, fmt.Sprintf(`, tail: [{include: [%q], resource: {deployment.environment.name: prod, service.name: ops-backend}}]`, out))

	environment := os.Environ()
	for line := range strings.Lines(readFile(t, "../deploy/ops-backend/otel.env")) {
		environment = append(environment, strings.ReplaceAll(strings.TrimSpace(line), "127.0.0.1:4318", a.http))
	}
	script := filepath.Join(dir, "environment.mjs")
	if err := os.WriteFile(script, []byte(readFile(t, "testdata/js/environment.mjs")), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(jsModules(t), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", script)
	node.Env, node.Stderr = environment, os.Stderr
	said, err := node.Output()
	if err != nil {
		t.Fatal(err)
	}
	ids := strings.Fields(string(said))

	program := exec.CommandContext(t.Context(), "/usr/bin/python3", "testdata/opsbackend/main.py")
	program.Env = append(environment, "PYTHONPATH=testdata/opsbackend:../deploy/ops-backend", "PYTHONDONTWRITEBYTECODE=1", "TRACE_ID="+ids[0], "SPAN_ID="+ids[1])
	program.Stdout, program.Stderr = stdout, os.Stderr
	if err := program.Run(); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, engine.DSN())
	until(t, "both lines stored", func() bool { return one(t, conn, "SELECT count() FROM otel_logs") == 2 })
	a.drained()
	for query, want := range map[string]string{
		`SELECT l.Body, s.SpanName FROM otel_logs AS l JOIN otel_traces AS s ON l.TraceId = s.TraceId AND l.SpanId = s.SpanId
			WHERE l.ServiceName = 'ops-backend' AND s.ServiceName = 'ops-backend' AND l.TraceFlags = 1 ORDER BY l.Timestamp`: "request began\tGET /orders\nrequest failed\tGET /orders",
		"SELECT SeverityText, LogAttributes['exception.type'], LogAttributes['exception.message'], LogAttributes['request_id'] FROM otel_logs WHERE Body = 'request failed'": "error\tValueError\torder 8812 is not paid\tr-1",
		"SELECT ServiceName, ResourceAttributes['service.version'], Value FROM otel_metrics_sum WHERE MetricName = 'orders'":                                                 "ops-backend\t1.4.2\t1",
		"SELECT DISTINCT ResourceAttributes['deployment.environment.name'] FROM otel_traces":                                                                                 "prod",
		"SELECT DISTINCT ResourceAttributes['deployment.environment.name'] FROM otel_logs":                                                                                   "prod",
	} {
		if got := engine.SQL(query); got != want {
			t.Errorf("%s\ngot  %q\nwant %q", query, got, want)
		}
	}
	page := readFile(t, "../docs/clickstack.md")
	_, query, _ := strings.Cut(page, "```sql\n")
	query, _, _ = strings.Cut(query, "```")
	if rows := engine.SQL(strings.Replace(query, "> 1000000000", "> 0", 1)); strings.Count(rows, "GET /orders") != 2 {
		t.Errorf("the page's query, of requests that are not as slow, says %q", rows)
	}
	for _, name := range []string{"telemetry.py", "otel.env"} {
		if !strings.Contains(page, readFile(t, "../deploy/ops-backend/"+name)) {
			t.Errorf("docs/clickstack.md shows another %s", name)
		}
	}
}
