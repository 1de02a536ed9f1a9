package queries

import (
	"math"
	"testing"
)

const (
	logs       = "otel_logs"
	traces     = "otel_traces"
	traceTimes = "otel_traces_trace_id_ts"
	gauges     = "otel_metrics_gauge"
	sums       = "otel_metrics_sum"
	histograms = "otel_metrics_histogram"
)

// spansOver counts the spans over a second of the requests that match, by the rule that made them.
func spansOver(where string) string {
	return `SELECT sum(arrayCount(depth -> toUInt64(took * (1 - 0.11 * depth)) > 1000000000, arraySlice([0, 1, 2, 3, 3, 4, 5, 6, 7], 1, spans)))
		FROM requests WHERE ` + where
}

const inTheHour = "begins >= {from:DateTime} AND begins < {to:DateTime}"

// A limit is a fifth and two granules above what was measured.
var dashboards = []query{
	{file: "dashboards/00_slow_requests", reads: map[string]float64{traces: 0.47}, rows: spansOver("true")},
	{file: "dashboards/00_slow_requests_in_time", reads: map[string]float64{traces: 0.18}, rows: spansOver(inTheHour)},
	{file: "dashboards/01_slow_requests_of_a_service", reads: map[string]float64{traces: 0.02},
		rows: "SELECT count() FROM requests WHERE web = 0 AND took > 1000000000 AND " + inTheHour},
	{file: "dashboards/02_error_rate", reads: map[string]float64{traces: 0.35}},
	{file: "dashboards/03_latency", reads: map[string]float64{traces: 0.02}},
	{file: "dashboards/04_throughput", reads: map[string]float64{traces: 0.02}, rows: "SELECT 60", check: func(t *testing.T, rows [][]string) {
		// A span of this service stands for four: 4 x 29 % of 117 requests a minute.
		if rate := float(t, rows[30][1]); math.Abs(rate-2.3) > 1 {
			t.Errorf("%g requests a second", rate)
		}
	}},
	{file: "dashboards/05_log_volume", reads: map[string]float64{logs: 0.04}},
	{file: "dashboards/06_trace", reads: map[string]float64{traces: 0.04}, rows: "SELECT spans FROM requests WHERE trace = {trace:String}"},
	{file: "dashboards/07_logs_of_a_trace", reads: map[string]float64{logs: 0.02}, rows: "SELECT 4"},
	{file: "dashboards/08_exceptions", reads: map[string]float64{traces: 0.32}},
	{file: "dashboards/08_exceptions_in_logs", reads: map[string]float64{logs: 0.08}, check: func(t *testing.T, rows [][]string) {
		times := 0
		for _, row := range rows {
			times += number(t, row[1])
		}
		if want := number(t, load(t).one(t, "SELECT 2 * countIf(slow) FROM requests WHERE toDate(begins) = {day:Date}")); times != want {
			t.Errorf("%d times, want %d", times, want)
		}
	}},
	{file: "dashboards/09_counter_rate", params: map[string]string{"from": "1795262400", "to": "1795266000"}, reads: map[string]float64{sums: 0.66},
		rows: "SELECT 12 * 12", check: func(t *testing.T, rows [][]string) {
			// Each of five pods counts 60 GETs and 6 POSTs a minute times its service's number, and restarts change nothing.
			seen := make(map[float64]bool)
			for _, row := range rows {
				n := float(t, row[2]) * 60 / (5 * 66)
				if math.Abs(n-math.Round(n)) > 1e-9 {
					t.Errorf("%s at %s: %s a second", row[1], row[0], row[2])
				}
				seen[math.Round(n)] = true
			}
			for n := 1.0; n <= 12; n++ {
				if !seen[n] {
					t.Errorf("no service counts %g a second", n*5*66/60)
				}
			}
		}},
	{file: "dashboards/09_delta_rate", reads: map[string]float64{sums: 0.18}, rows: "SELECT 12 * 12", check: everyRow(2, 0.5)},
	{file: "dashboards/10_histogram_quantile", reads: map[string]float64{histograms: 0.15}, rows: "SELECT 12", check: everyRow(6, 20)},
	{file: "dashboards/10_histogram_quantile", params: map[string]string{"q": "0.95"}, reads: map[string]float64{histograms: 0.15}, rows: "SELECT 12", check: everyRow(6, 250)},
	{file: "dashboards/11_gauge", reads: map[string]float64{gauges: 0.67}, rows: "SELECT 60", check: func(t *testing.T, rows [][]string) {
		if mean, last := float(t, rows[0][3]), float(t, rows[0][4]); last-mean != 29.5e6 {
			t.Errorf("mean %g, last %g", mean, last)
		}
	}},
	{file: "dashboards/12_full_text", reads: map[string]float64{logs: 0.08}, rows: "SELECT 2 * countIf(slow) FROM requests WHERE toDate(begins) = {day:Date}"},
	{file: "dashboards/12_attribute", reads: map[string]float64{logs: 0.03},
		rows: "SELECT 4 * countIf(cityHash64(id, 'user') % 50000 = 4711) FROM requests WHERE toDate(begins) = {day:Date}"},
	{file: "dashboards/13_ingest_lag", reads: map[string]float64{logs: 0.04}, rows: "SELECT 60"},
	{file: "dashboards/14_sizes"},
	{file: "dashboards/14_moves", lacks: "system.part_log"},
	{file: "dashboards/15_parts"},
	{file: "dashboards/15_replicas", none: true},
	{file: "dashboards/15_distribution", none: true},
	{file: "dashboards/15_mutations", none: true},
	{file: "dashboards/15_inserts", lacks: "system.query_log"},
	{file: "dashboards/15_async_inserts", lacks: "system.asynchronous_insert_log"},
	{file: "dashboards/16_service_map", reads: map[string]float64{traces: 0.33}},
}

// everyRow wants a number in a column of every row.
func everyRow(column int, want float64) func(t *testing.T, rows [][]string) {
	return func(t *testing.T, rows [][]string) {
		for _, row := range rows {
			if got := float(t, row[column]); math.Abs(got-want) > 1e-9*want {
				t.Errorf("%v: %g, want %g", row, got, want)
			}
		}
	}
}

func TestDashboards(t *testing.T) { ask(t, dashboards) }

// From one signal to another: a line's trace is found like any other, by its id.
var correlations = []query{
	{file: "correlate/trace_times", reads: map[string]float64{traceTimes: 0.08}},
	{file: "correlate/span_to_logs", reads: map[string]float64{logs: 0.02}},
	{file: "correlate/metric_to_exemplar", reads: map[string]float64{histograms: 0.15}},
	{file: "correlate/exemplar_to_trace", reads: map[string]float64{traces: 0.02}},
}

func TestFromOneSignalToAnother(t *testing.T) { ask(t, correlations) }
