-- Search for one word in one case.
SELECT Timestamp, Body FROM otel_logs
WHERE (toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes(fromUnixTimestamp64Milli({from_ms:Int64})) AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes(fromUnixTimestamp64Milli({to_ms:Int64})))
    AND (Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64}) AND Timestamp <= fromUnixTimestamp64Milli({to_ms:Int64}))
    AND (hasAllTokens(lower(Body), lower('UnsupportedOperationException')))
ORDER BY (toStartOfFiveMinutes(Timestamp), Timestamp) DESC LIMIT 200
