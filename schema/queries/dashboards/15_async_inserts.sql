-- INSERTs that the server collected, and failed to write.
SELECT event_time, table, format, status, rows, exception
FROM system.asynchronous_insert_log
WHERE event_date >= yesterday() AND status != 'Ok' AND database = currentDatabase()
ORDER BY event_time DESC
LIMIT 100
