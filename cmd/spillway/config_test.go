package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"spillway": func() {
			os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
		},
	})
}

func TestScripts(t *testing.T) {
	examples, err := filepath.Abs("../../deploy/config")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: func(e *testscript.Env) error {
		e.Setenv("EXAMPLES", examples)
		return nil
	}})
}

func noEnv(string) (string, bool) { return "", false }

func TestEveryRoleRunsWithoutAFile(t *testing.T) {
	for _, r := range []role{roleAgent, roleCollector, roleStandalone} {
		if _, err := load(r, "", noEnv); err != nil {
			t.Errorf("%s: %v", r, err)
		}
	}
}

// The defaults that everybody scripts against.
func TestDefaultsAreTheADRsNumbers(t *testing.T) {
	a, err := load(roleAgent, "", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	c, err := load(roleCollector, "", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	type numbers struct {
		AgentBatch, CollectorBatch             int
		AgentTimeout, CollectorTimeout         time.Duration
		Initial, Max, Elapsed, CheckInterval   time.Duration
		GRPC, HTTP, CollectorGRPC, CollectHTTP string
		Admin, CollectorAdmin                  string
	}
	got := numbers{a.Batch.SendBatchSize, c.Batch.SendBatchSize, a.Batch.Timeout, c.Batch.Timeout,
		a.Forward.OTLP.RetryOnFailure.InitialInterval, c.Forward.ClickHouse.RetryOnFailure.MaxInterval, a.Forward.OTLP.RetryOnFailure.MaxElapsedTime, a.MemoryLimiter.CheckInterval,
		a.Receivers.OTLP.GRPC.Endpoint, a.Receivers.OTLP.HTTP.Endpoint, c.Receivers.OTLP.GRPC.Endpoint, c.Receivers.OTLP.HTTP.Endpoint, a.Admin.Endpoint, c.Admin.Endpoint}
	want := numbers{8192, 10000, 5 * time.Second, 10 * time.Second, 5 * time.Second, 30 * time.Second, 300 * time.Second, 100 * time.Millisecond,
		"127.0.0.1:4317", "127.0.0.1:4318", "0.0.0.0:4319", "0.0.0.0:4320", "127.0.0.1:13133", "127.0.0.1:13134"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(numbers{})); diff != "" {
		t.Error(diff)
	}
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// The file wins over SPILLWAY_*, which wins over OTEL_*.
func TestTheFileWinsOverTheEnvironment(t *testing.T) {
	vars := map[string]string{
		"SPILLWAY_BATCH_TIMEOUT": "7s", "SPILLWAY_WAL_DIR": "/from/env", "SPILLWAY_FORWARD_OTLP_ENDPOINTS": "a:1,b:2",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4317", "OTEL_SERVICE_NAME": "svc", "OTEL_RESOURCE_ATTRIBUTES": "k=v,team=ops", "SECRET": "s3",
	}
	env := func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	file := writeConfig(t, "wal: {dir: /from/file}\nresource: {team: file}\nforward: {otlp: {headers: {x: \"${env:SECRET}\"}}}\n")
	l, err := load(roleAgent, file, env)
	if err != nil {
		t.Fatal(err)
	}
	if l.WAL.Dir != "/from/file" || l.Batch.Timeout != 7*time.Second || strings.Join(l.Forward.OTLP.Endpoints, " ") != "a:1 b:2" {
		t.Errorf("dir %q, timeout %s, endpoints %q", l.WAL.Dir, l.Batch.Timeout, l.Forward.OTLP.Endpoints)
	}
	if l.Service.Name != "svc" || l.Resource["k"] != "v" || l.Resource["team"] != "file" || l.Forward.OTLP.Headers["x"] != "s3" {
		t.Errorf("service %q, resource %v, headers %v", l.Service.Name, l.Resource, l.Forward.OTLP.Headers)
	}
	delete(vars, "SPILLWAY_FORWARD_OTLP_ENDPOINTS")
	if l, err = load(roleAgent, file, env); err != nil || l.Forward.OTLP.Endpoints[0] != "otel:4317" {
		t.Errorf("endpoints %q, %v", l.Forward.OTLP.Endpoints, err)
	}
	vars["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:4317"
	if _, err = load(roleAgent, file, env); err == nil || !strings.Contains(err.Error(), "own listener") {
		t.Errorf("a loop through OTEL_EXPORTER_OTLP_ENDPOINT: %v", err)
	}
}

func TestDurationsKnowDays(t *testing.T) {
	for text, want := range map[string]time.Duration{"7d": 7 * 24 * time.Hour, "1.5d": 36 * time.Hour, "100ms": 100 * time.Millisecond} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	if _, err := parseDuration("5 minutes"); err == nil {
		t.Error("5 minutes passed")
	}
}

func TestOwnOutputIsFoundWhenItIsAFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "agent.log")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fds := t.TempDir()
	for fd, target := range map[string]string{"1": file, "2": "pipe:[123]"} {
		if err := os.Symlink(target, filepath.Join(fds, fd)); err != nil {
			t.Fatal(err)
		}
	}
	if got := ownOutput(fds); len(got) != 1 || got[0] != file {
		t.Errorf("got %q", got)
	}
}

// Whatever is in a file, reading it is an answer, not a crash.
func FuzzConfig(f *testing.F) {
	f.Add("batch: {timeout: 5s}\nreceivers: {tail: [{include: [a]}]}")
	f.Add("a: &x {b: *x}")
	f.Fuzz(func(t *testing.T, text string) {
		c := defaults(roleStandalone)
		decodeYAML("f", []byte(text), c, noEnv, map[string]bool{})
	})
}
