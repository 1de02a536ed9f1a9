CREATE MATERIALIZED VIEW IF NOT EXISTS otel.otel_traces_trace_id_ts_mv TO otel.otel_traces_trace_id_ts AS
SELECT TraceId, toDate(Timestamp, 'UTC') AS Day, min(toDateTime(Timestamp)) AS Start, max(toDateTime(Timestamp)) AS End
FROM otel.otel_traces WHERE TraceId != '' GROUP BY TraceId, Day
