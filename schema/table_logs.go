package schema

import "slices"

// The primary key stops at the 5-minute bucket on purpose: with the raw
// Timestamp in it as well, a plain condition on Timestamp binds to that and
// prunes nothing. idx_ts prunes what is left.
func logsTable() *Table {
	return &Table{
		name:       "otel_logs",
		signal:     signalLogs,
		identified: true,
		bind:       func(r *Rows) { r.logs = bindLogs(r) },
		columns: slices.Concat([]column{
			{"Timestamp", typeNanos, delta8, ""},
			{"TimestampTime", typeTime, "", "ALIAS toDateTime(Timestamp)"}, // queried by older dashboards
			{"ObservedTimestamp", typeNanos, delta8, "DEFAULT Timestamp"},
			{"TraceId", typeString, zstd, ""},
			{"SpanId", typeString, zstd, ""},
			{"TraceFlags", "UInt8", "", ""},
			{"SeverityText", typeLowCard, zstd, ""},
			{"SeverityNumber", "UInt8", "", ""},
			{"ServiceName", typeLowCard, zstd, ""},
			{"Body", typeString, zstd, ""},
			{"ResourceSchemaUrl", typeLowCard, zstd, ""},
			{"ResourceAttributes", typeMap, zstd, ""},
			{"ScopeSchemaUrl", typeLowCard, zstd, ""},
			{"ScopeName", typeString, zstd, ""},
			{"ScopeVersion", typeLowCard, zstd, ""},
			{"ScopeAttributes", typeMap, zstd, ""},
			{"LogAttributes", typeMap, zstd, ""},
			{"EventName", typeString, zstd, ""},
			{"__otel_materialized_k8s.cluster.name", typeLowCard, zstd, "MATERIALIZED ResourceAttributes['k8s.cluster.name']"},
			{"__otel_materialized_k8s.namespace.name", typeLowCard, zstd, "MATERIALIZED ResourceAttributes['k8s.namespace.name']"},
			{"__otel_materialized_k8s.deployment.name", typeLowCard, zstd, "MATERIALIZED ResourceAttributes['k8s.deployment.name']"},
			{"__otel_materialized_k8s.pod.name", typeLowCard, zstd, "MATERIALIZED ResourceAttributes['k8s.pod.name']"},
			{"__otel_materialized_host.name", typeLowCard, zstd, "MATERIALIZED ResourceAttributes['host.name']"},
			{"__otel_materialized_deployment.environment.name", typeLowCard, zstd, "MATERIALIZED ResourceAttributes['deployment.environment.name']"},
			{"ResourceAttributeItems", "Array(String)", "", "ALIAS " + items("ResourceAttributes")},
			{"LogAttributeItems", "Array(String)", "", "ALIAS " + items("LogAttributes")},
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
		settings:   []string{"enable_block_number_column = 1", "enable_block_offset_column = 1"},
	}
}

// items renders a map as its key=value strings, the form that a text index can
// answer has(..., 'key=value') from.
func items(attributes string) string {
	return "arrayMap(kv -> concat(kv.1, '=', kv.2), " + attributes + "::Array(Tuple(String, String)))"
}
