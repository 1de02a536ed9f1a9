-- What took longer than a second in this time?
SELECT TraceId, ServiceName, Duration/1000000 AS DurationMs, StatusCode
FROM otel_traces WHERE Duration > 1000000000 AND Timestamp >= {from:DateTime} AND Timestamp < {to:DateTime} ORDER BY Timestamp DESC
