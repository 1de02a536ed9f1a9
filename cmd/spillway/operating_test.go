package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
)

// operating is docs/operating.md.
func operating(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// cells are the rows of the page's tables that begin with a name in backquotes, by that name.
func cells(t *testing.T) map[string][]string {
	t.Helper()
	rows := make(map[string][]string)
	for line := range strings.Lines(operating(t)) {
		line, is := strings.CutPrefix(strings.TrimSpace(line), "| `")
		if !is {
			continue
		}
		row := strings.Split(strings.TrimSuffix(line, " |"), " | ")
		name := strings.TrimSuffix(row[0], "`")
		if rows[name] != nil {
			t.Errorf("two rows for %s", name)
		}
		rows[name] = row[1:]
	}
	return rows
}

var (
	ofDesc    = regexp.MustCompile(`fqName: "([^"]*)", help: "([^"]*)",.* constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)
	labelName = regexp.MustCompile("`([a-z_]+)`")
)

// exported are all metrics that agents, collectors and spillway verify can export, used or not: the
// labels of each. Those of Go's runtime and of the process are not ours.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	quiet, dir := slog.New(slog.DiscardHandler), t.TempDir()
	file := func(role role, text string) *config {
		name := filepath.Join(dir, string(role)+".yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := load(role, name, noEnv)
		if err != nil {
			t.Fatal(err)
		}
		return l.config
	}
	ports := `receivers: {otlp: {grpc: {endpoint: "127.0.0.1:0"}, http: {endpoint: "127.0.0.1:0"}}}` + "\n" + `admin: {endpoint: "127.0.0.1:0"}` + "\n"
	node, err := newNode(file(roleAgent, ports+fmt.Sprintf("wal: {dir: %q, min_free_mib: 1}\nforward: {otlp: {endpoints: [\"127.0.0.1:9\"]}}\n", filepath.Join(dir, "wal"))), quiet, newReloads())
	if err != nil {
		t.Fatal(err)
	}
	defer node.agent.Close()
	tier, err := newTier(file(roleCollector, ports+"forward: {clickhouse: {dsn: \"http://127.0.0.1:9/otel\"}}\n"), quiet, newReloads())
	if err != nil {
		t.Fatal(err)
	}
	defer tier.hop().close()
	verify := prometheus.NewRegistry()
	newVerifyMetrics(verify)

	all := make(map[string][]string)
	for _, reg := range []*prometheus.Registry{node.admin.metrics, tier.admin.metrics, verify} {
		descs := make(chan *prometheus.Desc)
		go func() {
			defer close(descs)
			reg.Describe(descs)
		}()
		for d := range descs {
			m := ofDesc.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("cannot read %s", d)
			}
			if !strings.HasPrefix(m[1], "spillway_") {
				continue
			}
			var labels []string
			for _, of := range strings.FieldsFunc(m[3]+","+m[4], func(r rune) bool { return r == ',' }) {
				name, _, _ := strings.Cut(of, "=")
				labels = append(labels, name)
			}
			slices.Sort(labels)
			all[m[1]] = labels
		}
	}
	return all
}

// The page's list is what is exported: each metric with its labels, and none that is gone.
func TestThePageListsEachMetric(t *testing.T) {
	all, rows := exported(t), cells(t)
	if len(all) < 30 {
		t.Fatalf("%d metrics: this test looks in the wrong place", len(all))
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		row := rows[name]
		if len(row) != 2 {
			t.Errorf("docs/operating.md has no row | `%s` | labels | meaning |; its labels are %q", name, all[name])
			continue
		}
		var said []string
		for _, m := range labelName.FindAllStringSubmatch(row[0], -1) {
			said = append(said, m[1])
		}
		slices.Sort(said)
		if !slices.Equal(said, all[name]) {
			t.Errorf("%s has the labels %q, and docs/operating.md says %q", name, all[name], said)
		}
	}
	for name := range rows {
		if strings.HasPrefix(name, "spillway_") && all[name] == nil {
			if _, is := all[name]; !is {
				t.Errorf("docs/operating.md lists %s, which nobody exports", name)
			}
		}
	}
}

// said are the warnings and errors that the program can log: the constant messages in its source.
func said(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for _, dir := range []string{"agent", "cmd/spillway", "forward", "tail", "tee", "wal"} {
		err := filepath.WalkDir("../../"+dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() && (e.Name() == "testdata" || e.Name() == "embedded" || e.Name() == "enginetest" || e.Name() == "waltest") {
				return fs.SkipDir // not of this program
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) == 0 {
					return true
				}
				name := ""
				switch fun := call.Fun.(type) {
				case *ast.SelectorExpr:
					name = fun.Sel.Name
				case *ast.Ident:
					name = fun.Name
				}
				switch name {
				case "Warn", "Error", "once", "onceLocked", "NewRecord":
				default:
					return true
				}
				for _, arg := range call.Args {
					if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						text, err := strconv.Unquote(lit.Value)
						if err == nil && strings.Contains(text, " ") {
							all[text] = true
						}
						break
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Whoever reads a warning or an error in the log finds it on the page.
func TestThePageListsEachWarning(t *testing.T) {
	all, rows := said(t), cells(t)
	if len(all) < 60 {
		t.Fatalf("%d messages: this test looks in the wrong place", len(all))
	}
	for _, text := range slices.Sorted(maps.Keys(all)) {
		if len(rows[text]) != 1 || rows[text][0] == "" {
			t.Errorf("docs/operating.md has no row | `%s` | what it means, what to do |", text)
		}
	}
	for name, row := range rows {
		if len(row) == 1 && strings.Contains(name, " ") && !all[name] {
			t.Errorf("docs/operating.md explains %q, which nobody logs", name)
		}
	}
}

// alerting is Prometheus' file of rules, and promtool's of tests.
type alerting struct {
	Groups []struct {
		Rules []struct {
			Alert       string
			Expr        string
			Annotations map[string]string
		}
	}
	Tests []struct {
		Alerts []struct {
			Name string `yaml:"alertname"`
			Exp  []any  `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

func alerts(t *testing.T, file string) (a alerting) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/alerts/" + file)
	if err == nil {
		err = yaml.Unmarshal(text, &a)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var ofPromQL = regexp.MustCompile(`\bspillway_\w+`)

// The alerts do what their unit tests say, each fires there and keeps quiet there, is about metrics
// that are exported, and leads to a paragraph that is there.
func TestAlerts(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", "spillway.yaml"}, {"test", "rules", "spillway_test.yaml"}} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = "../../deploy/alerts"
		out, err := cmd.CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			t.Fatal("there is no promtool: run make deps")
		}
		if err != nil {
			t.Fatalf("promtool %v: %v\n%s", args, err, out)
		}
	}
	fires, quiet := make(map[string]bool), make(map[string]bool)
	for _, test := range alerts(t, "spillway_test.yaml").Tests {
		for _, at := range test.Alerts {
			if len(at.Exp) > 0 {
				fires[at.Name] = true
			} else {
				quiet[at.Name] = true
			}
		}
	}
	metrics, page, rules := exported(t), operating(t), 0
	for _, g := range alerts(t, "spillway.yaml").Groups {
		for _, r := range g.Rules {
			rules++
			if !fires[r.Alert] || !quiet[r.Alert] {
				t.Errorf("%s: its tests have it fire: %v, and not: %v", r.Alert, fires[r.Alert], quiet[r.Alert])
			}
			if want := "https://" + module + "/blob/main/docs/operating.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
				t.Errorf("%s leads to %s, want %s", r.Alert, r.Annotations["runbook_url"], want)
			}
			_, paragraph, found := strings.Cut(page, "\n### "+r.Alert+"\n\n")
			paragraph, _, _ = strings.Cut(paragraph, "\n#")
			if !found || len(strings.Fields(paragraph)) < 20 {
				t.Errorf("docs/operating.md has no paragraph ### %s: %q", r.Alert, paragraph)
			}
			for _, name := range ofPromQL.FindAllString(r.Expr, -1) {
				if _, is := metrics[name]; !is {
					t.Errorf("%s asks for %s, which nobody exports", r.Alert, name)
				}
			}
		}
	}
	if rules < 7 {
		t.Errorf("%d alerts", rules)
	}
}
