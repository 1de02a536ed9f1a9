-- Which services log this exception?
SELECT ServiceName, count() AS times
FROM otel_logs
WHERE has(LogAttributeItems, 'exception.type=java.net.SocketTimeoutException') AND Timestamp >= {day:Date} AND Timestamp < {day:Date} + INTERVAL 1 DAY
GROUP BY ServiceName
ORDER BY times DESC, ServiceName
