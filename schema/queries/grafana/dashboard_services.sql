-- Dashboards: the services to choose from.
SELECT DISTINCT ServiceName FROM otel_traces WHERE Timestamp >= toDateTime({from:UInt32}) AND Timestamp <= toDateTime({to:UInt32}) ORDER BY ServiceName
