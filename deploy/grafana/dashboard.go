package grafana

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// A Dashboard is a file of src.
type Dashboard struct {
	UID         string
	Title       string
	Description string
	Source      string // of its queries: clickhouse or prometheus
	From        string // now-1h and the like
	Variables   []Variable
	Panels      []Panel
}

// A Variable is chosen from what its query answers, or, without one, typed.
type Variable struct {
	Name    string
	Label   string
	SQL     string // of ClickHouse
	Values  string // of Prometheus: label_values(metric, label)
	All     bool   // several may be chosen, and all are at first
	Default string // of one that is typed
}

// A Panel has one query.
type Panel struct {
	ID          int    // never changes: links lead to it
	Title       string // what it shows
	Description string
	Type        string // timeseries, bars, table, stat, logs or traces
	At          [4]int // left, top, width, height, of 24 columns
	Unit        string // of its values, as Grafana calls it
	SQL         string
	PromQL      string
	Legend      string   // of PromQL
	Columns     []Column // that are more than text
}

// A Column is a result's.
type Column struct {
	Name string
	Unit string
	Link string // a dashboard's uid and its variable, uid?variable: where a click leads to
}

// Load reads the dashboards of a directory, by the names of their files.
func Load(dir string) (map[string]Dashboard, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	all := make(map[string]Dashboard)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var d Dashboard
		if err := yaml.NewDecoder(bytes.NewReader(text), yaml.DisallowUnknownField()).Decode(&d); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if err := d.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".yaml")] = d
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no dashboards", dir)
	}
	return all, nil
}

// check finds what Grafana would show without a word: panels on top of one another, the same id twice.
func (d Dashboard) check() error {
	if d.UID == "" || d.Title == "" || d.From == "" || sources[d.Source] == "" {
		return fmt.Errorf("uid, title, from and source are needed: %q %q %q %q", d.UID, d.Title, d.From, d.Source)
	}
	for i, p := range d.Panels {
		if kinds[p.Type].plugin == "" || p.ID < 1 || p.Title == "" || (d.Source == "clickhouse") != (p.SQL != "") || (d.Source == "prometheus") != (p.PromQL != "") {
			return fmt.Errorf("panel %d %q: an id, a title, a known type (%q) and one query are needed", p.ID, p.Title, p.Type)
		}
		x, y, w, h := p.At[0], p.At[1], p.At[2], p.At[3]
		if x < 0 || y < 0 || w < 1 || h < 1 || x+w > 24 {
			return fmt.Errorf("panel %d is at %v", p.ID, p.At)
		}
		for _, o := range d.Panels[:i] {
			if o.ID == p.ID {
				return fmt.Errorf("two panels are %d", p.ID)
			}
			if x < o.At[0]+o.At[2] && o.At[0] < x+w && y < o.At[1]+o.At[3] && o.At[1] < y+h {
				return fmt.Errorf("panel %d lies on panel %d", p.ID, o.ID)
			}
		}
	}
	return nil
}

// sources are Grafana's names of data source plugins.
var sources = map[string]string{"clickhouse": "grafana-clickhouse-datasource", "prometheus": "prometheus"}

// PluginVersion is the version of the ClickHouse data source that the queries are written for.
const PluginVersion = "4.20.0"

// A kind is how a type of panel is drawn, and the form in which it wants its rows: the data source
// has a name and a number for it.
type kind struct {
	plugin, query string
	format        int
}

var kinds = map[string]kind{
	"timeseries": {"timeseries", "timeseries", 0},
	"bars":       {"timeseries", "timeseries", 0},
	"table":      {"table", "table", 1},
	"stat":       {"stat", "table", 1},
	"logs":       {"logs", "logs", 2},
	"traces":     {"traces", "traces", 3},
}

// object is one of JSON; its keys are written in order of the alphabet.
type object = map[string]any

// unchosen is a variable's value until Grafana takes the first that there is.
var unchosen = object{"text": "", "value": ""}

func (d Dashboard) source() object {
	return object{"type": sources[d.Source], "uid": "${" + d.Source + "}"}
}

// Model is what Grafana calls the JSON model of a dashboard.
func (d Dashboard) Model() any {
	variables := []object{{"name": d.Source, "label": "Data source", "type": "datasource", "query": sources[d.Source], "refresh": 1, "hide": 0, "current": unchosen, "options": []any{}}}
	for _, v := range d.Variables {
		variables = append(variables, d.variable(v))
	}
	panels := []object{}
	for _, p := range d.Panels {
		panels = append(panels, d.panel(p))
	}
	return object{
		"uid": d.UID, "title": d.Title, "description": d.Description, "tags": []string{"spillway"},
		"editable": true, "graphTooltip": 1, "id": nil, "schemaVersion": 39, "timezone": "", "refresh": "",
		"time":        object{"from": d.From, "to": "now"},
		"templating":  object{"list": variables},
		"annotations": object{"list": []any{}},
		"links": []object{{"type": "dashboards", "title": "spillway", "tags": []string{"spillway"}, "asDropdown": true, "keepTime": true,
			"includeVars": false, "targetBlank": false, "icon": "external link", "tooltip": "", "url": ""}},
		"panels": panels,
	}
}

func (d Dashboard) variable(v Variable) object {
	if v.SQL == "" && v.Values == "" {
		at := object{"text": v.Default, "value": v.Default}
		return object{"name": v.Name, "label": v.Label, "type": "textbox", "hide": 0, "query": v.Default, "current": at,
			"options": []object{{"text": v.Default, "value": v.Default, "selected": true}}}
	}
	o := object{"name": v.Name, "label": v.Label, "type": "query", "hide": 0, "datasource": d.source(), "refresh": 2, "regex": "", "sort": 1,
		"multi": v.All, "includeAll": v.All, "options": []any{}, "current": unchosen}
	if v.All {
		o["current"] = object{"text": []string{"All"}, "value": []string{"$__all"}}
	}
	if v.Values != "" {
		o["definition"], o["query"] = v.Values, object{"query": v.Values, "refId": "A"}
		return o
	}
	sql := strings.TrimSpace(v.SQL)
	o["definition"], o["query"] = sql, object{"editorType": "sql", "rawSql": sql, "pluginVersion": PluginVersion}
	return o
}

func (d Dashboard) panel(p Panel) object {
	k := kinds[p.Type]
	target := object{"refId": "A", "datasource": d.source()}
	if p.SQL != "" {
		target["editorType"], target["queryType"], target["format"] = "sql", k.query, k.format
		target["rawSql"], target["pluginVersion"] = strings.TrimSpace(p.SQL), PluginVersion
	} else {
		target["expr"], target["legendFormat"] = strings.TrimSpace(p.PromQL), p.Legend
		atOnce := k.format == 1
		target["range"], target["instant"] = !atOnce, atOnce
		if atOnce {
			target["format"] = "table"
		}
	}
	defaults := object{"custom": object{}}
	legend := object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}}
	if p.Unit != "" {
		defaults["unit"] = p.Unit
	}
	overrides := []object{}
	for _, c := range p.Columns {
		overrides = append(overrides, object{"matcher": object{"id": "byName", "options": c.Name}, "properties": c.properties()})
	}
	o := object{
		"id": p.ID, "title": p.Title, "description": p.Description, "type": k.plugin, "datasource": d.source(),
		"gridPos":     object{"x": p.At[0], "y": p.At[1], "w": p.At[2], "h": p.At[3]},
		"targets":     []object{target},
		"fieldConfig": object{"defaults": defaults, "overrides": overrides},
		"options":     object{},
	}
	switch p.Type {
	case "timeseries":
		defaults["custom"] = object{"drawStyle": "line", "fillOpacity": 0, "showPoints": "auto", "spanNulls": false}
		o["options"] = object{"legend": legend, "tooltip": object{"mode": "multi", "sort": "desc"}}
	case "bars":
		defaults["custom"] = object{"drawStyle": "bars", "fillOpacity": 80, "stacking": object{"mode": "normal", "group": "A"}}
		o["options"] = object{"legend": legend, "tooltip": object{"mode": "multi", "sort": "desc"}}
	case "table":
		defaults["custom"] = object{"align": "auto", "inspect": true}
		o["options"] = object{"showHeader": true, "cellHeight": "sm", "frameIndex": 0}
	case "stat":
		o["options"] = object{"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": true}, "textMode": "auto", "colorMode": "none", "graphMode": "none"}
	case "logs":
		o["options"] = object{"showTime": true, "wrapLogMessage": true, "enableLogDetails": true, "sortOrder": "Descending", "dedupStrategy": "none",
			"showLabels": false, "showCommonLabels": false, "showLogContextToggle": false, "prettifyLogMessage": false}
	}
	if d.Source == "prometheus" && p.Type == "table" {
		// Prometheus' answers to a table have the time of asking in each row.
		o["transformations"] = []object{{"id": "organize", "options": object{"excludeByName": object{"Time": true}, "indexByName": object{}, "renameByName": object{}}}}
	}
	return o
}

func (c Column) properties() []object {
	all := []object{}
	if c.Unit != "" {
		all = append(all, object{"id": "unit", "value": c.Unit})
	}
	if uid, variable, is := strings.Cut(c.Link, "?"); is {
		all = append(all, object{"id": "links", "value": []object{{"title": "Show", "url": "/d/" + uid + "?var-" + variable + "=${__value.raw}&${__url_time_range}", "targetBlank": false}}})
	}
	return all
}

// Queries are the SQL of a dashboard by what asks it: its panels, and its variables.
func (d Dashboard) Queries() (panels []Panel, variables []Variable) {
	return slices.DeleteFunc(slices.Clone(d.Panels), func(p Panel) bool { return p.SQL == "" }),
		slices.DeleteFunc(slices.Clone(d.Variables), func(v Variable) bool { return v.SQL == "" })
}
