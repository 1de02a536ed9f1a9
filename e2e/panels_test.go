package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-io/spillway/deploy/grafana"
	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// A scraper is a real Prometheus.
type scraper struct{ addr string }

// startPrometheus scrapes targets, and has the rules of deploy/alerts.
func startPrometheus(t *testing.T, targets ...string) scraper {
	t.Helper()
	rules, err := filepath.Abs("../deploy/alerts/spillway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := scraper{port(t)}
	file := config(t, fmt.Sprintf("global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}\nrule_files: [%q]\nscrape_configs: [{job_name: spillway, static_configs: [{targets: [%s]}]}]\n",
		rules, `"`+strings.Join(targets, `", "`)+`"`))
	cmd := exec.Command("prometheus", "--config.file", file, "--storage.tsdb.path", t.TempDir(), "--web.listen-address", p.addr, "--log.level", "warn")
	var said logBuffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: run make deps", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("Prometheus said:\n%s", said.String())
		}
	})
	until(t, "Prometheus is ready", func() bool {
		resp, err := http.Get("http://" + p.addr + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// ask reads an answer of its API into data.
func (p scraper) ask(t *testing.T, path string, data any) {
	t.Helper()
	resp, err := http.Get("http://" + p.addr + "/api/v1/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := struct {
		Error string
		Data  any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != "" {
		t.Fatalf("%s: %v %s", path, err, answer.Error)
	}
}

// post sends OTLP in JSON, and wants that status.
func postJSON(t *testing.T, addr, signal, body string, status int) {
	t.Helper()
	resp, err := http.Post("http://"+addr+"/v1/"+signal, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != status {
		t.Fatalf("%s: %s", signal, resp.Status)
	}
}

var label = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)

// explained asserts that docs/operating.md has each metric of a process, and names what its labels say, but for files.
func explained(t *testing.T, p *proc) {
	t.Helper()
	page, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	all := p.metrics()
	maps.DeleteFunc(all, func(sample string, _ float64) bool { return !strings.HasPrefix(sample, "spillway_") }) // the others are the Go runtime's
	if len(all) < 15 {
		t.Errorf("%s exports %d samples", p.name, len(all))
	}
	for sample := range all {
		name, labels, _ := strings.Cut(sample, "{")
		if !strings.Contains(string(page), "\n| `"+name+"` |") {
			t.Errorf("docs/operating.md does not list %s", name)
		}
		for _, l := range label.FindAllStringSubmatch(labels, -1) {
			if l[1] != "path" && !strings.Contains(string(page), "`"+l[2]+"`") {
				t.Errorf("docs/operating.md does not say what %s %s of %s is", l[1], l[2], name)
			}
		}
	}
}

// What panels of an agent fleet ask a real Prometheus, and those of ingest health the tables, is answered: of what an agent and a
// collector exported and stored, with a loss, a file that was removed before it was read, a
// gap and a duplicate. The rules of deploy/alerts evaluate there, and those about losses fire. docs/operating.md lists what was exported.
func TestPanelsOfOperation(t *testing.T) {
	dashboards, err := grafana.Load("../deploy/grafana/src")
	if err != nil {
		t.Fatal(err)
	}
	engine := enginetest.Start(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	file := filepath.Join(t.TempDir(), "service.log")
	a := startAgent(t, c.grpc, fmt.Sprintf(", tail: [{include: [%q], rate_limit: {bytes_per_second: 1024, burst_bytes: 1024, per: file}}]", file))
	prometheus := startPrometheus(t, a.admin, c.admin)

	now := time.Now().UnixNano()
	service := `"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]}`
	for i := range 5 {
		postJSON(t, a.http, "logs", fmt.Sprintf(`{"resourceLogs":[{%s,"scopeLogs":[{"logRecords":[{"timeUnixNano":"%d","body":{"stringValue":"line %d"}}]}]}]}`, service, now, i), http.StatusOK)
		postJSON(t, a.http, "traces", fmt.Sprintf(`{"resourceSpans":[{%s,"scopeSpans":[{"spans":[{"traceId":"%032x","spanId":"%016x","name":"GET","startTimeUnixNano":"%d","endTimeUnixNano":"%d"}]}]}]}`, service, i+1, i+1, now, now+1e6), http.StatusOK)
		// Of two points one has no value, and no table has a place for it.
		postJSON(t, a.http, "metrics", fmt.Sprintf(`{"resourceMetrics":[{%s,"scopeMetrics":[{"metrics":[{"name":"queue.size","gauge":{"dataPoints":[{"timeUnixNano":"%d","asInt":"%d"},{"timeUnixNano":"%[2]d"}]}}]}]}]}`, service, now, i), http.StatusOK)
	}
	postJSON(t, a.http, "logs", `{"resourceLogs":7}`, http.StatusBadRequest)
	// A turn reads 256 KiB, and then the file has used its budget for minutes.
	if err := os.WriteFile(file, []byte(strings.Repeat("a line that is one of very many\n", 64<<10)), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "the file is over its rate limit", func() bool {
		return kit.Total(a.metrics(), "spillway_tail_events_total", `event="rate_limited"`) > 0
	})
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	until(t, "the rest of the file is given up", func() bool { return kit.Total(a.metrics(), "spillway_tail_missed_bytes_total") > 0 })
	a.drained()

	explained(t, a.proc)
	explained(t, c.proc)

	known := strings.NewReplacer("$instance", ".*", "$__rate_interval", "30s", "$__range", "1m")
	for _, p := range dashboards["fleet"].Panels {
		query := known.Replace(p.PromQL)
		if strings.Contains(query, "$") {
			t.Errorf("%s: %s", p.Title, query)
			continue
		}
		until(t, "rows for "+p.Title+": "+query, func() bool {
			var data struct{ Result []any }
			prometheus.ask(t, "query?query="+url.QueryEscape(query), &data)
			return len(data.Result) > 0
		})
	}

	var firing []string
	until(t, "each rule was evaluated", func() bool {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError, State string }
			}
		}
		prometheus.ask(t, "rules", &data)
		firing = nil
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if r.LastError != "" {
					t.Fatalf("%s: %s", r.Name, r.LastError)
				}
				if r.Health != "ok" {
					return false
				}
				if r.State == "firing" {
					firing = append(firing, r.Name)
				}
			}
		}
		return len(firing) >= 2
	})
	if want := []string{"SpillwayItemsLost", "SpillwayMissedBytes"}; !slices.Equal(firing, want) {
		t.Errorf("firing: %q, want %q", firing, want)
	}

	// A gap of three, and a record twice. Dashboards read with the rights of a reader.
	for _, insert := range []struct {
		seqs string
		ago  int
	}{{"[0, 1, 5]", 600}, {"[1]", 300}} {
		engine.SQL(fmt.Sprintf(`INSERT INTO otel_logs (Timestamp, IngestStream, IngestSeq, InsertedAt) SELECT now(), 'by hand', arrayJoin(%s), now() - %d FROM numbers(3)
			SETTINGS insert_allow_materialized_columns = 1, insert_deduplicate = 0`, insert.seqs, insert.ago))
	}
	a.kill()
	c.kill()
	restrict(t, engine, "spillway_reader")
	view := grafana.View{From: time.Now().Add(-30 * time.Minute), To: time.Now().Add(2 * time.Minute), Interval: 30 * time.Second}
	answers := make(map[string]string)
	for _, p := range dashboards["ingest"].Panels {
		query, err := view.Expand(p.SQL)
		if err != nil {
			t.Fatal(err)
		}
		out, err := ask(engine, query)
		if err != nil || strings.TrimSpace(out) == "" {
			t.Errorf("%s: %q, %v", p.Title, out, err)
		}
		answers[p.Title] = out
		t.Logf("%s:\n%s", p.Title, out)
		for _, column := range p.Columns {
			if _, err := ask(engine, "SELECT "+column.Name+" FROM ("+query+")"); err != nil {
				t.Errorf("%s: %v", p.Title, err)
			}
		}
	}
	for title, want := range map[string]string{"Records and gaps": "\t3\t['by hand']", "Stored more than once": "otel_logs\t1\t1\t6\tby hand\t1\t"} {
		if !strings.Contains(answers[title], want) {
			t.Errorf("%s: %q, want %q in it", title, answers[title], want)
		}
	}
}
