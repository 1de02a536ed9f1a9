-- Builder: the keys of a map, from the whole table.
SELECT DISTINCT arrayJoin(mapKeys(LogAttributes)) AS keys FROM otel_logs LIMIT 1000
