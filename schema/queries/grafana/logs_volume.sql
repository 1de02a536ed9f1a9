-- The histogram above the logs.
SELECT toStartOfInterval(Timestamp, INTERVAL 1 MINUTE) AS "time",
    sum(multiSearchAny(toString("SeverityText"), ['erro', 'error', 'ERRO', 'ERROR', 'Erro', 'Error'])) AS error,
    sum(multiSearchAny(toString("SeverityText"), ['info', 'INFO', 'Info'])) AS info
FROM otel_logs
WHERE ( time >= toDateTime({from:UInt32}) AND time <= toDateTime({to:UInt32}) )
GROUP BY time ORDER BY time ASC
