-- Search for an attribute: the UI reads the text index of its key=value.
SELECT Timestamp, ServiceName, Body FROM otel_logs
WHERE (Timestamp >= fromUnixTimestamp64Milli({day_ms:Int64}) AND Timestamp <= fromUnixTimestamp64Milli({day_to_ms:Int64}))
    AND has(`LogAttributeItems`, concat('user.id', '=', '4711'))
ORDER BY Timestamp DESC LIMIT 200
