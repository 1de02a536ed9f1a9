package enginetest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// Engine is a running ClickHouse and a database in it.
type Engine struct {
	t        testing.TB
	dataDir  string
	database string
	args     []string
	env      []string
	shared   bool
	process  *process
}

// Option changes how Start starts an engine.
type Option func(*options)

type options struct {
	database string
	config   string
	args     []string
	env      []string
}

// WithDatabase names the database that is made at the start; the default is "otel".
func WithDatabase(name string) Option {
	return func(o *options) { o.database = name }
}

// WithConfig merges a piece of ClickHouse's configuration, <clickhouse>…</clickhouse>, into the engine's.
func WithConfig(xml string) Option {
	return func(o *options) { o.config = xml }
}

// WithArgs adds arguments to the command line of spillway-engine.
func WithArgs(args ...string) Option {
	return func(o *options) { o.args = append(o.args, args...) }
}

// WithEnv adds variables, NAME=value, to the engine's environment, for configuration that is read from there.
func WithEnv(env ...string) Option {
	return func(o *options) { o.env = append(o.env, env...) }
}

// Start starts an engine of the test's own, on free ports and a new data directory. At the end of the test the engine is killed and
// the directory removed. It does not return if the engine does not start.
func Start(t testing.TB, opts ...Option) *Engine {
	t.Helper()
	o := options{database: "otel"}
	for _, opt := range opts {
		opt(&o)
	}
	// Not t.TempDir: its name holds the test's, which may be too long for a path.
	dir, err := os.MkdirTemp("", "enginetest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if o.config != "" {
		if err := writeConfig(dir, o.config); err != nil {
			t.Fatal(err)
		}
	}
	e := &Engine{t: t, dataDir: dir, database: o.database, args: append([]string{"--database", o.database}, o.args...), env: o.env}
	t.Cleanup(func() {
		if e.process != nil {
			e.process.kill()
		}
	})
	e.start("127.0.0.1:0", "127.0.0.1:0")
	return e
}

func (e *Engine) start(http, native string) {
	e.t.Helper()
	p, err := startProcess(e.dataDir, http, native, e.args, e.env)
	if err != nil {
		e.t.Fatal(err)
	}
	e.process = p
}

// HTTPAddr is host:port of the HTTP protocol. It stays the same over Restart.
func (e *Engine) HTTPAddr() string { return e.process.http }

// NativeAddr is host:port of the native protocol. It stays the same over Restart.
func (e *Engine) NativeAddr() string { return e.process.native }

// Database is the database in DSN, to which unqualified table names resolve.
func (e *Engine) Database() string { return e.database }

// DataDir is the engine's directory. A shared engine's is not for tests to touch.
func (e *Engine) DataDir() string { return e.dataDir }

// DSN names engine and database for clickhouse.ParseDSN, over HTTP.
func (e *Engine) DSN() string { return e.dsn("http", e.HTTPAddr()) }

// NativeDSN names engine and database for clickhouse.ParseDSN, over the native protocol.
func (e *Engine) NativeDSN() string { return e.dsn("clickhouse", e.NativeAddr()) }

func (e *Engine) dsn(scheme, addr string) string {
	return fmt.Sprintf("%s://default:@%s/%s", scheme, addr, e.database)
}

// PID is the process id of the engine.
func (e *Engine) PID() int { return e.process.cmd.Process.Pid }

// Kill9 ends the engine as a crash would, and returns when it has ended. Restart brings it back.
func (e *Engine) Kill9() {
	e.t.Helper()
	e.mustOwn()
	e.process.kill()
}

// Stop ends the engine with SIGTERM, which lets running statements end, and waits for it. The error says how it exited, if not well.
func (e *Engine) Stop() error {
	e.t.Helper()
	e.mustOwn()
	return e.process.stop()
}

// Restart starts the engine again after Kill9 or Stop, on the same directory and the same ports.
func (e *Engine) Restart() {
	e.t.Helper()
	e.mustOwn()
	e.start(e.process.http, e.process.native)
}

func (e *Engine) mustOwn() {
	e.t.Helper()
	if e.shared {
		e.t.Fatal("a shared engine is not for one test to stop: use enginetest.Start")
	}
}

// SQL runs a statement over HTTP and returns its result: tab-separated columns, a line a row, without the last line end. It does
// not return if the statement fails.
func (e *Engine) SQL(statement string) string {
	e.t.Helper()
	result, err := e.Ask(context.Background(), statement)
	if err != nil {
		e.t.Fatalf("%s: %v", statement, err)
	}
	return result
}

// Ask is SQL for a statement that may fail, or take longer than ctx allows.
func (e *Engine) Ask(ctx context.Context, statement string) (string, error) {
	return post(ctx, e.HTTPAddr(), e.database, statement)
}

func post(ctx context.Context, addr, database, statement string) (string, error) {
	query := url.Values{"database": {database}, "default_format": {"TabSeparated"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/?"+query.Encode(), strings.NewReader(statement))
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(string(body), "\n")
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s", text)
	}
	return text, nil
}
