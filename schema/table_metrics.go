package schema

import "slices"

func gaugeTable() *Table {
	return metricsTable("otel_metrics_gauge", "one row a point of a gauge", slices.Concat([]column{valueColumn, flagsColumn}, exemplarColumns))
}

func sumTable() *Table {
	return metricsTable("otel_metrics_sum", "one row a point of a sum", slices.Concat([]column{valueColumn, flagsColumn}, exemplarColumns, []column{
		temporalityColumn,
		{"IsMonotonic", "Bool", zstd, "", fromPoint(func(c *numbers[uint8], p *pointRow) { c.add(boolean(p.metric.monotonic)) }), "is_monotonic: it never goes down but to start anew"},
	}))
}

func histogramTable() *Table {
	return metricsTable("otel_metrics_histogram", "one row a point of a histogram with explicit bounds", slices.Concat([]column{countColumn, sumColumn,
		{"BucketCounts", "Array(UInt64)", zstd, "", fromPoint(func(c *arrays[*numbers[uint64]], p *pointRow) { addNumbers(c, p.counts) }), "bucket_counts; one more than there are bounds"},
		{"ExplicitBounds", "Array(Float64)", zstd, "", fromPoint(func(c *arrays[*numbers[float64]], p *pointRow) { addNumbers(c, p.bounds) }), "explicit_bounds: the upper bound of each bucket but the last, inclusive"},
	}, exemplarColumns, []column{flagsColumn, minColumn, maxColumn, temporalityColumn}))
}

func expHistogramTable() *Table {
	return metricsTable("otel_metrics_exponential_histogram", "one row a point of an exponential histogram", slices.Concat([]column{countColumn, sumColumn,
		{"Scale", "Int32", zstd, "", fromPoint(func(c *numbers[int32], p *pointRow) { c.add(p.scale) }), "scale: a bucket's bounds are powers of 2^(2^-scale)"},
		{"ZeroCount", "UInt64", zstd, "", fromPoint(func(c *numbers[uint64], p *pointRow) { c.add(p.zeroCount) }), "zero_count"},
		{"PositiveOffset", "Int32", zstd, "", fromPoint(func(c *numbers[int32], p *pointRow) { c.add(p.positiveOffset) }), "positive.offset"},
		{"PositiveBucketCounts", "Array(UInt64)", zstd, "", fromPoint(func(c *arrays[*numbers[uint64]], p *pointRow) { addNumbers(c, p.positive) }), "positive.bucket_counts"},
		{"NegativeOffset", "Int32", zstd, "", fromPoint(func(c *numbers[int32], p *pointRow) { c.add(p.negativeOffset) }), "negative.offset"},
		{"NegativeBucketCounts", "Array(UInt64)", zstd, "", fromPoint(func(c *arrays[*numbers[uint64]], p *pointRow) { addNumbers(c, p.negative) }), "negative.bucket_counts"},
	}, exemplarColumns, []column{flagsColumn, minColumn, maxColumn, temporalityColumn}))
}

func summaryTable() *Table {
	return metricsTable("otel_metrics_summary", "one row a point of a summary", []column{countColumn, sumColumn,
		{"ValueAtQuantiles.Quantile", "Array(Float64)", zstd, "", fromPoint(func(c *arrays[*numbers[float64]], p *pointRow) { addNumbers(c, p.quantiles) }), "quantile of each quantile_values"},
		{"ValueAtQuantiles.Value", "Array(Float64)", zstd, "", fromPoint(func(c *arrays[*numbers[float64]], p *pointRow) { addNumbers(c, p.quantileValues) }), "value of each quantile_values"},
		flagsColumn,
	})
}

// Columns of several kinds of metric.
var (
	valueColumn       = column{"Value", "Float64", zstd, "", fromPoint(func(c *numbers[float64], p *pointRow) { c.add(p.value) }), "as_double, or as_int"}
	countColumn       = column{"Count", "UInt64", delta8, "", fromPoint(func(c *numbers[uint64], p *pointRow) { c.add(p.count) }), "count"}
	sumColumn         = column{"Sum", "Float64", zstd, "", fromPoint(func(c *numbers[float64], p *pointRow) { c.add(p.sum) }), "sum; 0 when absent"}
	minColumn         = column{"Min", "Float64", zstd, "", fromPoint(func(c *numbers[float64], p *pointRow) { c.add(p.min) }), "min; 0 when absent"}
	maxColumn         = column{"Max", "Float64", zstd, "", fromPoint(func(c *numbers[float64], p *pointRow) { c.add(p.max) }), "max; 0 when absent"}
	flagsColumn       = column{"Flags", "UInt32", zstd, "", fromPoint(func(c *numbers[uint32], p *pointRow) { c.add(p.flags) }), "flags: 1 says that the series has ended"}
	temporalityColumn = column{"AggregationTemporality", "Int32", zstd, "", fromPoint(func(c *numbers[int32], p *pointRow) { c.add(p.metric.temporality) }), "aggregation_temporality: 1 delta, 2 cumulative"}

	exemplarColumns = []column{
		{"Exemplars.FilteredAttributes", "Array(Map(LowCardinality(String), String))", zstd, "", eachExemplar(func(c *maps, e *exemplar) { c.add(e.attributes) }), "filtered_attributes of each exemplar"},
		{"Exemplars.TimeUnix", "Array(DateTime)", zstd, "", eachExemplar(func(c *numbers[uint32], e *exemplar) { c.add(seconds(e.time)) }), "time_unix_nano of each exemplar, to the second"},
		{"Exemplars.Value", "Array(Float64)", zstd, "", eachExemplar(func(c *numbers[float64], e *exemplar) { c.add(e.value) }), "as_double, or as_int, of each exemplar"},
		{"Exemplars.SpanId", "Array(String)", zstd, "", eachExemplar(func(c *strs, e *exemplar) { c.addHex(e.spanID) }), "span_id of each exemplar, empty when absent"},
		{"Exemplars.TraceId", "Array(String)", zstd, "", eachExemplar(func(c *strs, e *exemplar) { c.addHex(e.traceID) }), "trace_id of each exemplar, empty when absent"},
	}
)

// metricsTable puts MetricName first in the key, because nobody asks for all
// metrics of a service. Metrics are kept for a year: weekly partitions keep
// their number small.
func metricsTable(name, about string, kind []column) *Table {
	return &Table{
		name:       name,
		about:      about,
		signal:     signalMetrics,
		identified: true,
		weekly:     true,
		columns: slices.Concat([]column{
			{"ResourceAttributes", typeMap, zstd, "", headResource, "attributes of the resource"},
			{"ResourceSchemaUrl", typeString, zstd, "", fromHead(func(c *strs, h *header) { c.add(h.resourceURL) }), "schema_url of the resource"},
			{"ScopeName", typeString, zstd, "", headScopeName, "name of the scope"},
			{"ScopeVersion", typeString, zstd, "", headScopeVersion, "version of the scope"},
			{"ScopeAttributes", typeMap, zstd, "", headScope, "attributes of the scope"},
			{"ScopeDroppedAttrCount", "UInt32", zstd, "", fromHead(func(c *numbers[uint32], h *header) { c.add(h.dropped) }), "dropped_attributes_count of the scope"},
			{"ScopeSchemaUrl", typeString, zstd, "", fromHead(func(c *strs, h *header) { c.add(h.scopeURL) }), "schema_url of the scope"},
			{"ServiceName", typeLowCard, zstd, "", headService, "the resource's service.name"},
			{"MetricName", typeLowCard, zstd, "", fromPoint(func(c *lowCard, p *pointRow) { c.add(p.metric.name) }), "name"},
			{"MetricDescription", typeString, zstd, "", fromPoint(func(c *strs, p *pointRow) { c.add(p.metric.description) }), "description"},
			{"MetricUnit", typeString, zstd, "", fromPoint(func(c *strs, p *pointRow) { c.add(p.metric.unit) }), "unit"},
			{"Attributes", typeMap, zstd, "", fromPoint(func(c *maps, p *pointRow) { c.add(p.attributes) }), "attributes of the point"},
			{"StartTimeUnix", typeTime, delta4, "", fromPoint(func(c *numbers[uint32], p *pointRow) { c.add(seconds(p.start)) }), "start_time_unix_nano, to the second"},
			{"TimeUnix", typeTime, delta4, "", fromPoint(func(c *numbers[uint32], p *pointRow) { c.add(p.at.seconds()) }), "time_unix_nano, to the second; if 0 or out of bounds, when it was accepted"},
		}, kind, ingestColumns),
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
		shardBy:    "cityHash64(MetricName, ServiceName)",
	}
}
