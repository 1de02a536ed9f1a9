-- Dashboard "service": errors by operation.
SELECT SpanName AS Operation, SpanKind AS Kind, StatusMessage AS Error, count() AS Count, max(Timestamp) AS "Last Seen"
FROM otel_traces
WHERE Timestamp >= toDateTime({from:UInt32}) AND Timestamp <= toDateTime({to:UInt32}) AND ServiceName = {service:String} AND StatusCode IN ('Error', 'STATUS_CODE_ERROR') AND 1=1
GROUP BY SpanName, SpanKind, StatusMessage ORDER BY Count DESC LIMIT 20
