-- Builder, logs, column map 1.29.0: what "auto" picks because there is a column TimestampTime.
SELECT Timestamp AS timestamp, Body AS body, SeverityText AS level, TraceId AS traceID, ResourceAttributes, ScopeAttributes, LogAttributes
FROM otel_logs
WHERE ( TimestampTime >= toDateTime({from:UInt32}) AND TimestampTime <= toDateTime({to:UInt32}) )
ORDER BY (TimestampTime, timestamp) DESC LIMIT 1000
