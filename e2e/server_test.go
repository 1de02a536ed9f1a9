package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// shipped reads a file of deploy/clickhouse, with pairs of words replaced that must be in it.
func shipped(t *testing.T, name string, replace ...string) string {
	t.Helper()
	text := readFile(t, filepath.Join("../deploy/clickhouse", name))
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("%s does not contain %s", name, replace[i])
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	return text
}

// configured restarts an engine with pieces of configuration, each a file of its own as on a server.
func configured(t *testing.T, engine *enginetest.Engine, files map[string]string) {
	t.Helper()
	engine.Kill9()
	for name, xml := range files {
		if err := os.WriteFile(filepath.Join(engine.DataDir(), "config.d", name), []byte(xml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	engine.Restart()
}

// statementLimit is when a statement counts as one that hangs.
const statementLimit = time.Minute

// ask runs a statement that may fail. A statement that hangs is an error of the deadline.
func ask(engine *enginetest.Engine, statement string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), statementLimit)
	defer cancel()
	return engine.Ask(ctx, statement)
}

// mustFail runs a statement that fails with an error that contains want.
func mustFail(t *testing.T, engine *enginetest.Engine, statement, want string) {
	t.Helper()
	if out, err := ask(engine, statement); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %q, %v, want an error with %s", statement, out, err, want)
	}
}

// collectorOf is a collector with short waits whose clickhouse and schema sections are YAML of the
// caller. file is its configuration, for other commands.
func collectorOf(t *testing.T, clickhouse, schema string) (c *collector, file string) {
	t.Helper()
	c = &collector{grpc: port(t), http: port(t)}
	admin := port(t)
	file = config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}}
batch: {send_batch_size: 10000, timeout: 1s}
forward: {clickhouse: {%s, retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
schema: {%s}
admin: {endpoint: %q}
`, c.grpc, c.http, clickhouse, schema, admin))
	c.proc = start(t, "collector", admin, "collector", "--config", file)
	return c, file
}

// says waits until the process has written text.
func (p *proc) says(text string) {
	p.t.Helper()
	until(p.t, p.name+" says "+text, func() bool { return strings.Contains(p.log.String(), text) })
}
