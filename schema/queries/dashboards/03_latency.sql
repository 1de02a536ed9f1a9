-- How long do the operations of a service take?
SELECT SpanName, count() AS spans, quantilesTDigest(0.5, 0.95, 0.99)(Duration / 1e6) AS ms
FROM otel_traces
WHERE ServiceName = {service:String} AND Timestamp >= {from:DateTime} AND Timestamp < {to:DateTime}
GROUP BY SpanName
ORDER BY spans DESC
