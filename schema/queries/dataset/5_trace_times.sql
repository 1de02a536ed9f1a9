-- What our writer does while it inserts spans.
INSERT INTO otel_traces_trace_id_ts
SELECT TraceId, min(toDateTime(Timestamp)) AS Start, max(toDateTime(Timestamp)) AS End, toDate(Timestamp, 'UTC') AS Day
FROM otel_traces GROUP BY TraceId, Day
