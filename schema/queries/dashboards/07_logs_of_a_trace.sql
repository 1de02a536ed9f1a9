-- The lines of a trace, from all its services.
WITH
    (SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId = {trace:String}) AS begins,
    (SELECT max(End) FROM otel_traces_trace_id_ts WHERE TraceId = {trace:String}) AS ends
SELECT Timestamp, ServiceName, SpanId, SeverityText, Body
FROM otel_logs
WHERE TraceId = {trace:String} AND Timestamp >= begins - INTERVAL 1 MINUTE AND Timestamp <= ends + INTERVAL 1 MINUTE
ORDER BY Timestamp
