package main

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
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

// The files that containers start with say what the ADR says, whatever the defaults are.
func TestTheExamplesAreTheADRsNumbers(t *testing.T) {
	noPassword := func(name string) (string, bool) { return "", name == "CLICKHOUSE_PASSWORD" }
	g, err := load(roleAgent, "../../deploy/config/gateway.yaml", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	c, err := load(roleCollector, "../../deploy/config/collector.yaml", noPassword)
	if err != nil {
		t.Fatal(err)
	}
	type numbers struct {
		Limiter   forward.LimiterConfig
		Batch     int
		Timeout   time.Duration
		Retry     forward.RetryConfig
		MaxRecv   int64
		GRPC      string
		HTTP      string
		Retention retention
	}
	retry := forward.RetryConfig{InitialInterval: 5 * time.Second, MaxInterval: 30 * time.Second, MaxElapsedTime: 300 * time.Second}
	limiter := forward.DefaultLimiterConfig()
	limiter.LimitMiB, limiter.SpikeLimitMiB, limiter.CheckInterval = 1536, 256, 100*time.Millisecond
	got := numbers{Limiter: g.MemoryLimiter, Batch: g.Batch.SendBatchSize, Timeout: g.Batch.Timeout, Retry: g.Forward.OTLP.RetryOnFailure,
		MaxRecv: int64(g.Receivers.OTLP.GRPC.MaxRecvMsgSizeMiB), GRPC: g.Receivers.OTLP.GRPC.Endpoint, HTTP: g.Receivers.OTLP.HTTP.Endpoint}
	want := numbers{Limiter: limiter, Batch: 8192, Timeout: 5 * time.Second, Retry: retry, MaxRecv: 16, GRPC: "0.0.0.0:4317", HTTP: "0.0.0.0:4318"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gateway: %s", diff)
	}
	if got := strings.Join(g.Forward.OTLP.Endpoints, " "); got != "dns:///clickstack:4319" {
		t.Errorf("the gateway sends to %s", got)
	}
	limiter = forward.DefaultLimiterConfig()
	limiter.LimitPercentage, limiter.SpikeLimitPercentage = 75, 15
	day := 24 * time.Hour
	got = numbers{Limiter: c.MemoryLimiter, Batch: c.Batch.SendBatchSize, Timeout: c.Batch.Timeout, Retry: c.Forward.ClickHouse.RetryOnFailure,
		MaxRecv: int64(c.Receivers.OTLP.GRPC.MaxRecvMsgSizeMiB), GRPC: c.Receivers.OTLP.GRPC.Endpoint, HTTP: c.Receivers.OTLP.HTTP.Endpoint, Retention: c.Schema.Retention}
	want = numbers{Limiter: limiter, Batch: 10000, Timeout: 10 * time.Second, Retry: retry, MaxRecv: 20, GRPC: "0.0.0.0:4319", HTTP: "0.0.0.0:4320",
		Retention: retention{Traces: 7 * day, Logs: 30 * day, Metrics: 365 * day}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("collector: %s", diff)
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

func TestWhatLinesMeanIsReadFromTheFile(t *testing.T) {
	file := writeConfig(t, `receivers:
  tail:
  - include: [/srv/*.log]
    time_zone: Europe/Berlin
    fields: {body: [text], span_id: []}
    decimal_ids: true
    severity_rules: [{match: '^(?P<level>[A-Z]+) '}, {match: '${env:WORD}', level: fatal}]
    max_depth: 8
    max_keys: 9
    resource: {team: shop, area: eu}
    resource_rules: [{path: '/(?P<app>[a-z]+)[.]log', attributes: {service.name: '$app'}}]
`)
	l, err := load(roleAgent, file, func(name string) (string, bool) { return "panic", name == "WORD" })
	if err != nil {
		t.Fatal(err)
	}
	got := l.Receivers.Tail[0]
	o := got.options(got.Parse)
	if o.Zone.String() != "Europe/Berlin" || len(o.Fields.Body) != 1 || o.Fields.Body[0] != "text" || !o.DecimalIDs || o.MaxDepth != 8 || o.MaxKeys != 9 ||
		len(o.Rules) != 2 || o.Rules[1].Match.String() != "panic" || o.Rules[1].Level != "fatal" {
		t.Errorf("options %+v", o)
	}
	want := []lines.Attr{{Key: "service.name", Value: "web"}, {Key: "area", Value: "eu"}, {Key: "team", Value: "shop"}}
	if diff := cmp.Diff(want, append(lines.Attrs(got.ResourceRules, "/srv/web.log"), attributes(got.Resource)...)); diff != "" {
		t.Error(diff)
	}
}

// The comments of the example are what somebody uncomments.
func TestTheExampleIsRightWithItsCommentsTakenAway(t *testing.T) {
	b, err := os.ReadFile("../../deploy/config/agent.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^(\s+)# `).ReplaceAllString(string(b), "$1")
	text = regexp.MustCompile(`(?m)^ +(tls|auth): .*\n`).ReplaceAllString(text, "") // of files that are not here
	if text == string(b) {
		t.Fatal("no comment was taken away")
	}
	if _, err := load(roleAgent, writeConfig(t, text), noEnv); err != nil {
		t.Errorf("%v\n%s", err, text)
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
	f.Add("receivers: {tail: [{time_zone: x, fields: {body: [a]}, severity_rules: [{match: a, level: info}], resource_rules: [{path: a}]}]}")
	f.Add("a: &x {b: *x}")
	f.Fuzz(func(t *testing.T, text string) {
		decodeYAML("f", []byte(text), &loaded{config: defaults(roleStandalone), named: make(map[string]bool), at: make(map[string]string)}, noEnv)
	})
}

// A credential is a file that systemd made for the unit; its name is no path.
func TestACredentialIsRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "spillway.token"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) { return dir, name == "CREDENTIALS_DIRECTORY" }
	file := writeConfig(t, "forward: {otlp: {auth: {token: \"${credential:spillway.token}\"}}}\n")
	l, err := load(roleAgent, file, env)
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Forward.OTLP.Auth.Token; got != "secret" {
		t.Errorf("token %q", got)
	}
	if _, err := load(roleAgent, file, noEnv); err == nil || !strings.Contains(err.Error(), "LoadCredential") {
		t.Errorf("without systemd: %v", err)
	}
	if _, err := load(roleAgent, writeConfig(t, "forward: {otlp: {auth: {token: \"${credential:../../etc/passwd}\"}}}\n"), env); err == nil {
		t.Error("a credential is read from anywhere")
	}
}

// What differs is named by its key, in order, and what a mode cannot take over is all named at once.
func TestWhatChangedIsNamed(t *testing.T) {
	read := func(text string) *config {
		l, err := load(roleAgent, writeConfig(t, text), noEnv)
		if err != nil {
			t.Fatal(err)
		}
		return l.config
	}
	const full = `
service: {name: shop}
receivers:
  tail: [{include: [/a], severity_rules: [{match: 'x', level: fatal}], time_zone: Europe/Berlin}]
  otlp: {grpc: {auth: {tokens: [one]}}}
`
	if keys := changed(reflect.ValueOf(read(full)).Elem(), reflect.ValueOf(read(full)).Elem(), ""); keys != nil {
		t.Errorf("the same file differs from itself in %v", keys)
	}
	keys, err := compare(read(full), read(strings.NewReplacer("/a", "/b", "[one]", "[two]").Replace(full)+`
forward: {otlp: {tls: {insecure_skip_verify: true}, endpoints: ["c:1"], num_consumers: 2}}
wal: {mode: overflow}
memory_limiter: {limit_mib: 500}
`), nodeCan)
	want := []string{"forward.otlp.endpoints", "forward.otlp.num_consumers", "forward.otlp.tls", "memory_limiter.limit_mib",
		"receivers.otlp.grpc.auth.tokens", "receivers.tail", "wal.mode"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Error(diff)
	}
	if err == nil {
		t.Fatal("everything can change")
	}
	var stuck []string
	for line := range strings.Lines(err.Error()) {
		key, _, _ := strings.Cut(line, ":")
		stuck = append(stuck, key)
	}
	if diff := cmp.Diff([]string{"forward.otlp.num_consumers", "memory_limiter.limit_mib", "wal.mode"}, stuck); diff != "" {
		t.Error(diff)
	}
}

// Files and journals that the log does not know all of, and a port that begins to speak TLS, need a restart.
func TestWhatCannotChange(t *testing.T) {
	for mode, want := range map[forward.Mode]bool{forward.ModeAlways: true, forward.ModeOverflow: false} {
		n := &node{cfg: defaults(roleAgent)}
		n.cfg.WAL.Mode = mode
		if got := n.can("receivers.tail"); got != want {
			t.Errorf("%s: receivers.tail can change: %v", mode, got)
		}
	}
	for key, want := range map[string]bool{"receivers.otlp.grpc.tls": false, "receivers.otlp.grpc.tls.cert_file": true, "receivers.otlp.grpc.endpoint": false,
		"receivers.loki.auth.tokens": true, "forward.clickhouse.dsn": true, "schema.retention.logs": false} {
		if got := tierCan(key); got != want {
			t.Errorf("%s can change: %v", key, got)
		}
	}
}
