-- The growth of a histogram's buckets by series.
SELECT bucket, ExplicitBounds, sumForEach(deltas) AS rates
FROM (
    SELECT toStartOfInterval(toDateTime(TimeUnix), INTERVAL 1 minute) AS bucket, ExplicitBounds, series,
        any(series) OVER previous AS before, any(counts) OVER previous AS counts_before, count() OVER previous = 0 OR before != series AS first,
        multiIf(AggregationTemporality = 2 AND first, arrayWithConstant(length(counts), toInt64(0)),
            AggregationTemporality = 1 OR arrayExists(x -> x.2 < x.1, arrayZip(counts_before, counts)), counts, counts - counts_before) AS deltas
    FROM (
        SELECT TimeUnix, AggregationTemporality, ExplicitBounds, cityHash64(ScopeAttributes, ResourceAttributes, Attributes) AS series, CAST(BucketCounts AS Array(Int64)) AS counts
        FROM otel_metrics_histogram
        WHERE (TimeUnix >= fromUnixTimestamp64Milli({from_ms:Int64}) AND TimeUnix <= fromUnixTimestamp64Milli({to_ms:Int64})) AND ((MetricName = 'http.server.request.duration'))
        ORDER BY series, TimeUnix ASC
    )
    WINDOW previous AS (ORDER BY series, TimeUnix ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)
)
GROUP BY bucket, ExplicitBounds ORDER BY bucket
SETTINGS short_circuit_function_evaluation = 'force_enable'
