-- How much a second does a cumulative counter grow, over its restarts?
SELECT toStartOfFiveMinutes(TimeUnix) AS interval, ServiceName, sum(growth) / 300 AS rate
FROM (
    SELECT TimeUnix, ServiceName, Value AS v,
        lagInFrame(toNullable(Value)) OVER (PARTITION BY cityHash64(ServiceName, ResourceAttributes, ScopeName, Attributes) ORDER BY TimeUnix) AS before,
        multiIf(before IS NULL, 0, v >= before, v - before, v) AS growth
    FROM otel_metrics_sum
    WHERE MetricName = 'http.server.requests' AND AggregationTemporality = 2
        AND TimeUnix >= {from:DateTime} - INTERVAL 5 MINUTE AND TimeUnix < {to:DateTime}
)
WHERE interval >= {from:DateTime}
GROUP BY interval, ServiceName
ORDER BY ServiceName, interval
