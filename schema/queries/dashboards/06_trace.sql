-- The spans of a trace.
WITH
    (SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId = {trace:String}) AS begins,
    (SELECT max(End) + 1 FROM otel_traces_trace_id_ts WHERE TraceId = {trace:String}) AS ends
SELECT Timestamp, SpanId, ParentSpanId, ServiceName, SpanName, SpanKind, Duration / 1e6 AS DurationMs, StatusCode
FROM otel_traces
WHERE TraceId = {trace:String} AND Timestamp >= begins AND Timestamp <= ends
ORDER BY Timestamp
