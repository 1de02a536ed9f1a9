-- Dashboard "traces explorer": traces with a slow span.
SELECT TraceId, any(ServiceName) AS Service, any(SpanName) AS RootOperation, min(Timestamp) AS Time, max(Duration) AS Duration, count() AS Spans,
    anyIf(StatusCode, StatusCode IN ('Error', 'STATUS_CODE_ERROR')) AS Status
FROM otel_traces
WHERE Timestamp >= toDateTime({from:UInt32}) AND Timestamp <= toDateTime({to:UInt32}) AND 1=1 AND 1=1 AND 1=1 AND 1=1
GROUP BY TraceId
HAVING max(Duration) >= toUInt64('1000') * 1000000
ORDER BY Time DESC LIMIT 200
