-- Who calls whom, how often, with how many errors?
SELECT caller.ServiceName AS client, callee.ServiceName AS server, count() AS calls, countIf(callee.StatusCode = 'Error') AS errors
FROM
    (SELECT TraceId, SpanId, ServiceName FROM otel_traces
     WHERE Timestamp >= {from:DateTime} AND Timestamp < {from:DateTime} + INTERVAL 15 MINUTE AND SpanKind IN ('Client', 'Producer')) AS caller
INNER JOIN
    (SELECT TraceId, ParentSpanId, ServiceName, StatusCode FROM otel_traces
     WHERE Timestamp >= {from:DateTime} AND Timestamp < {from:DateTime} + INTERVAL 15 MINUTE AND SpanKind IN ('Server', 'Consumer')) AS callee
ON caller.TraceId = callee.TraceId AND caller.SpanId = callee.ParentSpanId
WHERE client != server
GROUP BY client, server
ORDER BY calls DESC, client, server
