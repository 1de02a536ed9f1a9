-- Mutations that do not end.
SELECT table, mutation_id, command, create_time, parts_to_do, latest_fail_reason
FROM system.mutations
WHERE NOT is_done AND database = currentDatabase()
