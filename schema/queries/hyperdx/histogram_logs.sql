-- The histogram above the search: lines by severity.
SELECT count(), SeverityText, toStartOfInterval(toDateTime(Timestamp), INTERVAL 1 minute) AS `__hdx_time_bucket`
FROM otel_logs
WHERE (Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64}) AND Timestamp <= fromUnixTimestamp64Milli({to_ms:Int64}))
GROUP BY SeverityText, toStartOfInterval(toDateTime(Timestamp), INTERVAL 1 minute) AS `__hdx_time_bucket`
ORDER BY toStartOfInterval(toDateTime(Timestamp), INTERVAL 1 minute) AS `__hdx_time_bucket`
