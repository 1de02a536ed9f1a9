package grafana

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

var update = flag.Bool("update", false, "write dashboards/*.json again")

func sourcesOf(t *testing.T) map[string]Dashboard {
	t.Helper()
	all, err := Load("src")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// dashboards/*.json are what src/*.yaml make, and nothing else is there.
func TestTheDashboardsAreOfTheirSources(t *testing.T) {
	all := sourcesOf(t)
	for name, d := range all {
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(d.Model()); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("dashboards", name+".json")
		if *update {
			if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s is not what src/%s.yaml makes: run make golden (%v)", file, name, err)
		}
	}
	files, err := filepath.Glob("dashboards/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, is := all[strings.TrimSuffix(filepath.Base(file), ".json")]; !is {
			t.Errorf("%s has no source", file)
		}
	}
}

// Grafana's own types know every field of the JSON, of the panels that they know the options, too, and miss none. They know
// nothing of the ClickHouse data source's queries, nor of the options of a panel of traces.
func TestTheJSONIsGrafanas(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(files) < 6 {
		t.Fatalf("%q %v", files, err)
	}
	strict := func(text []byte) string {
		//lint:ignore SA1019 files are provisioned in the first version's form, which every Grafana reads
		var d dashboard.Dashboard
		err := d.UnmarshalJSONStrict(text)
		if err == nil || err.Error() == "" { // what it returns of nothing wrong with a panel
			err = d.Validate()
		}
		if err == nil {
			return ""
		}
		return err.Error()
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := strict(text); wrong != "" {
			t.Errorf("%s: %s", file, wrong)
		}
		for was, is := range map[string]string{`"gridPos"`: `"gridPosition"`, `"fieldConfig"`: `"fieldConfigs"`, `"refresh": 2`: `"refresh": "2"`} {
			if broken := bytes.Replace(text, []byte(was), []byte(is), 1); !bytes.Equal(broken, text) && strict(broken) == "" {
				t.Errorf("%s: nobody minds %s", file, is)
			}
		}
	}
}

// A link leads to a dashboard that there is, and sets a variable that it has.
func TestLinksLeadSomewhere(t *testing.T) {
	variables, links := make(map[string]bool), 0
	for _, d := range sourcesOf(t) {
		for _, v := range d.Variables {
			variables[d.UID+"?"+v.Name] = true
		}
	}
	for name, d := range sourcesOf(t) {
		for _, p := range d.Panels {
			for _, c := range p.Columns {
				if c.Link == "" {
					continue
				}
				links++
				if !variables[c.Link] {
					t.Errorf("%s, %s: %s leads to %s: there are %q", name, p.Title, c.Name, c.Link, slices.Sorted(maps.Keys(variables)))
				}
			}
		}
	}
	if links == 0 {
		t.Error("no links")
	}
}

// The data source's version of OpenTelemetry's columns is the one that docs/queries.md asks for.
func TestTheDataSourceIsPinned(t *testing.T) {
	text, err := os.ReadFile("provisioning/datasources/spillway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		DataSources []struct {
			UID, Type string
			JSONData  struct {
				EnableMapKeysDiscovery *bool `yaml:"enableMapKeysDiscovery"`
				Logs, Traces           struct {
					Table   string `yaml:"defaultTable"`
					Enabled bool   `yaml:"otelEnabled"`
					Version string `yaml:"otelVersion"`
				}
			} `yaml:"jsonData"`
		} `yaml:"datasources"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/queries.md")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, d := range file.DataSources {
		if d.Type != sources["clickhouse"] {
			continue
		}
		found = true
		j := d.JSONData
		if j.EnableMapKeysDiscovery == nil || *j.EnableMapKeysDiscovery {
			t.Error("enableMapKeysDiscovery is on")
		}
		if !j.Logs.Enabled || !j.Traces.Enabled || j.Logs.Version != j.Traces.Version || j.Logs.Table != "otel_logs" || j.Traces.Table != "otel_traces" {
			t.Errorf("%+v %+v", j.Logs, j.Traces)
		}
		if want := "set `logs.otelVersion` and `traces.otelVersion` to `" + j.Logs.Version + "`"; !strings.Contains(string(page), want) {
			t.Errorf("docs/queries.md does not say: %s", want)
		}
	}
	if !found {
		t.Error("no ClickHouse")
	}
}

func TestExpand(t *testing.T) {
	v := View{From: time.Unix(1000, 0), To: time.Unix(4600, 0), Interval: 30 * time.Second,
		Variables: map[string][]string{"service": {"a", "b's"}, "all": {"$__all"}, "words": {""}, "one": {"x"}}}
	for _, c := range []struct{ query, want string }{
		{"SELECT $__timeInterval(Timestamp) AS time", "SELECT toStartOfInterval(toDateTime(Timestamp), INTERVAL 30 second) AS time"},
		{"WHERE $__timeFilter(TimeUnix) AND x", "WHERE TimeUnix >= toDateTime(1000) AND TimeUnix <= toDateTime(4600) AND x"},
		{"$__fromTime - 1, $__toTime, $__interval_s", "toDateTime(1000) - 1, toDateTime(4600), 30"},
		{"IN (${service:singlequote})", `IN ('a','b\'s')`},
		{"$__conditionalAll(S IN (${service:singlequote}), $service) AND y", `S IN ('a','b\'s') AND y`},
		{"$__conditionalAll(S IN (${all:singlequote}), $all) AND $__conditionalAll(f(a, ${words:singlequote}), ${words})", "1=1 AND 1=1"},
		{"$__conditionalAll(f(a, ${one:singlequote}), $one)", "f(a, 'x')"},
	} {
		if got, err := v.Expand(c.query); err != nil || got != c.want {
			t.Errorf("%s:\n%s, %v, want\n%s", c.query, got, err, c.want)
		}
	}
	for _, query := range []string{"$__timeFiler(x)", "$__timeFilter(x", "$__timeFilter", "$one", "${one:csv}", "${nobody:singlequote}", "${all:singlequote}", "$__conditionalAll(x, $nobody)", "$__conditionalAll(x)"} {
		if got, err := v.Expand(query); err == nil {
			t.Errorf("%s is %s", query, got)
		}
	}
}
