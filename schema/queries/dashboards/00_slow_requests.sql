-- What took longer than a second?
SELECT TraceId, ServiceName, Duration/1000000 AS DurationMs, StatusCode
FROM otel_traces WHERE Duration > 1000000000 ORDER BY Timestamp DESC
