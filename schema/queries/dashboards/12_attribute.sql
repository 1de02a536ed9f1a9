-- Lines with this attribute.
SELECT Timestamp, ServiceName, Body
FROM otel_logs
WHERE has(LogAttributeItems, {item:String}) AND Timestamp >= {day:Date} AND Timestamp < {day:Date} + INTERVAL 1 DAY
ORDER BY Timestamp DESC
LIMIT 1000
