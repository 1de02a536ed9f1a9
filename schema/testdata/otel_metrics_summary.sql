CREATE TABLE IF NOT EXISTS otel.otel_metrics_summary
(
    ResourceAttributes          Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl           String CODEC(ZSTD(1)),
    ScopeName                   String CODEC(ZSTD(1)),
    ScopeVersion                String CODEC(ZSTD(1)),
    ScopeAttributes             Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount       UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl              String CODEC(ZSTD(1)),
    ServiceName                 LowCardinality(String) CODEC(ZSTD(1)),
    MetricName                  LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription           String CODEC(ZSTD(1)),
    MetricUnit                  String CODEC(ZSTD(1)),
    Attributes                  Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix               DateTime CODEC(Delta(4), ZSTD(1)),
    TimeUnix                    DateTime CODEC(Delta(4), ZSTD(1)),
    Count                       UInt64 CODEC(Delta(8), ZSTD(1)),
    Sum                         Float64 CODEC(ZSTD(1)),
    `ValueAtQuantiles.Quantile` Array(Float64) CODEC(ZSTD(1)),
    `ValueAtQuantiles.Value`    Array(Float64) CODEC(ZSTD(1)),
    Flags                       UInt32 CODEC(ZSTD(1)),
    InsertedAt                  DateTime MATERIALIZED if(throwIf(nowInBlock() > IngestFence, 'fenced') = 0, now(), now()) CODEC(Delta(4), ZSTD(1)),
    IngestStream                LowCardinality(String) CODEC(ZSTD(1)),
    IngestSeq                   UInt64 CODEC(Delta(8), ZSTD(1)),
    IngestFence                 DateTime EPHEMERAL toDateTime('2100-01-01'),
    INDEX idx_time_minmax TimeUnix TYPE minmax GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attr_key mapKeys(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attr_value mapValues(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_ingest_seq IngestSeq TYPE minmax GRANULARITY 1,
    INDEX idx_ingest_stream IngestStream TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toMonday(TimeUnix, 'UTC')
PRIMARY KEY (MetricName, ServiceName, toStartOfHour(TimeUnix))
ORDER BY (MetricName, ServiceName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)
TTL TimeUnix + INTERVAL 365 DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1
