-- Builder, traces, search: root spans of a service, the slowest first.
SELECT "TraceId" AS traceID, "ServiceName" AS serviceName, "SpanName" AS operationName, "Timestamp" AS startTime, multiply("Duration", 0.000001) AS duration
FROM otel_traces
WHERE ( Timestamp >= toDateTime({from:UInt32}) AND Timestamp <= toDateTime({to:UInt32}) ) AND ( ParentSpanId = '' ) AND ( Duration > 0 ) AND ( ServiceName = {service:String} )
ORDER BY Timestamp DESC, Duration DESC LIMIT 1000
