CREATE TABLE IF NOT EXISTS `my-telemetry`.otel_logs
(
    Timestamp                                         DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TimestampTime                                     DateTime ALIAS toDateTime(Timestamp),
    ObservedDelay                                     Int64 CODEC(T64, ZSTD(1)),
    ObservedTimestamp                                 DateTime64(9) ALIAS addNanoseconds(Timestamp, ObservedDelay),
    TraceId                                           String CODEC(ZSTD(1)),
    SpanId                                            String CODEC(ZSTD(1)),
    TraceFlags                                        UInt8,
    SeverityText                                      LowCardinality(String) CODEC(ZSTD(1)),
    SeverityNumber                                    UInt8,
    ServiceName                                       LowCardinality(String) CODEC(ZSTD(1)),
    Body                                              String CODEC(ZSTD(1)),
    ResourceSchemaUrl                                 LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes                                Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeSchemaUrl                                    LowCardinality(String) CODEC(ZSTD(1)),
    ScopeName                                         String CODEC(ZSTD(1)),
    ScopeVersion                                      LowCardinality(String) CODEC(ZSTD(1)),
    ScopeAttributes                                   Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    LogAttributes                                     Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    EventName                                         String CODEC(ZSTD(1)),
    `__otel_materialized_k8s.cluster.name`            LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.cluster.name'] CODEC(ZSTD(1)),
    `__otel_materialized_k8s.namespace.name`          LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.namespace.name'] CODEC(ZSTD(1)),
    `__otel_materialized_k8s.deployment.name`         LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.deployment.name'] CODEC(ZSTD(1)),
    `__otel_materialized_k8s.pod.name`                LowCardinality(String) MATERIALIZED ResourceAttributes['k8s.pod.name'] CODEC(ZSTD(1)),
    `__otel_materialized_host.name`                   LowCardinality(String) MATERIALIZED ResourceAttributes['host.name'] CODEC(ZSTD(1)),
    `__otel_materialized_deployment.environment.name` LowCardinality(String) MATERIALIZED ResourceAttributes['deployment.environment.name'] CODEC(ZSTD(1)),
    ResourceAttributeItems                            Array(String) ALIAS arrayMap(kv -> concat(kv.1, '=', kv.2), ResourceAttributes::Array(Tuple(String, String))),
    LogAttributeItems                                 Array(String) ALIAS arrayMap(kv -> concat(kv.1, '=', kv.2), LogAttributes::Array(Tuple(String, String))),
    InsertedAt                                        DateTime MATERIALIZED if(throwIf(nowInBlock() > IngestFence, 'fenced') = 0, now(), now()) CODEC(Delta(4), ZSTD(1)),
    IngestStream                                      LowCardinality(String) CODEC(ZSTD(1)),
    IngestSeq                                         UInt64 CODEC(Delta(8), ZSTD(1)),
    IngestFence                                       DateTime EPHEMERAL toDateTime('2100-01-01'),
    INDEX idx_ts Timestamp TYPE minmax GRANULARITY 1,
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE text(tokenizer = 'array'),
    INDEX idx_res_attr_items ResourceAttributeItems TYPE text(tokenizer = 'array'),
    INDEX idx_log_attr_key mapKeys(LogAttributes) TYPE text(tokenizer = 'array'),
    INDEX idx_log_attr_items LogAttributeItems TYPE text(tokenizer = 'array'),
    INDEX idx_lower_body lower(Body) TYPE text(tokenizer = 'splitByNonAlpha'),
    INDEX idx_ingest_seq IngestSeq TYPE minmax GRANULARITY 1,
    INDEX idx_ingest_stream IngestStream TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(Timestamp, 'UTC')
PRIMARY KEY (toStartOfFiveMinutes(Timestamp), ServiceName)
ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)
TTL toDateTime(Timestamp) + INTERVAL 3 DAY TO VOLUME 'cold', toDateTime(Timestamp) + INTERVAL 30 DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, enable_block_number_column = 1, enable_block_offset_column = 1, storage_policy = 'hot_cold'
