package queries

import "testing"

var ofGrafana = []query{
	{file: "grafana/logs_1_29", reads: map[string]float64{logs: 0.05}},
	{file: "grafana/logs_1_30", reads: map[string]float64{logs: 0.04}},
	{file: "grafana/logs_like_1_30", reads: map[string]float64{logs: 0.04}},
	{file: "grafana/logs_volume", reads: map[string]float64{logs: 0.05}},
	{file: "grafana/traces_search", reads: map[string]float64{traces: 0.02}},
	{file: "grafana/trace_by_id", reads: map[string]float64{traces: 0.04}},
	{file: "grafana/map_keys", reads: map[string]float64{logs: 1}},
	{file: "grafana/dashboard_logs_by_level", reads: map[string]float64{logs: 0.04}},
	{file: "grafana/dashboard_logs_search", reads: map[string]float64{logs: 0.04}},
	{file: "grafana/dashboard_log_patterns", reads: map[string]float64{logs: 0.04}},
	{file: "grafana/dashboard_service_red", reads: map[string]float64{traces: 0.02}},
	{file: "grafana/dashboard_service_errors", reads: map[string]float64{traces: 0.02}},
	{file: "grafana/dashboard_deployments", reads: map[string]float64{traces: 0.02}, rows: "SELECT 1"},
	{file: "grafana/dashboard_service_map", reads: map[string]float64{traces: 0.34}},
	{file: "grafana/dashboard_traces", reads: map[string]float64{traces: 0.35}},
	{file: "grafana/dashboard_scatter", reads: map[string]float64{traces: 0.02}},
	{file: "grafana/dashboard_services", reads: map[string]float64{traces: 0.35}, rows: "SELECT 60"},
}

func TestGrafana(t *testing.T) { ask(t, ofGrafana) }
