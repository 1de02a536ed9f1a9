-- How many lines of each severity, minute by minute?
SELECT toStartOfMinute(Timestamp) AS minute, SeverityText, count() AS lines
FROM otel_logs
WHERE Timestamp >= {from:DateTime} AND Timestamp < {to:DateTime}
GROUP BY minute, SeverityText
ORDER BY minute, SeverityText
