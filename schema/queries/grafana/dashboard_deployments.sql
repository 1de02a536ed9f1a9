-- All three dashboards: when a service's version changed.
SELECT time, ServiceName AS tags, concat(ServiceName, ' deployed ', version) AS text
FROM (
    SELECT toStartOfInterval(Timestamp, INTERVAL 30 second) AS time, ServiceName, topK(1)(ResourceAttributes['service.version'])[1] AS version,
        lagInFrame(topK(1)(ResourceAttributes['service.version'])[1]) OVER (PARTITION BY ServiceName ORDER BY time) AS prev_version
    FROM otel_traces
    WHERE Timestamp >= toDateTime({deploy_from:UInt32}) AND Timestamp <= toDateTime({deploy_to:UInt32}) AND ServiceName = {service:String} AND ResourceAttributes['service.version'] != ''
    GROUP BY ServiceName, time ORDER BY ServiceName, time
)
WHERE prev_version != '' AND prev_version != version
ORDER BY time
