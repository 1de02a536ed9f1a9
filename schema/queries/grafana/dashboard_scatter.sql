-- Dashboard "traces explorer": one span in five hundred.
SELECT toStartOfInterval(Timestamp, INTERVAL 60 second) AS time, Duration / 1000000 AS duration_ms
FROM otel_traces
WHERE Timestamp >= toDateTime({from:UInt32}) AND Timestamp <= toDateTime({to:UInt32}) AND ServiceName IN ({service:String}) AND 1=1 AND cityHash64(SpanId) % 500 = 0
ORDER BY time
