CREATE TABLE IF NOT EXISTS otel.otel_traces
(
    Timestamp                          DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId                            String CODEC(ZSTD(1)),
    SpanId                             String CODEC(ZSTD(1)),
    ParentSpanId                       String CODEC(ZSTD(1)),
    TraceState                         String CODEC(ZSTD(1)),
    SpanName                           LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind                           LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName                        LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes                 Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName                          String CODEC(ZSTD(1)),
    ScopeVersion                       String CODEC(ZSTD(1)),
    SpanAttributes                     Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration                           UInt64 CODEC(T64, ZSTD(1)),
    StatusCode                         LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage                      String CODEC(ZSTD(1)),
    `Events.Timestamp`                 Array(DateTime64(9)) CODEC(Delta(8), ZSTD(1)),
    `Events.Name`                      Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `Events.Attributes`                Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `Links.TraceId`                    Array(String) CODEC(ZSTD(1)),
    `Links.SpanId`                     Array(String) CODEC(ZSTD(1)),
    `Links.TraceState`                 Array(String) CODEC(ZSTD(1)),
    `Links.Attributes`                 Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `__hdx_materialized_rum.sessionId` String MATERIALIZED ResourceAttributes['rum.sessionId'] CODEC(ZSTD(1)),
    SampleRate                         UInt64 MATERIALIZED greatest(toUInt64OrZero(SpanAttributes['SampleRate']), 1) CODEC(T64, ZSTD(1)),
    ResourceAttributeItems             Array(String) ALIAS arrayMap(kv -> concat(kv.1, '=', kv.2), ResourceAttributes::Array(Tuple(String, String))),
    InsertedAt                         DateTime MATERIALIZED if(throwIf(nowInBlock() > IngestFence, 'fenced') = 0, now(), now()) CODEC(Delta(4), ZSTD(1)),
    IngestStream                       LowCardinality(String) CODEC(ZSTD(1)),
    IngestSeq                          UInt64 CODEC(Delta(8), ZSTD(1)),
    IngestFence                        DateTime EPHEMERAL toDateTime('2100-01-01'),
    INDEX idx_ts Timestamp TYPE minmax GRANULARITY 1,
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1,
    INDEX idx_status StatusCode TYPE set(4) GRANULARITY 1,
    INDEX idx_rum_session_id `__hdx_materialized_rum.sessionId` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_items ResourceAttributeItems TYPE text(tokenizer = 'array'),
    INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_ingest_seq IngestSeq TYPE minmax GRANULARITY 1,
    INDEX idx_ingest_stream IngestStream TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(Timestamp, 'UTC')
ORDER BY (ServiceName, toDateTime(Timestamp), TraceId)
TTL toDateTime(Timestamp) + INTERVAL 7 DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1
