package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// blocks are a page's ```kind blocks. One whose first line names a file has that as its key, the others their number.
func blocks(t *testing.T, page, kind string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for i, m := range regexp.MustCompile("(?s)```"+kind+"\n(.*?)```").FindAllStringSubmatch(readFile(t, page), -1) {
		key := fmt.Sprint(i)
		if first, _, _ := strings.Cut(m[1], "\n"); strings.HasPrefix(first, "# ") {
			key = strings.TrimPrefix(first, "# ")
		}
		all[key] = m[1]
	}
	return all
}

// What docs/migrating.md says, done: a real OpenTelemetry Collector in front of ClickHouse, spillway beside it, compared, switched, and
// back. No record is missing from the tables at any time; there twice are only those of the seconds that the page names.
func TestMigrationFromACollector(t *testing.T) {
	t.Parallel()
	binary, err := otelcol()
	if err != nil {
		t.Fatal(err)
	}
	engine := enginetest.Start(t, enginetest.WithDatabase("otel"))
	engine.SQL("CREATE DATABASE otel_next")
	dir := t.TempDir()
	const page = "../docs/migrating.md"
	where := []string{"127.0.0.1:8123", engine.HTTPAddr(), "/var/log/app", dir, "/var/lib", filepath.Join(dir, "lib")}
	ports := make(map[string]string)
	for _, p := range []string{"4317", "4319", "4320", "4327", "4328"} {
		ports[p] = port(t)
		where = append(where, "127.0.0.1:"+p, ports[p])
	}
	for _, d := range []string{"lib/otelcol/queues", "lib/otelcol/files", "lib/spillway"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	admin, tierAdmin := port(t), port(t)
	for name, text := range blocks(t, page, "yaml") {
		text = strings.NewReplacer(where...).Replace(text)
		switch name { // what else needs a place of its own here
		case "agent.yaml":
			text += fmt.Sprintf("admin: {endpoint: %q}\n", admin)
			text = strings.Replace(text, "timeout: 5s", "timeout: 200ms", 1)
		case "collector.yaml":
			text += fmt.Sprintf("admin: {endpoint: %q}\n", tierAdmin)
		case "otelcol.yaml", "passing.yaml":
			text = strings.Replace(text, "timeout: 5s", "timeout: 200ms", 1) + "  telemetry: {metrics: {level: none}, logs: {level: warn}}\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	var their *exec.Cmd
	var said logBuffer
	stop := func() {
		their.Process.Signal(syscall.SIGTERM)
		if err := their.Wait(); err != nil {
			t.Errorf("otelcol: %v", err)
		}
	}
	collect := func(files ...string) { // starts theirs
		args := []string{}
		for _, f := range files {
			args = append(args, "--config", f)
		}
		their = exec.Command(binary, args...)
		their.Dir, their.Stdout, their.Stderr = dir, &said, &said
		their.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := their.Start(); err != nil {
			t.Fatal(err)
		}
		l := newLoad(t, ports["4317"], "probe", 1)
		until(t, "otelcol takes OTLP", l.probe)
	}
	t.Cleanup(func() {
		their.Process.Kill()
		if t.Failed() {
			t.Logf("otelcol said:\n%s", tail(said.String(), 30))
		}
	})
	log, err := os.Create(filepath.Join(dir, "app.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	lines := 0
	write := func(n int) {
		t.Helper()
		for range n {
			if _, err := fmt.Fprintf(log, `{"event": "line", "line": %d}`+"\n", lines); err != nil {
				t.Fatal(err)
			}
			lines++
		}
	}
	// until lines that have no number arrive: both read files from their end on, whenever they see it first
	warm := func(what string, ok func() bool) {
		t.Helper()
		until(t, what, func() bool {
			if _, err := fmt.Fprintln(log, `{"event": "warm"}`); err != nil {
				t.Fatal(err)
			}
			return ok()
		})
	}
	// Numbers of lines and records in the tables, whoever stored them.
	const line = "if(JSONHas(Body, 'line'), toString(JSONExtractUInt(Body, 'line')), LogAttributes['line'])"
	has := func(db string, l *load) {
		t.Helper()
		until(t, "everything in "+db, func() bool {
			return engine.SQL("SELECT uniqExactIf("+line+", LogAttributes['test'] = '' AND "+line+" != ''), uniqExactIf(LogAttributes['n'], LogAttributes['test'] = 'migrate') FROM "+db+".otel_logs") ==
				fmt.Sprintf("%d\t%d", lines, l.ackedCount())
		})
	}

	collect("otelcol.yaml")
	l := newLoad(t, ports["4317"], "migrate", 50)
	warm("filelog reads", func() bool { return engine.SQL("SELECT count() FROM otel.otel_logs WHERE Body LIKE '%warm%'") != "0" })
	write(200)
	l.some(4)
	has("otel", l)

	// 1. Side by side.
	in(bin, "check", "agent.yaml")
	in(bin, "check", "collector.yaml")
	c := start(t, "collector", tierAdmin, "collector", "--config", filepath.Join(dir, "collector.yaml")).ready()
	a := &node{proc: start(t, "agent", admin, "agent", "--config", filepath.Join(dir, "agent.yaml"))}
	a.healthy()
	warm("the agent reads", func() bool { return kit.Total(a.metrics(), "spillway_in_items_total") > 0 })
	stop()
	collect("otelcol.yaml", "both.yaml")
	before := [2]int{lines, int(l.ackedCount())}
	write(200)
	l.some(4)
	has("otel", l)
	until(t, "the same in otel_next", func() bool {
		return engine.SQL("SELECT count(), countIf(Body = 'line'), uniqExact(LogAttributes['line']), countIf(LogAttributes['test'] = 'migrate') FROM otel_next.otel_logs WHERE LogAttributes['test'] != 'probe' AND Body != 'warm'") ==
			fmt.Sprintf("%d\t%d\t%d\t%d", lines-before[0]+int(l.ackedCount())-before[1], lines-before[0], lines-before[0]+1, int(l.ackedCount())-before[1])
	})
	if rows := engine.SQL(blocks(t, page, "sql")["0"]); !regexp.MustCompile(`^\d+\t\d+$`).MatchString(rows) {
		t.Errorf("the page's comparison says %q", rows)
	}

	// 2. Switch.
	config := readFile(t, filepath.Join(dir, "collector.yaml"))
	if err := os.WriteFile(filepath.Join(dir, "collector.yaml"), []byte(strings.Replace(config, "otel_next", "otel", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if plan := in(bin, "schema", "plan", "--config", "collector.yaml"); !strings.Contains(plan, "IngestStream") {
		t.Errorf("the plan for the exporter's tables: %s", plan)
	}
	c.signal(syscall.SIGHUP)
	until(t, "the tables are adopted", func() bool {
		return engine.SQL("SELECT count() FROM system.columns WHERE database = 'otel' AND table = 'otel_logs' AND name = 'IngestStream'") == "1"
	})
	stop()
	collect("passing.yaml")
	write(200)
	l.some(4)
	has("otel", l)

	// 3. Back.
	stop()
	if err := os.RemoveAll(filepath.Join(dir, "lib/otelcol/files")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "lib/otelcol/files"), 0o755); err != nil {
		t.Fatal(err)
	}
	collect("otelcol.yaml")
	write(200)
	l.some(4)
	has("otel", l)
	if code := a.term(); code != 0 {
		t.Errorf("the agent ended with %d", code)
	}
	write(200)
	l.some(4)
	has("otel", l)
}
