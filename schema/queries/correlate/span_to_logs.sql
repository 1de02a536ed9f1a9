-- From a span to its lines: the span's ids and time come with the span.
SELECT Timestamp, SeverityText, Body
FROM otel_logs
WHERE TraceId = {trace:String} AND SpanId = {span:String}
    AND Timestamp >= {at:DateTime64(9)} - INTERVAL 1 MINUTE AND Timestamp <= addNanoseconds({at:DateTime64(9)}, {lasted:UInt64}) + INTERVAL 1 MINUTE
ORDER BY Timestamp
