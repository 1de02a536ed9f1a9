-- Two cumulative counters of each pod of the web services, which restart after 700 minutes and more, and one of differences in the services of the last tier.
INSERT INTO otel_metrics_sum (ResourceAttributes, ScopeName, ServiceName, MetricName, MetricDescription, MetricUnit, Attributes, StartTimeUnix, TimeUnix, Value, AggregationTemporality, IsMonotonic)
WITH
    (SELECT groupArray(name) FROM (SELECT name FROM services ORDER BY id)) AS names,
    intDiv(number, 2880) AS series,
    number % 2880 AS minute,
    series < 120 AS cumulative,
    if(cumulative, series % 12, series - 72) AS service,
    if(cumulative, intDiv(series, 12) % 5, 0) AS pod,
    minute - minute % (700 + series) AS restarted
SELECT
    map('k8s.pod.name', concat(names[service + 1], '-', toString(pod)), 'service.name', names[service + 1]),
    'io.opentelemetry.http',
    names[service + 1],
    if(cumulative, 'http.server.requests', 'messaging.process.messages'),
    if(cumulative, 'Requests since the start', 'Messages since the last point'),
    if(cumulative, '{request}', '{message}'),
    if(cumulative, map('http.request.method', ['GET', 'POST'][intDiv(series, 60) + 1]), map('messaging.system', 'kafka')),
    toDateTime('2026-11-20 00:00:00') + 60 * if(cumulative, restarted - 1, minute - 1),
    toDateTime('2026-11-20 00:00:00') + 60 * minute,
    if(cumulative, (minute - restarted + 1) * (service + 1) * [60, 6][intDiv(series, 60) + 1], 30),
    if(cumulative, 2, 1),
    true
FROM numbers(380160)
