-- From a metric to exemplars: requests that were among its slowest.
SELECT time, value, TraceId, SpanId
FROM otel_metrics_histogram
ARRAY JOIN Exemplars.Value AS value, Exemplars.TraceId AS TraceId, Exemplars.SpanId AS SpanId, Exemplars.TimeUnix AS time
WHERE MetricName = 'http.server.request.duration' AND ServiceName = {service:String} AND TimeUnix >= {from:DateTime} AND TimeUnix < {to:DateTime} AND TraceId != ''
ORDER BY value DESC
LIMIT 5
