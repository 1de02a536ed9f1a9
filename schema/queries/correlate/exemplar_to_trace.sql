-- From the slowest exemplar to its trace.
WITH
    (SELECT argMax(TraceId, value) FROM otel_metrics_histogram ARRAY JOIN Exemplars.Value AS value, Exemplars.TraceId AS TraceId
     WHERE MetricName = 'http.server.request.duration' AND ServiceName = {service:String} AND TimeUnix >= {from:DateTime} AND TimeUnix < {to:DateTime}) AS trace,
    (SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId = trace) AS begins,
    (SELECT max(End) + 1 FROM otel_traces_trace_id_ts WHERE TraceId = trace) AS ends
SELECT Timestamp, ServiceName, SpanName, SpanKind, Duration / 1e6 AS DurationMs, StatusCode
FROM otel_traces
WHERE TraceId = trace AND Timestamp >= begins AND Timestamp <= ends
ORDER BY Timestamp
