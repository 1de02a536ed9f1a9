package queries

import "testing"

var ofHyperDX = []query{
	{file: "hyperdx/search", reads: map[string]float64{logs: 1}},
	{file: "hyperdx/search_one_word", reads: map[string]float64{logs: 1}},
	{file: "hyperdx/search_attribute", reads: map[string]float64{logs: 1}},
	{file: "hyperdx/search_resource", reads: map[string]float64{logs: 1}},
	{file: "hyperdx/search_span_attribute", reads: map[string]float64{traces: 1}},
	{file: "hyperdx/row", reads: map[string]float64{logs: 1}, rows: "SELECT 1"},
	{file: "hyperdx/histogram_logs", reads: map[string]float64{logs: 1}},
	{file: "hyperdx/histogram_traces", reads: map[string]float64{traces: 1}},
	{file: "hyperdx/waterfall", reads: map[string]float64{traces: 1}},
	{file: "hyperdx/metric_gauge", reads: map[string]float64{gauges: 1}},
	{file: "hyperdx/metric_sum", reads: map[string]float64{sums: 1}},
	{file: "hyperdx/metric_histogram", reads: map[string]float64{histograms: 1}},
	{file: "hyperdx/values_of_key"},
}

func TestHyperDX(t *testing.T) { ask(t, ofHyperDX) }
