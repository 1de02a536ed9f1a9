-- A histogram of each pod of the web services. Each minute adds the same 100 values; those of a service's first pod carry the minute's first
-- request as an exemplar.
INSERT INTO otel_metrics_histogram (
    ResourceAttributes, ScopeName, ServiceName, MetricName, MetricDescription, MetricUnit, Attributes, StartTimeUnix, TimeUnix, Count, Sum, BucketCounts, ExplicitBounds,
    Exemplars.FilteredAttributes, Exemplars.TimeUnix, Exemplars.Value, Exemplars.SpanId, Exemplars.TraceId, Min, Max, AggregationTemporality)
WITH
    points + 1 AS n
SELECT
    map('k8s.pod.name', concat(name, '-', toString(pod)), 'service.name', name),
    'io.opentelemetry.http',
    name,
    'http.server.request.duration',
    'Duration of requests',
    'ms',
    map('http.request.method', 'GET'),
    toDateTime('2026-11-20 00:00:00') + 60 * (toInt32(minute - points) - 1),
    toDateTime('2026-11-20 00:00:00') + 60 * minute,
    100 * n,
    4710 * n,
    arrayMap(c -> c * n, [10, 20, 30, 20, 10, 5, 3, 1, 1]),
    [5, 10, 25, 50, 100, 250, 500, 1000],
    if(trace = '', [], [map('user.id', toString(cityHash64(request, 'user') % 50000))]),
    if(trace = '', [], [began]),
    if(trace = '', [], [took / 1000000]),
    if(trace = '', [], [leftPad(lower(hex(cityHash64(request, 1))), 16, '0')]),
    if(trace = '', [], [trace]),
    1,
    1500,
    2
FROM (
    SELECT id, name, pod, number AS minute, number % (900 + 12 * pod + id) AS points
    FROM (SELECT id, name, arrayJoin(range(5)) AS pod FROM services WHERE id < 12) AS pods
    CROSS JOIN numbers(2880) AS minutes
) AS point
LEFT JOIN (
    SELECT web, toUInt64(intDiv(toUnixTimestamp(begins) - toUnixTimestamp('2026-11-20 00:00:00'), 60) + 1) AS minute,
        argMin(id, begins) AS request, argMin(trace, begins) AS trace, toDateTime(min(begins)) AS began, argMin(took, begins) AS took
    FROM requests GROUP BY web, minute
) AS exemplar ON exemplar.web = point.id AND exemplar.minute = point.minute AND point.pod = 0
