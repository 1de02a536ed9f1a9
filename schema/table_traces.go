package schema

import "slices"

func tracesTable() *Table {
	return &Table{
		name:       "otel_traces",
		signal:     signalTraces,
		identified: true,
		bind:       func(r *Rows) { r.spans = bindSpans(r) },
		columns: slices.Concat([]column{
			{"Timestamp", typeNanos, delta8, ""},
			{"TraceId", typeString, zstd, ""},
			{"SpanId", typeString, zstd, ""},
			{"ParentSpanId", typeString, zstd, ""},
			{"TraceState", typeString, zstd, ""},
			{"SpanName", typeLowCard, zstd, ""},
			{"SpanKind", typeLowCard, zstd, ""},
			{"ServiceName", typeLowCard, zstd, ""},
			{"ResourceAttributes", typeMap, zstd, ""},
			{"ScopeName", typeString, zstd, ""},
			{"ScopeVersion", typeString, zstd, ""},
			{"SpanAttributes", typeMap, zstd, ""},
			{"Duration", "UInt64", "T64, ZSTD(1)", ""},
			{"StatusCode", typeLowCard, zstd, ""},
			{"StatusMessage", typeString, zstd, ""},
			{"Events.Timestamp", "Array(DateTime64(9))", zstd, ""},
			{"Events.Name", "Array(LowCardinality(String))", zstd, ""},
			{"Events.Attributes", "Array(Map(LowCardinality(String), String))", zstd, ""},
			{"Links.TraceId", "Array(String)", zstd, ""},
			{"Links.SpanId", "Array(String)", zstd, ""},
			{"Links.TraceState", "Array(String)", zstd, ""},
			{"Links.Attributes", "Array(Map(LowCardinality(String), String))", zstd, ""},
			{"__hdx_materialized_rum.sessionId", typeString, zstd, "MATERIALIZED ResourceAttributes['rum.sessionId']"},
			{"SampleRate", "UInt64", "T64, ZSTD(1)", "MATERIALIZED greatest(toUInt64OrZero(SpanAttributes['SampleRate']), 1)"},
			{"ResourceAttributeItems", "Array(String)", "", "ALIAS " + items("ResourceAttributes")},
			{"SpanAttributeItems", "Array(String)", "", "ALIAS " + items("SpanAttributes")},
		}, ingestColumns),
		indexes: slices.Concat([]index{
			{"idx_ts", "Timestamp", minmax},
			{"idx_trace_id", "TraceId", bloomIDs},
			{"idx_duration", "Duration", minmax},
			{"idx_status", "StatusCode", "set(4) GRANULARITY 1"},
			{"idx_rum_session_id", "`__hdx_materialized_rum.sessionId`", bloomIDs},
			{"idx_res_attr_key", "mapKeys(ResourceAttributes)", bloom},
			{"idx_res_attr_items", "ResourceAttributeItems", elements},
			{"idx_span_attr_key", "mapKeys(SpanAttributes)", bloom},
			{"idx_span_attr_items", "SpanAttributeItems", elements},
		}, ingestIndexes),
		engine:    "MergeTree",
		partition: "toDate(Timestamp, 'UTC')",
		orderBy:   "(ServiceName, toDateTime(Timestamp), TraceId)",
		expires:   "toDateTime(Timestamp)",
	}
}

// traceTimesTable holds the time range of each trace, so that a search by trace
// id reads a few partitions and granules instead of all. A trace over midnight
// has a row in each day. Its rows are minima and maxima: writing them again
// changes nothing, so they need neither identity nor fence.
func traceTimesTable() *Table {
	return &Table{
		name:   "otel_traces_trace_id_ts",
		signal: signalTraces,
		bind:   func(r *Rows) { r.traceTimes = bindTraceTimes(r) },
		columns: []column{
			{"TraceId", typeString, zstd, ""},
			{"Start", "SimpleAggregateFunction(min, DateTime)", delta4, ""},
			{"End", "SimpleAggregateFunction(max, DateTime)", delta4, ""},
			{"Day", "Date", "", "DEFAULT toDate(Start, 'UTC')"},
		},
		indexes:   []index{{"idx_trace_id", "TraceId", bloom}},
		engine:    "AggregatingMergeTree",
		partition: "Day",
		orderBy:   "(TraceId, Day)",
		expires:   "Day",
	}
}
