-- Three to nine spans a request, of one day. A request to a service of the domain catalog is one that stands for four.
INSERT INTO otel_traces (
    Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, ScopeName, ScopeVersion, SpanAttributes,
    Duration, StatusCode, StatusMessage, Events.Timestamp, Events.Name, Events.Attributes)
WITH
    (SELECT groupArray(name) FROM (SELECT name FROM services ORDER BY id)) AS names,
    (SELECT groupArray(domain) FROM (SELECT domain FROM services ORDER BY id)) AS domains,
    [1, 1, 2, 2, 2, 3, 3, 4, 5][span] AS hop,
    [0, 1, 2, 3, 3, 5, 6, 7, 8][span] AS parent,
    [0, 1, 2, 3, 3, 4, 5, 6, 7][span] AS depth,
    ['Server', 'Client', 'Server', 'Client', 'Client', 'Server', 'Producer', 'Consumer', 'Internal'][span] AS kind,
    hops[hop] + 1 AS service,
    domains[service] AS domain,
    ['GET', 'GET', 'POST', 'GET', 'PUT', 'DELETE', 'GET', 'PATCH'][operation + 1] AS method,
    concat('/', domain, ['', '/{id}', '', '/search', '/{id}', '/{id}', '/recent', '/{id}/items'][operation + 1]) AS route,
    ['SELECT', 'SELECT', 'INSERT', 'SELECT', 'UPDATE', 'DELETE', 'SELECT', 'UPDATE'][operation + 1] AS statement,
    cityHash64(id, 'user') % 50000 AS user,
    cityHash64(id, service, 'pod') % 3 AS pod,
    addNanoseconds(begins, toInt64(took * 0.05 * depth)) AS at,
    toUInt64(took * (1 - 0.11 * depth)) AS lasted,
    ['NullPointerException', 'IllegalStateException', 'UnsupportedOperationException'][id % 3 + 1] AS exception,
    failed AND span <= 3 AS error,
    error AND span = 3 AS raised
SELECT
    at,
    trace,
    leftPad(lower(hex(cityHash64(id, span))), 16, '0'),
    if(parent = 0, '', leftPad(lower(hex(cityHash64(id, parent))), 16, '0')),
    multiIf(
        kind = 'Server', concat(method, ' ', route),
        span = 2, method,
        kind = 'Client', concat(statement, ' ', domain),
        kind = 'Internal', concat('render ', domain),
        concat(lower(kind), ' ', domain)),
    kind,
    names[service],
    map(
        'host.name', concat('node-', toString((service * 3 + pod) % 20)),
        'k8s.cluster.name', 'eu-1',
        'k8s.namespace.name', domain,
        'k8s.pod.name', concat(names[service], '-', lower(hex(cityHash64(service, pod)))),
        'service.name', names[service],
        'service.version', concat('1.', toString(service % 7), '.', if(begins < '2026-11-21 09:30:00', '3', '4'))),
    'io.opentelemetry.contrib',
    '2.11.0',
    mapSort(mapConcat(
        multiIf(
            kind = 'Server', map(
                'http.request.method', method,
                'http.response.status_code', if(error, '500', '200'),
                'http.route', route,
                'url.path', replaceOne(route, '{id}', toString(user * 7))),
            span = 2, map(
                'http.request.method', method,
                'http.response.status_code', if(error, '500', '200'),
                'server.address', names[hops[2] + 1]),
            kind = 'Client', map(
                'db.namespace', domain,
                'db.query.text', concat(statement, ' ', domain, ' WHERE id = ?'),
                'db.system.name', 'postgresql',
                'server.address', concat(domain, '-db-', toString(pod))),
            kind = 'Internal', map('code.function.name', concat('render_', domain)),
            map('messaging.destination.name', domain, 'messaging.system', 'kafka')),
        map('user.id', toString(user)),
        if(web % 12 = 0, map('SampleRate', '4'), map()))),
    lasted,
    if(error, 'Error', 'Unset'),
    if(error, if(slow, 'connection timeout', 'internal error'), ''),
    if(raised, [addNanoseconds(at, toInt64(lasted * 0.9))], []),
    if(raised, ['exception'], []),
    if(raised, [map(
        'exception.message', if(slow, concat('connection timeout after 30000 ms to ', domain, '-db'), concat('cannot read ', domain, ' of user ', toString(user))),
        'exception.stacktrace', concat('at ', domain, '.Handler.serve(Handler.java:', toString(40 + operation), ')\nat io.runtime.Worker.run(Worker.java:112)'),
        'exception.type', if(slow, 'java.net.SocketTimeoutException', concat('java.lang.', exception)))], [])
FROM requests ARRAY JOIN range(1, spans + 1) AS span
WHERE toDate(begins) = {day:Date}
