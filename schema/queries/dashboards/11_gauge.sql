-- A gauge: its mean and its last value in each interval and series.
SELECT toStartOfInterval(TimeUnix, INTERVAL 1 HOUR) AS interval, ServiceName, Attributes, avg(Value) AS mean, argMax(Value, TimeUnix) AS last
FROM otel_metrics_gauge
WHERE MetricName = 'process.memory.usage' AND TimeUnix >= {from:DateTime} AND TimeUnix < {to:DateTime}
GROUP BY interval, ServiceName, ResourceAttributes, Attributes
ORDER BY interval, ServiceName
