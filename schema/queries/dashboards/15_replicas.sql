-- Replicas that lag behind or refuse to write.
SELECT table, replica_name, is_readonly, absolute_delay, queue_size, log_max_index - log_pointer AS behind
FROM system.replicas
WHERE database = currentDatabase() AND (is_readonly OR absolute_delay > 60 OR queue_size > 100)
