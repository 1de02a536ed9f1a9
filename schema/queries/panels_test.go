package queries

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-io/spillway/deploy/grafana"
)

// What Grafana draws time series, lines and traces by.
var columnsOf = map[string][]string{
	"timeseries": {"time"},
	"bars":       {"time"},
	"logs":       {"timestamp", "body", "level"},
	"traces":     {"traceID", "spanID", "parentSpanID", "serviceName", "operationName", "startTime", "duration"},
}

// Every panel of deploy/grafana that asks ClickHouse for what services send, as Grafana's data source sends it: with everything
// chosen that can be chosen at once, with one of each, and with words typed. It returns rows, has the columns that the panel
// names, and reads no more of the lines and spans than its hour has of the two days, of each service. Those of dashboard "ingest" ask
// for how rows came: e2e runs them on rows that came through spillway.
func TestPanels(t *testing.T) {
	db := load(t)
	dashboards, err := grafana.Load("../../deploy/grafana/src")
	if err != nil {
		t.Fatal(err)
	}
	// Requests come in at web services, which have metrics; exceptions are raised in those behind them.
	service := map[string]string{"services": "catalog-api", "traces": "catalog-web", "logs": "catalog-web", "metrics": "catalog-web"}
	for _, name := range slices.Sorted(maps.Keys(service)) {
		d, ok := dashboards[name]
		if !ok {
			t.Errorf("no dashboard %s", name)
			continue
		}
		for _, what := range []string{"all", "one"} {
			view := grafana.View{From: from, To: to, Interval: 30 * time.Second, Variables: map[string][]string{}}
			if what == "one" {
				view.Variables["words"], view.Variables["attribute"] = []string{"CONNECTION timeout"}, []string{"exception.type=java.net.SocketTimeoutException"}
			}
			for _, v := range d.Variables {
				if typed := v.SQL == ""; typed {
					if view.Variables[v.Name] == nil {
						view.Variables[v.Name] = []string{v.Default}
					}
					continue
				}
				var values []string
				for _, row := range db.mustAsk(t, expanded(t, view, v.SQL)) {
					values = append(values, row[0])
				}
				if len(values) == 0 {
					t.Fatalf("%s: nothing to choose from for %s", name, v.Name)
				}
				switch {
				case v.All && what == "all":
					view.Variables[v.Name] = []string{"$__all"}
				case v.Name == "service" || v.Name == "severity":
					if want := map[string]string{"service": service[name], "severity": "ERROR"}[v.Name]; slices.Contains(values, want) {
						view.Variables[v.Name] = []string{want}
					} else {
						t.Fatalf("%s: %s has no %s: %q", name, v.Name, want, values)
					}
				default:
					view.Variables[v.Name] = values[:1]
				}
			}
			view.Variables["trace"] = []string{db.params["trace"]}
			for _, p := range d.Panels {
				t.Run(name+"_"+what+"_"+strings.ReplaceAll(p.Title, " ", "_"), func(t *testing.T) {
					query := expanded(t, view, p.SQL)
					rows := db.mustAsk(t, query)
					if len(rows) == 0 {
						t.Fatalf("no rows: %s", query)
					}
					answered := make(map[string]string)
					for _, column := range db.mustAsk(t, "DESCRIBE ("+query+")") {
						answered[column[0]] = column[1]
					}
					wanted := slices.Clone(columnsOf[p.Type])
					for _, c := range p.Columns {
						wanted = append(wanted, c.Name)
					}
					for _, column := range wanted {
						if answered[column] == "" {
							t.Errorf("no column %s: %v", column, answered)
						}
					}
					if at := answered["time"]; at != "" && !strings.HasPrefix(at, "DateTime") {
						t.Errorf("time is %s", at)
					}
					for table, g := range db.granules(t, query) {
						share := float64(g.read) / float64(g.total)
						t.Logf("%d rows; %s: %s granules, %.3f", len(rows), table, g, share)
						if (table == logs || table == traces) && share > 0.4 {
							t.Errorf("reads %s granules of %s", g, table)
						}
					}
				})
			}
		}
	}
}

func expanded(t *testing.T, view grafana.View, query string) string {
	t.Helper()
	text, err := view.Expand(query)
	if err != nil {
		t.Fatalf("%v: %s", err, query)
	}
	return text
}
