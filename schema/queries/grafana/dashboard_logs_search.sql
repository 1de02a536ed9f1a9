-- Dashboard "logs explorer": lines of a service with a substring.
SELECT Timestamp AS timestamp, Body AS body, SeverityText AS level, ServiceName, TraceId, SpanId,
    ResourceAttributes['service.namespace'] AS namespace, ResourceAttributes['k8s.pod.name'] AS k8s_pod
FROM otel_logs
WHERE Timestamp >= toDateTime({from:UInt32}) AND Timestamp <= toDateTime({to:UInt32})
    AND ServiceName = {service:String} AND SeverityText IN ('ERROR') AND positionCaseInsensitive(Body, 'connection timeout') > 0
ORDER BY Timestamp DESC LIMIT 200
