-- The same of a counter that reports differences.
SELECT toStartOfFiveMinutes(TimeUnix) AS interval, ServiceName, sum(Value) / 300 AS rate
FROM otel_metrics_sum
WHERE MetricName = 'messaging.process.messages' AND AggregationTemporality = 1 AND TimeUnix >= {from:DateTime} AND TimeUnix < {to:DateTime}
GROUP BY interval, ServiceName
ORDER BY ServiceName, interval
