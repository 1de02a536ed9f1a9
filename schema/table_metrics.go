package schema

import "slices"

func gaugeTable() *Table {
	return metricsTable("otel_metrics_gauge", func(r *Rows) { r.numbers = bindNumbers(r) },
		[]column{
			{"Value", "Float64", zstd, ""},
			{"Flags", "UInt32", zstd, ""},
		}, exemplarDefs)
}

func sumTable() *Table {
	return metricsTable("otel_metrics_sum", func(r *Rows) { r.numbers = bindNumbers(r) },
		[]column{
			{"Value", "Float64", zstd, ""},
			{"Flags", "UInt32", zstd, ""},
		}, exemplarDefs, []column{
			{"AggregationTemporality", "Int32", zstd, ""},
			{"IsMonotonic", "Bool", zstd, ""},
		})
}

func histogramTable() *Table {
	return metricsTable("otel_metrics_histogram", func(r *Rows) { r.histograms = bindHistograms(r) },
		[]column{
			{"Count", "UInt64", delta8, ""},
			{"Sum", "Float64", zstd, ""},
			{"BucketCounts", "Array(UInt64)", zstd, ""},
			{"ExplicitBounds", "Array(Float64)", zstd, ""},
		}, exemplarDefs, []column{
			{"Flags", "UInt32", zstd, ""},
			{"Min", "Float64", zstd, ""},
			{"Max", "Float64", zstd, ""},
			{"AggregationTemporality", "Int32", zstd, ""},
		})
}

func expHistogramTable() *Table {
	return metricsTable("otel_metrics_exponential_histogram", func(r *Rows) { r.expHistograms = bindExpHistograms(r) },
		[]column{
			{"Count", "UInt64", delta8, ""},
			{"Sum", "Float64", zstd, ""},
			{"Scale", "Int32", zstd, ""},
			{"ZeroCount", "UInt64", zstd, ""},
			{"PositiveOffset", "Int32", zstd, ""},
			{"PositiveBucketCounts", "Array(UInt64)", zstd, ""},
			{"NegativeOffset", "Int32", zstd, ""},
			{"NegativeBucketCounts", "Array(UInt64)", zstd, ""},
		}, exemplarDefs, []column{
			{"Flags", "UInt32", zstd, ""},
			{"Min", "Float64", zstd, ""},
			{"Max", "Float64", zstd, ""},
			{"AggregationTemporality", "Int32", zstd, ""},
		})
}

func summaryTable() *Table {
	return metricsTable("otel_metrics_summary", func(r *Rows) { r.summaries = bindSummaries(r) },
		[]column{
			{"Count", "UInt64", delta8, ""},
			{"Sum", "Float64", zstd, ""},
			{"ValueAtQuantiles.Quantile", "Array(Float64)", zstd, ""},
			{"ValueAtQuantiles.Value", "Array(Float64)", zstd, ""},
			{"Flags", "UInt32", zstd, ""},
		})
}

var exemplarDefs = []column{
	{"Exemplars.FilteredAttributes", "Array(Map(LowCardinality(String), String))", zstd, ""},
	{"Exemplars.TimeUnix", "Array(DateTime)", zstd, ""},
	{"Exemplars.Value", "Array(Float64)", zstd, ""},
	{"Exemplars.SpanId", "Array(String)", zstd, ""},
	{"Exemplars.TraceId", "Array(String)", zstd, ""},
}

// metricsTable puts MetricName first in the key, because nobody asks for all
// metrics of a service. Metrics are kept for a year: weekly partitions keep
// their number small.
func metricsTable(name string, bind func(*Rows), tail ...[]column) *Table {
	point := []column{
		{"ResourceAttributes", typeMap, zstd, ""},
		{"ResourceSchemaUrl", typeString, zstd, ""},
		{"ScopeName", typeString, zstd, ""},
		{"ScopeVersion", typeString, zstd, ""},
		{"ScopeAttributes", typeMap, zstd, ""},
		{"ScopeDroppedAttrCount", "UInt32", zstd, ""},
		{"ScopeSchemaUrl", typeString, zstd, ""},
		{"ServiceName", typeLowCard, zstd, ""},
		{"MetricName", typeLowCard, zstd, ""},
		{"MetricDescription", typeString, zstd, ""},
		{"MetricUnit", typeString, zstd, ""},
		{"Attributes", typeMap, zstd, ""},
		{"StartTimeUnix", typeTime, delta4, ""},
		{"TimeUnix", typeTime, delta4, ""},
	}
	return &Table{
		name:       name,
		signal:     signalMetrics,
		identified: true,
		weekly:     true,
		bind: func(r *Rows) {
			r.points = bindPoints(r)
			bind(r)
		},
		columns: slices.Concat(point, slices.Concat(tail...), ingestColumns),
		indexes: slices.Concat([]index{
			{"idx_time_minmax", "TimeUnix", minmax},
			{"idx_res_attr_key", "mapKeys(ResourceAttributes)", bloom},
			{"idx_res_attr_value", "mapValues(ResourceAttributes)", bloom},
			{"idx_attr_key", "mapKeys(Attributes)", bloom},
			{"idx_attr_value", "mapValues(Attributes)", bloom},
		}, ingestIndexes),
		engine:     "MergeTree",
		partition:  "toMonday(TimeUnix, 'UTC')",
		primaryKey: "(MetricName, ServiceName, toStartOfHour(TimeUnix))",
		orderBy:    "(MetricName, ServiceName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)",
		expires:    "TimeUnix",
	}
}
