-- Dashboard "service": rate, errors and quantiles of what a service serves.
SELECT toStartOfInterval(Timestamp, INTERVAL 60 second) AS time, count() / 60 AS rps, countIf(StatusCode IN ('Error', 'STATUS_CODE_ERROR')) / count() AS error_rate,
    quantile(0.5)(Duration) AS p50, quantile(0.9)(Duration) AS p90, quantile(0.99)(Duration) AS p99
FROM otel_traces
WHERE Timestamp >= toDateTime({from:UInt32}) AND Timestamp <= toDateTime({to:UInt32}) AND ServiceName = {service:String} AND SpanKind = 'Server' AND 1=1 AND 1=1
GROUP BY time ORDER BY time
