-- Search for a resource attribute: the UI reads the materialized column in its place.
SELECT Timestamp, Body FROM otel_logs
WHERE (Timestamp >= fromUnixTimestamp64Milli({from_ms:Int64}) AND Timestamp <= fromUnixTimestamp64Milli({to_ms:Int64}))
    AND (`__otel_materialized_k8s.namespace.name` = 'fraud')
ORDER BY Timestamp DESC LIMIT 200
