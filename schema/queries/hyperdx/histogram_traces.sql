-- The same over spans, of which each counts for those that it stands for.
SELECT sum(greatest(toUInt64OrZero(toString(SampleRate)), 1)), StatusCode, quantileTDigestWeighted(0.95)(Duration, toUInt32(greatest(toUInt64OrZero(toString(SampleRate)), 1))),
    toStartOfInterval(toDateTime(Timestamp), INTERVAL 1 minute) AS `__hdx_time_bucket`
FROM otel_traces
WHERE (Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64}) AND Timestamp <= fromUnixTimestamp64Milli({to_ms:Int64}))
GROUP BY StatusCode, toStartOfInterval(toDateTime(Timestamp), INTERVAL 1 minute) AS `__hdx_time_bucket`
ORDER BY toStartOfInterval(toDateTime(Timestamp), INTERVAL 1 minute) AS `__hdx_time_bucket`
