package schema

import "slices"

// The primary key stops at the 5-minute bucket on purpose: with the raw
// Timestamp in it as well, a plain condition on Timestamp binds to that and
// prunes nothing. idx_ts prunes what is left.
func logsTable() *Table {
	return &Table{
		name:       "otel_logs",
		about:      "one row a log record",
		signal:     signalLogs,
		identified: true,
		columns: slices.Concat([]column{
			{"Timestamp", typeNanos, delta8, "", fromLog(func(c *numbers[int64], l *logRow) { c.add(l.at.nanos) }), "time_unix_nano; if 0, observed_time_unix_nano; if that is 0 too or out of bounds, when it was accepted"},
			{"TimestampTime", typeTime, "", "ALIAS toDateTime(Timestamp)", nil, "Timestamp in seconds, for older dashboards"},
			{"ObservedDelay", "Int64", "T64, ZSTD(1)", "", fromLog(func(c *numbers[int64], l *logRow) { c.add(l.observedAt.nanos - l.at.nanos) }), "nanoseconds from Timestamp to ObservedTimestamp: the same for many rows, and so nearly free"},
			{"ObservedTimestamp", typeNanos, "", "ALIAS addNanoseconds(Timestamp, ObservedDelay)", nil, "observed_time_unix_nano; if 0, when it was accepted"},
			{"TraceId", typeString, zstd, "", fromLog(func(c *strs, l *logRow) { c.addHex(l.traceID) }), "trace_id in hexadecimal, empty when absent"},
			{"SpanId", typeString, zstd, "", fromLog(func(c *strs, l *logRow) { c.addHex(l.spanID) }), "span_id in hexadecimal, empty when absent"},
			{"TraceFlags", "UInt8", "", "", fromLog(func(c *numbers[uint8], l *logRow) { c.add(l.flags) }), "the low eight bits of flags: those of the W3C trace context"},
			{"SeverityText", typeLowCard, zstd, "", fromLog(func(c *lowCard, l *logRow) { c.add(l.severityText) }), "severity_text, as it came"},
			{"SeverityNumber", "UInt8", "", "", fromLog(func(c *numbers[uint8], l *logRow) { c.add(l.severityNumber) }), "severity_number: 1–4 trace, 5–8 debug, 9–12 info, 13–16 warn, 17–20 error, 21–24 fatal"},
			{"ServiceName", typeLowCard, zstd, "", headService, "the resource's service.name"},
			{"Body", typeString, zstd3, "", fromLog(func(c *strs, l *logRow) { c.add(l.bodyText) }), "body; JSON when it is an array or a map"},
			{"ResourceSchemaUrl", typeLowCard, zstd, "", fromHead(func(c *lowCard, h *header) { c.add(h.resourceURL) }), "schema_url of the resource"},
			{"ResourceAttributes", typeMap, zstd, "", headResource, "attributes of the resource"},
			{"ScopeSchemaUrl", typeLowCard, zstd, "", fromHead(func(c *lowCard, h *header) { c.add(h.scopeURL) }), "schema_url of the scope"},
			{"ScopeName", typeString, zstd, "", headScopeName, "name of the scope"},
			{"ScopeVersion", typeLowCard, zstd, "", fromHead(func(c *lowCard, h *header) { c.add(h.scopeVersion) }), "version of the scope"},
			{"ScopeAttributes", typeMap, zstd, "", headScope, "attributes of the scope"},
			{"LogAttributes", typeMap, zstd3, "", fromLog(func(c *maps, l *logRow) { c.add(l.attributes) }), "attributes of the record"},
			{"EventName", typeString, zstd, "", fromLog(func(c *strs, l *logRow) { c.add(l.eventName) }), "event_name"},
			resourceColumn("k8s.cluster.name"),
			resourceColumn("k8s.namespace.name"),
			resourceColumn("k8s.deployment.name"),
			resourceColumn("k8s.pod.name"),
			resourceColumn("host.name"),
			resourceColumn("deployment.environment.name"),
			itemsColumn("ResourceAttributeItems", "ResourceAttributes"),
			itemsColumn("LogAttributeItems", "LogAttributes"),
		}, ingestColumns),
		indexes: slices.Concat([]index{
			{"idx_ts", "Timestamp", minmax},
			{"idx_trace_id", "TraceId", bloomIDs},
			{"idx_res_attr_key", "mapKeys(ResourceAttributes)", elements},
			{"idx_res_attr_items", "ResourceAttributeItems", elements},
			{"idx_log_attr_key", "mapKeys(LogAttributes)", elements},
			{"idx_log_attr_items", "LogAttributeItems", elements},
			{"idx_lower_body", "lower(Body)", words},
		}, ingestIndexes),
		engine:     "MergeTree",
		partition:  "toDate(Timestamp, 'UTC')",
		primaryKey: "(toStartOfFiveMinutes(Timestamp), ServiceName)",
		orderBy:    "(toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)",
		expires:    "toDateTime(Timestamp)",
		shardBy:    "if(TraceId = '', rand64(), cityHash64(TraceId))",
		extra:      []setting{{"enable_block_number_column", "1"}, {"enable_block_offset_column", "1"}},
	}
}

// resourceColumn has a resource attribute beside the map, for dashboards that
// recognise the expression and read the column instead.
func resourceColumn(attribute string) column {
	return column{"__otel_materialized_" + attribute, typeLowCard, zstd, "MATERIALIZED ResourceAttributes['" + attribute + "']", nil, "the resource's " + attribute}
}

// itemsColumn renders a map as its key=value strings, the form that a text index
// can answer has(..., 'key=value') from.
func itemsColumn(name, attributes string) column {
	return column{name, "Array(String)", "", "ALIAS arrayMap(kv -> concat(kv.1, '=', kv.2), " + attributes + "::Array(Tuple(String, String)))", nil, attributes + " as key=value, for has(" + name + ", 'key=value')"}
}
