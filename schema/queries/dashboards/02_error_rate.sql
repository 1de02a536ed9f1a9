-- Which share of the requests to each service fails, minute by minute?
SELECT toStartOfMinute(Timestamp) AS minute, ServiceName, countIf(StatusCode = 'Error') / count() AS rate
FROM otel_traces
WHERE Timestamp >= {from:DateTime} AND Timestamp < {to:DateTime} AND SpanKind IN ('Server', 'Consumer')
GROUP BY minute, ServiceName
ORDER BY minute, ServiceName
