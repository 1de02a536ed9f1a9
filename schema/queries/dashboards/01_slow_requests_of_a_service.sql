-- Which requests to one service took longer than a second?
SELECT Timestamp, TraceId, SpanName, Duration / 1e6 AS DurationMs, StatusCode
FROM otel_traces
WHERE ServiceName = {service:String} AND SpanKind = 'Server'
    AND Timestamp >= {from:DateTime} AND Timestamp < {to:DateTime} AND Duration > 1000000000
ORDER BY Timestamp DESC
LIMIT 100
