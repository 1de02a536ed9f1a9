-- Lines with all these words, in any case and order.
SELECT Timestamp, ServiceName, SeverityText, Body
FROM otel_logs
WHERE hasAllTokens(lower(Body), lower({words:String})) AND Timestamp >= {day:Date} AND Timestamp < {day:Date} + INTERVAL 1 DAY
ORDER BY Timestamp DESC
LIMIT 1000
