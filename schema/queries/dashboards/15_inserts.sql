-- INSERTs a minute, their rows and how long they take, by who sends them.
SELECT toStartOfMinute(event_time) AS minute, client_name, http_user_agent, count() AS inserts, sum(written_rows) / count() AS rows_each,
    quantile(0.99)(query_duration_ms) AS ms, countIf(type != 'QueryFinish') AS failed
FROM system.query_log
WHERE event_date >= yesterday() AND event_time >= now() - INTERVAL 1 HOUR AND query_kind = 'Insert' AND type != 'QueryStart'
GROUP BY minute, client_name, http_user_agent
ORDER BY minute
