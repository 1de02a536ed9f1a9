-- What an attribute's values are, from the text index alone.
SELECT token FROM mergeTreeTextIndex(currentDatabase(), otel_logs, idx_log_attr_items) WHERE startsWith(token, 'thread.name=') GROUP BY token ORDER BY token LIMIT 20
