-- Six lines a request, of one day: four from its spans, two that belong to no trace.
INSERT INTO otel_logs (
    Timestamp, ObservedDelay, TraceId, SpanId, TraceFlags, SeverityText, SeverityNumber, ServiceName, Body, ResourceAttributes, ScopeName, LogAttributes)
WITH
    (SELECT groupArray(name) FROM (SELECT name FROM services ORDER BY id)) AS names,
    (SELECT groupArray(domain) FROM (SELECT domain FROM services ORDER BY id)) AS domains,
    line <= 4 AS traced,
    (line - 1) % spans + 1 AS span,
    if(traced, hops[[1, 1, 2, 2, 2, 3, 3, 4, 5][span]], cityHash64(id, line, 'service') % 60) + 1 AS service,
    domains[service] AS domain,
    cityHash64(id, line) AS dice,
    cityHash64(id, 'user') % 50000 AS user,
    cityHash64(id, service, 'pod') % 3 AS pod,
    multiIf(
        traced AND slow AND line <= 2, 9,
        traced AND failed AND line = 3, 8,
        traced AND line = 1, 1,
        traced, 2 + dice % 3,
        5 + dice % 3) AS template,
    ['NullPointerException', 'IllegalStateException', 'UnsupportedOperationException'][id % 3 + 1] AS exception,
    multiIf(template >= 8, 'ERROR', template = 7, 'WARN', template IN (2, 5), 'DEBUG', 'INFO') AS severity
SELECT
    addNanoseconds(begins, if(traced, toInt64(took * 0.2 * line), dice % 490000000)),
    1000000 + 1000 * (dice % 3),
    if(traced, trace, ''),
    if(traced, leftPad(lower(hex(cityHash64(id, span))), 16, '0'), ''),
    traced,
    severity,
    transform(severity, ['DEBUG', 'INFO', 'WARN', 'ERROR'], [5, 9, 13, 17], 0),
    names[service],
    [
        concat('request completed: 200 in ', toString(intDiv(took, 1000000)), ' ms'),
        concat('cache miss for ', domain, ':', toString(user), ', loading from store'),
        concat('user ', toString(user), ' opened ', domain, ' ', toString(dice % 1000000)),
        concat('retrying publish of ', domain, ' event, attempt ', toString(dice % 4)),
        concat('connection pool ', toString(dice % 64), '/64 in use'),
        concat('GC pause ', toString(dice % 40), ' ms, heap ', toString(dice % 2048), ' MiB'),
        concat('idle timeout after 300 s, session ', lower(hex(dice % 1048576)), ' closed'),
        concat('cannot read ', domain, ' of user ', toString(user), ': java.lang.', exception),
        concat('Connection timeout after 30000 ms to ', domain, '-db')
    ][template],
    map(
        'host.name', concat('node-', toString((service * 3 + pod) % 20)),
        'k8s.cluster.name', 'eu-1',
        'k8s.namespace.name', domain,
        'k8s.pod.name', concat(names[service], '-', lower(hex(cityHash64(service, pod)))),
        'service.name', names[service],
        'service.version', concat('1.', toString(service % 7), '.', if(begins < '2026-11-21 09:30:00', '3', '4'))),
    'io.logback',
    multiIf(
        template >= 8, map(
            'exception.type', if(template = 9, 'java.net.SocketTimeoutException', concat('java.lang.', exception)),
            'thread.name', concat('worker-', toString(dice % 16)),
            'user.id', toString(user)),
        traced, map('thread.name', concat('worker-', toString(dice % 16)), 'user.id', toString(user)),
        map('thread.name', 'main'))
FROM requests ARRAY JOIN range(1, 7) AS line
WHERE toDate(begins) = {day:Date}
