-- Requests a second, share of errors and 95th percentile of a service, minute by minute; a sampled span counts for those that it stands for.
SELECT toStartOfMinute(Timestamp) AS minute, sum(SampleRate) / 60 AS requests, sumIf(SampleRate, StatusCode = 'Error') / sum(SampleRate) AS errors,
    quantileTDigestWeighted(0.95)(Duration / 1e6, toUInt32(SampleRate)) AS ms
FROM otel_traces
WHERE ServiceName = {service:String} AND SpanKind = 'Server' AND Timestamp >= {from:DateTime} AND Timestamp < {to:DateTime}
GROUP BY minute
ORDER BY minute
