-- Two gauges of each pod of the web services, five a service, a point a minute.
INSERT INTO otel_metrics_gauge (ResourceAttributes, ScopeName, ServiceName, MetricName, MetricDescription, MetricUnit, Attributes, StartTimeUnix, TimeUnix, Value)
WITH
    (SELECT groupArray(name) FROM (SELECT name FROM services ORDER BY id)) AS names,
    intDiv(number, 2880) AS series,
    number % 2880 AS minute,
    series % 12 AS service,
    intDiv(series, 12) % 5 AS pod,
    intDiv(series, 60) AS metric
SELECT
    map('k8s.pod.name', concat(names[service + 1], '-', toString(pod)), 'service.name', names[service + 1]),
    'io.opentelemetry.runtime',
    names[service + 1],
    ['process.memory.usage', 'process.cpu.utilization'][metric + 1],
    ['Memory in use', 'Share of a core'][metric + 1],
    ['By', '1'][metric + 1],
    [map(), map('cpu.mode', 'user')][metric + 1],
    '2026-11-19 23:00:00',
    toDateTime('2026-11-20 00:00:00') + 60 * minute,
    if(metric = 0, 1e8 * (service + 1 + pod) + 1e6 * (minute % 60), (service + minute % 10) / 100)
FROM numbers(345600)
