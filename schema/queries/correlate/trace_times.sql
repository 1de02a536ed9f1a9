-- When a trace was, to the second.
SELECT min(Start) AS begins, max(End) AS ends FROM otel_traces_trace_id_ts WHERE TraceId = {trace:String}
