-- How large is each table, on which disk, how well compressed, since when, and until when?
SELECT table, disk_name, sum(rows) AS row_count, formatReadableSize(sum(bytes_on_disk)) AS size, round(sum(data_uncompressed_bytes) / sum(data_compressed_bytes), 1) AS ratio,
    sum(bytes_on_disk) / row_count AS bytes_a_row, min(partition) AS oldest, max(delete_ttl_info_max) AS expires
FROM system.parts
WHERE active AND database = currentDatabase()
GROUP BY table, disk_name
ORDER BY sum(bytes_on_disk) DESC
