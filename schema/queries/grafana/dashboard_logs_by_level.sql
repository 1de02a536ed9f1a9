-- Dashboard "logs explorer": lines by level.
SELECT toStartOfInterval(Timestamp, INTERVAL 60 second) AS time, SeverityText AS metric, count() AS count
FROM otel_logs
WHERE Timestamp >= toDateTime({from:UInt32}) AND Timestamp <= toDateTime({to:UInt32}) AND 1=1 AND 1=1 AND 1=1
GROUP BY time, metric ORDER BY time
