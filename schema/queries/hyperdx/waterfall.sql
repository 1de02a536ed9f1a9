-- The waterfall of a trace, around the time of the span that was clicked.
SELECT SpanName AS Body, Timestamp AS Timestamp, SpanId AS SpanId, ServiceName AS ServiceName, (Duration)/1e9 AS Duration, ParentSpanId AS ParentSpanId,
    StatusCode AS StatusCode, SpanAttributes AS SpanAttributes, Events.Attributes AS SpanEvents
FROM otel_traces
WHERE (Timestamp >= fromUnixTimestamp64Milli({around_from_ms:Int64}) AND Timestamp <= fromUnixTimestamp64Milli({around_to_ms:Int64})) AND (TraceId = {trace:String})
LIMIT 50000
