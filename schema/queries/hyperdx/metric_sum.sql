-- The growth of a sum by series, of either temporality.
WITH
    Source AS (
        SELECT *, cityHash64(ScopeAttributes, ResourceAttributes, Attributes) AS AttributesHash,
            if(AggregationTemporality = 1, Value, greatest(Value - lagInFrame(toNullable(Value), 1, NULL) OVER (PARTITION BY AttributesHash ORDER BY TimeUnix), 0)) AS Rate
        FROM otel_metrics_sum
        WHERE (TimeUnix >= fromUnixTimestamp64Milli({from_ms:Int64}) - INTERVAL 1 minute AND TimeUnix <= fromUnixTimestamp64Milli({to_ms:Int64}))
            AND ((MetricName = 'http.server.requests'))
    )
SELECT sum(Rate) AS value, any(IsMonotonic) AS monotonic, toStartOfInterval(toDateTime(TimeUnix), INTERVAL 1 minute) AS bucket
FROM Source GROUP BY bucket ORDER BY bucket
SETTINGS short_circuit_function_evaluation = 'force_enable'
