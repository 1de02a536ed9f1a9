-- Dashboard "traces explorer": the latest traces.
SELECT TraceId, any(ServiceName) AS Service, any(SpanName) AS RootOperation, min(Timestamp) AS Time, max(Duration) AS Duration, count() AS Spans,
    anyIf(StatusCode, StatusCode IN ('Error', 'STATUS_CODE_ERROR')) AS Status
FROM otel_traces
WHERE Timestamp >= toDateTime({from:UInt32}) AND Timestamp <= toDateTime({to:UInt32}) AND 1=1 AND 1=1 AND 1=1 AND 1=1
GROUP BY TraceId
HAVING 1=1
ORDER BY Time DESC LIMIT 200
