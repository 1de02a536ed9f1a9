-- Search for a span's attribute: these have no items, so the UI asks the map.
SELECT Timestamp, ServiceName, SpanName FROM otel_traces
WHERE (Timestamp >= fromUnixTimestamp64Milli({day_ms:Int64}) AND Timestamp <= fromUnixTimestamp64Milli({day_to_ms:Int64}))
    AND (`SpanAttributes`['user.id'] = '4711')
ORDER BY Timestamp DESC LIMIT 200
