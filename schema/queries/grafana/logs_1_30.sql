-- Builder, logs, column map 1.30.0.
SELECT Timestamp AS timestamp, Body AS body, SeverityText AS level, TraceId AS traceID, ResourceAttributes, ScopeAttributes, LogAttributes
FROM otel_logs
WHERE ( timestamp >= toDateTime({from:UInt32}) AND timestamp <= toDateTime({to:UInt32}) )
ORDER BY timestamp DESC LIMIT 1000
