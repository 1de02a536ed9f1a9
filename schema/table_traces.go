package schema

import "slices"

func tracesTable() *Table {
	return &Table{
		name:       "otel_traces",
		about:      "one row a span",
		signal:     signalTraces,
		identified: true,
		columns: slices.Concat([]column{
			{"Timestamp", typeNanos, delta8, "", fromSpan(func(c *numbers[int64], s *spanRow) { c.add(s.at.nanos) }), "start_time_unix_nano; if 0 or out of bounds, when it was accepted"},
			{"TraceId", typeString, zstd, "", fromSpan(func(c *strs, s *spanRow) { c.addHex(s.traceID) }), "trace_id in hexadecimal, empty when absent"},
			{"SpanId", typeString, zstd, "", fromSpan(func(c *strs, s *spanRow) { c.addHex(s.spanID) }), "span_id in hexadecimal, empty when absent"},
			{"ParentSpanId", typeString, zstd, "", fromSpan(func(c *strs, s *spanRow) { c.addHex(s.parentID) }), "parent_span_id in hexadecimal, empty for a root"},
			{"TraceState", typeString, zstd, "", fromSpan(func(c *strs, s *spanRow) { c.add(s.traceState) }), "trace_state"},
			{"SpanName", typeLowCard, zstd, "", fromSpan(func(c *lowCard, s *spanRow) { c.add(s.name) }), "name"},
			{"SpanKind", typeLowCard, zstd, "", fromSpan(func(c *lowCard, s *spanRow) { c.add(enumName(spanKinds, s.kind)) }), "kind: Unspecified, Internal, Server, Client, Producer or Consumer"},
			{"ServiceName", typeLowCard, zstd, "", headService, "the resource's service.name"},
			{"ResourceAttributes", typeMap, zstd, "", headResource, "attributes of the resource"},
			{"ScopeName", typeString, zstd, "", headScopeName, "name of the scope"},
			{"ScopeVersion", typeString, zstd, "", headScopeVersion, "version of the scope"},
			{"SpanAttributes", typeMap, zstd3, "", fromSpan(func(c *maps, s *spanRow) { c.add(s.attributes) }), "attributes of the span"},
			{"Duration", "UInt64", "T64, ZSTD(1)", "", fromSpan(func(c *numbers[uint64], s *spanRow) { c.add(s.duration()) }), "nanoseconds from start to end; 0 when the end is before the start"},
			{"StatusCode", typeLowCard, zstd, "", fromSpan(func(c *lowCard, s *spanRow) { c.add(enumName(statusCodes, s.statusCode)) }), "status.code: Unset, Ok or Error"},
			{"StatusMessage", typeString, zstd, "", fromSpan(func(c *strs, s *spanRow) { c.add(s.statusMessage) }), "status.message"},
			{"Events.Timestamp", "Array(DateTime64(9))", delta8, "", eachEvent(func(c *numbers[int64], e *spanEvent) { c.add(nanos(e.time)) }), "time_unix_nano of each event"},
			{"Events.Name", "Array(LowCardinality(String))", zstd, "", eachEvent(func(c *lowCard, e *spanEvent) { c.add(e.name) }), "name of each event"},
			{"Events.Attributes", "Array(Map(LowCardinality(String), String))", zstd3, "", eachEvent(func(c *maps, e *spanEvent) { c.add(e.attributes) }), "attributes of each event"},
			{"Links.TraceId", "Array(String)", zstd, "", eachLink(func(c *strs, l *spanLink) { c.addHex(l.traceID) }), "trace_id of each link"},
			{"Links.SpanId", "Array(String)", zstd, "", eachLink(func(c *strs, l *spanLink) { c.addHex(l.spanID) }), "span_id of each link"},
			{"Links.TraceState", "Array(String)", zstd, "", eachLink(func(c *strs, l *spanLink) { c.add(l.state) }), "trace_state of each link"},
			{"Links.Attributes", "Array(Map(LowCardinality(String), String))", zstd, "", eachLink(func(c *maps, l *spanLink) { c.add(l.attributes) }), "attributes of each link"},
			{"__hdx_materialized_rum.sessionId", typeString, zstd, "MATERIALIZED ResourceAttributes['rum.sessionId']", nil, "the resource's rum.sessionId"},
			{"SampleRate", "UInt64", "T64, ZSTD(1)", "MATERIALIZED greatest(toUInt64OrZero(SpanAttributes['SampleRate']), 1)", nil, "how many spans this one stands for, from its attribute SampleRate; 1 without"},
		}, ingestColumns),
		indexes: slices.Concat([]index{
			{"idx_ts", "Timestamp", minmax},
			{"idx_trace_id", "TraceId", bloomIDs},
			{"idx_duration", "Duration", minmax},
			{"idx_status", "StatusCode", "set(4) GRANULARITY 1"},
			{"idx_rum_session_id", "`__hdx_materialized_rum.sessionId`", bloomIDs},
			{"idx_res_attr_key", "mapKeys(ResourceAttributes)", bloom},
			{"idx_res_attr_value", "mapValues(ResourceAttributes)", bloom},
			{"idx_span_attr_key", "mapKeys(SpanAttributes)", bloom},
			{"idx_span_attr_value", "mapValues(SpanAttributes)", bloom},
		}, ingestIndexes),
		engine:    "MergeTree",
		partition: "toDate(Timestamp, 'UTC')",
		orderBy:   "(ServiceName, toDateTime(Timestamp), TraceId)",
		expires:   "toDateTime(Timestamp)",
		shardBy:   "cityHash64(TraceId)",
	}
}

// traceTimesTable holds the time range of each trace, so that a search by trace
// id reads a few partitions and granules instead of all. A trace over midnight
// has a row in each day. Its rows are minima and maxima: writing them again
// changes nothing, so they need neither identity nor fence.
func traceTimesTable() *Table {
	return &Table{
		name:   "otel_traces_trace_id_ts",
		about:  "when each trace was, to the second: one row a trace and day, once merged",
		signal: signalTraces,
		columns: []column{
			{"TraceId", typeString, zstd, "", bound(func(r *Rows, c *strs) { r.traceTimes.traceID = c }), "trace_id in hexadecimal"},
			{"Start", "SimpleAggregateFunction(min, DateTime)", delta4, "", bound(func(r *Rows, c *numbers[uint32]) { r.traceTimes.start = c }), "the earliest Timestamp of its spans on that day"},
			{"End", "SimpleAggregateFunction(max, DateTime)", delta4, "", bound(func(r *Rows, c *numbers[uint32]) { r.traceTimes.end = c }), "the latest Timestamp of its spans on that day"},
			{"Day", "Date", "", "DEFAULT toDate(Start, 'UTC')", bound(func(r *Rows, c *numbers[uint16]) { r.traceTimes.day = c }), "the day in UTC"},
		},
		indexes:   []index{{"idx_trace_id", "TraceId", bloom}},
		engine:    "AggregatingMergeTree",
		partition: "Day",
		orderBy:   "(TraceId, Day)",
		expires:   "Day",
		shardBy:   "cityHash64(TraceId)",
	}
}
