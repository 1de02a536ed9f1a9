-- Which exceptions, and where?
SELECT ServiceName, attributes['exception.type'] AS type, count() AS times, any(attributes['exception.message']) AS message
FROM otel_traces
ARRAY JOIN Events.Name AS event, Events.Attributes AS attributes
WHERE Timestamp >= {from:DateTime} AND Timestamp < {to:DateTime} AND StatusCode = 'Error' AND event = 'exception'
GROUP BY ServiceName, type
ORDER BY times DESC, ServiceName, type
