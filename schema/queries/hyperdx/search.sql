-- Search for words: the bucket of the primary key is added by the UI, then all words by the text index, then their order by LIKE.
SELECT Timestamp, ServiceName, SeverityText, Body, toDate(Timestamp, 'UTC'), toStartOfFiveMinutes(Timestamp), _block_number, _block_offset
FROM otel_logs
WHERE (Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64}) AND Timestamp <= fromUnixTimestamp64Milli({to_ms:Int64}))
    AND ((hasAllTokens(lower(Body), lower('Connection timeout')) AND (lower(Body) LIKE lower('%Connection timeout%'))))
ORDER BY (toStartOfFiveMinutes(Timestamp), Timestamp) DESC LIMIT 200 OFFSET 0
