package queries

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The queries of metrics name no service, and here a service's points of two days are two granules: the hour leaves few of them out.
var ofHyperDX = []query{
	{file: "hyperdx/search", reads: map[string]float64{logs: 0.02}},
	{file: "hyperdx/search_one_word", reads: map[string]float64{logs: 0.04}},
	{file: "hyperdx/search_attribute", reads: map[string]float64{logs: 0.03}},
	{file: "hyperdx/search_resource", reads: map[string]float64{logs: 0.04}},
	{file: "hyperdx/search_span_attribute", reads: map[string]float64{traces: 0.08}},
	{file: "hyperdx/row", reads: map[string]float64{logs: 0.02}, rows: "SELECT 1"},
	{file: "hyperdx/histogram_logs", reads: map[string]float64{logs: 0.04}},
	{file: "hyperdx/histogram_traces", reads: map[string]float64{traces: 0.35}},
	{file: "hyperdx/waterfall", reads: map[string]float64{traces: 0.04}},
	{file: "hyperdx/metric_gauge", reads: map[string]float64{gauges: 0.67}},
	{file: "hyperdx/metric_sum", reads: map[string]float64{sums: 0.66}},
	{file: "hyperdx/metric_histogram", reads: map[string]float64{histograms: 1}},
	{file: "hyperdx/values_of_key"},
}

func TestHyperDX(t *testing.T) { ask(t, ofHyperDX) }

// What HyperDX looks for in a table before it takes it for a source: names, and types that its queries suppose.
var sources = map[string]map[string]string{
	logs: {
		"Timestamp": "DateTime64", "TimestampTime": "DateTime", "Body": "String", "SeverityText": "LowCardinality(String)", "TraceId": "String", "SpanId": "String",
		"ServiceName": "LowCardinality(String)", "LogAttributes": "Map(LowCardinality(String), String)", "ResourceAttributes": "Map(LowCardinality(String), String)",
	},
	traces: {
		"Timestamp": "DateTime64", "SpanName": "LowCardinality(String)", "Duration": "UInt64", "SpanKind": "LowCardinality(String)", "TraceId": "String",
		"SpanId": "String", "ParentSpanId": "String", "ServiceName": "LowCardinality(String)", "SpanAttributes": "Map(LowCardinality(String), String)",
		"ResourceAttributes": "Map(LowCardinality(String), String)", "StatusCode": "LowCardinality(String)", "StatusMessage": "String",
		"Events.Timestamp": "Array(DateTime64", "Events.Name": "Array(", "Events.Attributes": "Array(Map(", "Links.TraceId": "Array(String)", "SampleRate": "UInt64",
		"__hdx_materialized_rum.sessionId": "String",
	},
	gauges:     metricSource("Value", "Float64"),
	sums:       metricSource("Value", "Float64", "AggregationTemporality", "Int32", "IsMonotonic", "Bool"),
	histograms: metricSource("Count", "UInt64", "Sum", "Float64", "BucketCounts", "Array(UInt64)", "ExplicitBounds", "Array(Float64)", "AggregationTemporality", "Int32"),
	"otel_metrics_summary": metricSource("Count", "UInt64", "Sum", "Float64", "Flags", "UInt32",
		"ValueAtQuantiles.Quantile", "Array(Float64)", "ValueAtQuantiles.Value", "Array(Float64)"),
	"otel_metrics_exponential_histogram": metricSource("Count", "UInt64", "Sum", "Float64", "Scale", "Int32", "ZeroCount", "UInt64", "PositiveOffset", "Int32",
		"PositiveBucketCounts", "Array(UInt64)", "NegativeOffset", "Int32", "NegativeBucketCounts", "Array(UInt64)", "Flags", "UInt32"),
}

// metricSource is what all kinds of metrics have, and pairs of names and types beside.
func metricSource(more ...string) map[string]string {
	columns := map[string]string{
		"TimeUnix": "DateTime", "StartTimeUnix": "DateTime", "ServiceName": "LowCardinality(String)", "MetricName": "LowCardinality(String)",
		"Attributes": "Map(LowCardinality(String), String)", "ResourceAttributes": "Map(LowCardinality(String), String)", "ScopeAttributes": "Map(LowCardinality(String), String)",
	}
	for i := 0; i < len(more); i += 2 {
		columns[more[i]] = more[i+1]
	}
	return columns
}

func TestHyperDXTakesTheTablesForItsSources(t *testing.T) {
	db := load(t)
	for table, columns := range sources {
		types := make(map[string]string)
		for _, row := range db.mustAsk(t, "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '"+table+"'") {
			types[row[0]] = row[1]
		}
		for name, want := range columns {
			if !strings.HasPrefix(types[name], want) {
				t.Errorf("%s: %s is %q, want %s", table, name, types[name], want)
			}
		}
	}
}

// Two forms in which HyperDX recognises a column of key=value: as it is written, and as ClickHouse spells the cast.
var itemsForms = []*regexp.Regexp{
	regexp.MustCompile(`^arrayMap\(\(?\w+\)? -> concat\(\w+\.1, '=', \w+\.2\), (\w+)::Array\(Tuple\(String, String\)\)\)$`),
	regexp.MustCompile(`^arrayMap\(\(?\w+\)? -> concat\(\w+\.1, '=', \w+\.2\), CAST\((\w+), 'Array\(Tuple\(String, String\)\)'\)\)$`),
}

func TestHyperDXFindsWhatMakesItFast(t *testing.T) {
	db := load(t)
	if db.one(t, "SELECT toUInt32(splitByChar('.', version())[1]) * 100 + toUInt32(splitByChar('.', version())[2]) >= 2605") != "1" {
		t.Error("before 26.5 it leaves key=value columns alone that are not stored")
	}
	type index struct{ expr, kind string }
	indexes := make(map[string][]index)
	for _, row := range db.mustAsk(t, "SELECT table, expr, type_full FROM system.data_skipping_indices WHERE database = currentDatabase() FORMAT TSVRaw") {
		indexes[row[0]] = append(indexes[row[0]], index{row[1], row[2]})
	}
	columns := make(map[string]string) // "table kind expression": name
	for _, row := range db.mustAsk(t, "SELECT table, default_kind, default_expression, name FROM system.columns WHERE database = currentDatabase() AND default_kind != '' FORMAT TSVRaw") {
		columns[row[0]+" "+row[1]+" "+row[2]] = row[3]
	}

	// A condition on a map's key is rewritten to the column whose expression is just that.
	for _, key := range []string{"k8s.cluster.name", "k8s.namespace.name", "k8s.deployment.name", "k8s.pod.name", "deployment.environment.name"} {
		if columns[logs+" MATERIALIZED ResourceAttributes['"+key+"']"] == "" {
			t.Errorf("no column of %s", key)
		}
	}

	// A condition key = value is rewritten to has(items, 'key=value') where a text index of whole elements is on the items.
	// Spans have none, see docs/adr/0009: there it asks the map.
	for _, attributes := range []string{"ResourceAttributes", "LogAttributes"} {
		found := false
		for name := range columns {
			expression, isAlias := strings.CutPrefix(name, logs+" ALIAS ")
			for _, form := range itemsForms {
				match := form.FindStringSubmatch(expression)
				if isAlias && match != nil && match[1] == attributes && slices.Contains(indexes[logs], index{expression, "text(tokenizer = 'array')"}) {
					found = true
				}
			}
		}
		if !found {
			t.Errorf("no key=value of %s with an index", attributes)
		}
	}
	for _, want := range []index{
		{"lower(Body)", "text(tokenizer = 'splitByNonAlpha')"}, // search for words
		{"mapKeys(ResourceAttributes)", "text(tokenizer = 'array')"},
		{"mapKeys(LogAttributes)", "text(tokenizer = 'array')"},
	} {
		if !slices.Contains(indexes[logs], want) {
			t.Errorf("no index %v", want)
		}
	}

	// It says which time a table has from its primary key, and adds a condition on the bucket to one on the time.
	for table, want := range map[string]string{
		logs: "toStartOfFiveMinutes(Timestamp), ServiceName", traces: "ServiceName, toDateTime(Timestamp), TraceId",
		gauges: "MetricName, ServiceName, toStartOfHour(TimeUnix)",
	} {
		if key := db.one(t, "SELECT primary_key FROM system.tables WHERE database = currentDatabase() AND name = '"+table+"'"); key != want {
			t.Errorf("%s: primary key %s, want %s", table, key, want)
		}
	}
	// It knows a line again by where it lies, if the table's settings say so.
	engine := db.one(t, "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '"+logs+"'")
	for _, setting := range []string{"enable_block_number_column = 1", "enable_block_offset_column = 1"} {
		if !strings.Contains(engine, setting) {
			t.Errorf("%s is not set", setting)
		}
	}
	if n := db.one(t, "SELECT count() = uniqExact(Timestamp, ServiceName, _block_number, _block_offset) FROM otel_logs WHERE Timestamp >= {from:DateTime} AND Timestamp < {to:DateTime}"); n != "1" {
		t.Error("two lines are the same to it")
	}
}
