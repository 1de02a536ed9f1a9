CREATE TABLE IF NOT EXISTS `my-telemetry`.otel_traces_trace_id_ts
(
    TraceId String CODEC(ZSTD(1)),
    Start   SimpleAggregateFunction(min, DateTime) CODEC(Delta(4), ZSTD(1)),
    End     SimpleAggregateFunction(max, DateTime) CODEC(Delta(4), ZSTD(1)),
    Day     Date DEFAULT toDate(Start, 'UTC'),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY Day
ORDER BY (TraceId, Day)
TTL Day + INTERVAL 8 DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1
