-- A gauge by series.
WITH
    Source AS (
        SELECT *, cityHash64(ScopeAttributes, ResourceAttributes, Attributes) AS AttributesHash FROM otel_metrics_gauge
        WHERE (TimeUnix >= fromUnixTimestamp64Milli({from_ms:Int64}) AND TimeUnix <= fromUnixTimestamp64Milli({to_ms:Int64})) AND ((MetricName = 'process.memory.usage'))
    ),
    Bucketed AS (
        SELECT toStartOfInterval(toDateTime(TimeUnix), INTERVAL 1 minute) AS bucket, AttributesHash, last_value(Value) AS LastValue, any(ServiceName) AS ServiceName,
            any(StartTimeUnix) AS StartTimeUnix, any(ScopeDroppedAttrCount) AS ScopeDroppedAttrCount
        FROM Source GROUP BY AttributesHash, bucket ORDER BY AttributesHash, bucket
    )
SELECT avg(toFloat64OrDefault(toString(LastValue))) AS value, ServiceName, bucket FROM Bucketed GROUP BY ServiceName, bucket ORDER BY bucket
SETTINGS short_circuit_function_evaluation = 'force_enable'
