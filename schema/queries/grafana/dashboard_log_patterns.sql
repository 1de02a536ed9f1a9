-- Dashboard "logs explorer": warnings and errors with their ids taken out.
SELECT SeverityText AS Level, ServiceName AS Service, replaceRegexpAll(Body, '(userId|orderId|requestId)=[a-zA-Z0-9-]+', '\1=…') AS Message, count() AS Count
FROM otel_logs
WHERE Timestamp >= toDateTime({from:UInt32}) AND Timestamp <= toDateTime({to:UInt32})
    AND SeverityText IN ('ERROR', 'WARN', 'FATAL', 'Error', 'Warning', 'error', 'warning', 'fatal', 'CRITICAL') AND 1=1 AND 1=1
GROUP BY Level, Service, Message ORDER BY Count DESC LIMIT 20
