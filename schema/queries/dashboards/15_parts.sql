-- The partitions with the most parts; INSERTs are delayed from 1000 and refused from 3000.
SELECT table, partition, count() AS parts, sum(rows) AS row_count
FROM system.parts
WHERE active AND database = currentDatabase()
GROUP BY table, partition
ORDER BY parts DESC
LIMIT 10
