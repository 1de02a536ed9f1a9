-- How late do lines arrive?
SELECT ServiceName, quantile(0.95)(dateDiff('second', Timestamp, InsertedAt)) AS seconds
FROM otel_logs
WHERE InsertedAt >= {to:DateTime} - INTERVAL 5 MINUTE AND Timestamp >= {from:DateTime} AND Timestamp < {to:DateTime}
GROUP BY ServiceName
ORDER BY seconds DESC
