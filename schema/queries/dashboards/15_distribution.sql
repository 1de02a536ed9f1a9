-- What waits to be sent to other shards.
SELECT table, is_blocked, error_count, data_files, formatReadableSize(data_compressed_bytes) AS size, last_exception
FROM system.distribution_queue
WHERE database = currentDatabase()
