-- Builder, logs, with a message filter: a substring, for which no index serves.
SELECT Timestamp AS timestamp, Body AS body, SeverityText AS level
FROM otel_logs
WHERE ( timestamp >= toDateTime({from:UInt32}) AND timestamp <= toDateTime({to:UInt32}) ) AND (body LIKE '%onnection timeou%')
ORDER BY timestamp DESC LIMIT 1000
