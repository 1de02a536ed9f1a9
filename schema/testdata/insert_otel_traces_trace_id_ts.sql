INSERT INTO otel.otel_traces_trace_id_ts (TraceId, Start, End, Day)
