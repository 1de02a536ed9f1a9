-- Which parts moved to colder disks?
SELECT event_time, table, part_name, disk_name, formatReadableSize(size_in_bytes) AS size, duration_ms, error
FROM system.part_log
WHERE event_type = 'MovePart' AND event_date >= yesterday() AND database = currentDatabase()
ORDER BY event_time DESC
LIMIT 100
