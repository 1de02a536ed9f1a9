-- A quantile of a cumulative histogram, interpolated within its bucket.
SELECT interval, bounds, sumForEach(growth) AS counts, arrayCumSum(counts) AS below, {q:Float64} * below[-1] AS rank,
    arrayFirstIndex(c -> c >= rank, below) AS bucket,
    if(bucket > length(bounds), bounds[-1],
        bounds[bucket - 1] + (bounds[bucket] - bounds[bucket - 1]) * (rank - below[bucket - 1]) / counts[bucket]) AS value
FROM (
    SELECT toStartOfFiveMinutes(TimeUnix) AS interval, ExplicitBounds AS bounds, arrayMap(c -> toInt64(c), BucketCounts) AS now,
        lagInFrame(now) OVER (PARTITION BY cityHash64(ResourceAttributes, ScopeName, Attributes), ExplicitBounds ORDER BY TimeUnix) AS before,
        multiIf(empty(before), arrayMap(c -> 0, now), now[-1] < before[-1] OR arraySum(now) < arraySum(before), now, now - before) AS growth
    FROM otel_metrics_histogram
    WHERE MetricName = 'http.server.request.duration' AND ServiceName = {service:String} AND AggregationTemporality = 2
        AND TimeUnix >= {from:DateTime} - INTERVAL 5 MINUTE AND TimeUnix < {to:DateTime}
)
WHERE interval >= {from:DateTime}
GROUP BY interval, bounds
ORDER BY interval
