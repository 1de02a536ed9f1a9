-- Dashboard "traces explorer": who calls whom.
SELECT concat(parent.ServiceName, '-', child.ServiceName) AS id, parent.ServiceName AS source, child.ServiceName AS target, concat(toString(count()), ' calls') AS mainstat
FROM otel_traces AS child
INNER JOIN otel_traces AS parent ON child.ParentSpanId = parent.SpanId AND child.TraceId = parent.TraceId
WHERE child.Timestamp >= toDateTime({from:UInt32}) AND child.Timestamp <= toDateTime({to:UInt32})
    AND parent.Timestamp >= toDateTime({from:UInt32}) AND parent.Timestamp <= toDateTime({to:UInt32})
    AND parent.ServiceName != child.ServiceName
GROUP BY source, target ORDER BY count() DESC LIMIT 50
