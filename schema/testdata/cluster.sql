CREATE DATABASE IF NOT EXISTS otel ON CLUSTER `telemetry-prod`;

CREATE TABLE IF NOT EXISTS otel.otel_traces_trace_id_ts_local ON CLUSTER `telemetry-prod`
(
    TraceId String CODEC(ZSTD(1)),
    Start   SimpleAggregateFunction(min, DateTime) CODEC(Delta(4), ZSTD(1)),
    End     SimpleAggregateFunction(max, DateTime) CODEC(Delta(4), ZSTD(1)),
    Day     Date DEFAULT toDate(Start, 'UTC'),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY Day
ORDER BY (TraceId, Day)
TTL Day + INTERVAL 8 DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS otel.otel_traces_trace_id_ts ON CLUSTER `telemetry-prod` AS otel.otel_traces_trace_id_ts_local
ENGINE = Distributed('telemetry-prod', 'otel', 'otel_traces_trace_id_ts_local', cityHash64(TraceId));

CREATE TABLE IF NOT EXISTS otel.otel_traces_local ON CLUSTER `telemetry-prod`
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
    SpanAttributes                     Map(LowCardinality(String), String) CODEC(ZSTD(3)),
    Duration                           UInt64 CODEC(T64, ZSTD(1)),
    StatusCode                         LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage                      String CODEC(ZSTD(1)),
    `Events.Timestamp`                 Array(DateTime64(9)) CODEC(Delta(8), ZSTD(1)),
    `Events.Name`                      Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `Events.Attributes`                Array(Map(LowCardinality(String), String)) CODEC(ZSTD(3)),
    `Links.TraceId`                    Array(String) CODEC(ZSTD(1)),
    `Links.SpanId`                     Array(String) CODEC(ZSTD(1)),
    `Links.TraceState`                 Array(String) CODEC(ZSTD(1)),
    `Links.Attributes`                 Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `__hdx_materialized_rum.sessionId` String MATERIALIZED ResourceAttributes['rum.sessionId'] CODEC(ZSTD(1)),
    SampleRate                         UInt64 MATERIALIZED greatest(toUInt64OrZero(SpanAttributes['SampleRate']), 1) CODEC(T64, ZSTD(1)),
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
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_ingest_seq IngestSeq TYPE minmax GRANULARITY 1,
    INDEX idx_ingest_stream IngestStream TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toDate(Timestamp, 'UTC')
ORDER BY (ServiceName, toDateTime(Timestamp), TraceId)
TTL toDateTime(Timestamp) + INTERVAL 7 DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS otel.otel_traces ON CLUSTER `telemetry-prod` AS otel.otel_traces_local
ENGINE = Distributed('telemetry-prod', 'otel', 'otel_traces_local', cityHash64(TraceId));

CREATE TABLE IF NOT EXISTS otel.otel_logs_local ON CLUSTER `telemetry-prod`
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
    Body                                              String CODEC(ZSTD(3)),
    ResourceSchemaUrl                                 LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes                                Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeSchemaUrl                                    LowCardinality(String) CODEC(ZSTD(1)),
    ScopeName                                         String CODEC(ZSTD(1)),
    ScopeVersion                                      LowCardinality(String) CODEC(ZSTD(1)),
    ScopeAttributes                                   Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    LogAttributes                                     Map(LowCardinality(String), String) CODEC(ZSTD(3)),
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
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toDate(Timestamp, 'UTC')
PRIMARY KEY (toStartOfFiveMinutes(Timestamp), ServiceName)
ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)
TTL toDateTime(Timestamp) + INTERVAL 30 DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800, enable_block_number_column = 1, enable_block_offset_column = 1;

CREATE TABLE IF NOT EXISTS otel.otel_logs ON CLUSTER `telemetry-prod` AS otel.otel_logs_local
ENGINE = Distributed('telemetry-prod', 'otel', 'otel_logs_local', if(TraceId = '', rand64(), cityHash64(TraceId)));

CREATE TABLE IF NOT EXISTS otel.otel_metrics_gauge_local ON CLUSTER `telemetry-prod`
(
    ResourceAttributes             Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl              String CODEC(ZSTD(1)),
    ScopeName                      String CODEC(ZSTD(1)),
    ScopeVersion                   String CODEC(ZSTD(1)),
    ScopeAttributes                Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount          UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl                 String CODEC(ZSTD(1)),
    ServiceName                    LowCardinality(String) CODEC(ZSTD(1)),
    MetricName                     LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription              String CODEC(ZSTD(1)),
    MetricUnit                     String CODEC(ZSTD(1)),
    Attributes                     Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix                  DateTime CODEC(Delta(4), ZSTD(1)),
    TimeUnix                       DateTime CODEC(Delta(4), ZSTD(1)),
    Value                          Float64 CODEC(ZSTD(1)),
    Flags                          UInt32 CODEC(ZSTD(1)),
    `Exemplars.FilteredAttributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `Exemplars.TimeUnix`           Array(DateTime) CODEC(ZSTD(1)),
    `Exemplars.Value`              Array(Float64) CODEC(ZSTD(1)),
    `Exemplars.SpanId`             Array(String) CODEC(ZSTD(1)),
    `Exemplars.TraceId`            Array(String) CODEC(ZSTD(1)),
    InsertedAt                     DateTime MATERIALIZED if(throwIf(nowInBlock() > IngestFence, 'fenced') = 0, now(), now()) CODEC(Delta(4), ZSTD(1)),
    IngestStream                   LowCardinality(String) CODEC(ZSTD(1)),
    IngestSeq                      UInt64 CODEC(Delta(8), ZSTD(1)),
    IngestFence                    DateTime EPHEMERAL toDateTime('2100-01-01'),
    INDEX idx_time_minmax TimeUnix TYPE minmax GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attr_key mapKeys(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attr_value mapValues(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_ingest_seq IngestSeq TYPE minmax GRANULARITY 1,
    INDEX idx_ingest_stream IngestStream TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toMonday(TimeUnix, 'UTC')
PRIMARY KEY (MetricName, ServiceName, toStartOfHour(TimeUnix))
ORDER BY (MetricName, ServiceName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)
TTL TimeUnix + INTERVAL 365 DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS otel.otel_metrics_gauge ON CLUSTER `telemetry-prod` AS otel.otel_metrics_gauge_local
ENGINE = Distributed('telemetry-prod', 'otel', 'otel_metrics_gauge_local', cityHash64(MetricName, ServiceName));

CREATE TABLE IF NOT EXISTS otel.otel_metrics_sum_local ON CLUSTER `telemetry-prod`
(
    ResourceAttributes             Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl              String CODEC(ZSTD(1)),
    ScopeName                      String CODEC(ZSTD(1)),
    ScopeVersion                   String CODEC(ZSTD(1)),
    ScopeAttributes                Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount          UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl                 String CODEC(ZSTD(1)),
    ServiceName                    LowCardinality(String) CODEC(ZSTD(1)),
    MetricName                     LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription              String CODEC(ZSTD(1)),
    MetricUnit                     String CODEC(ZSTD(1)),
    Attributes                     Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix                  DateTime CODEC(Delta(4), ZSTD(1)),
    TimeUnix                       DateTime CODEC(Delta(4), ZSTD(1)),
    Value                          Float64 CODEC(ZSTD(1)),
    Flags                          UInt32 CODEC(ZSTD(1)),
    `Exemplars.FilteredAttributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `Exemplars.TimeUnix`           Array(DateTime) CODEC(ZSTD(1)),
    `Exemplars.Value`              Array(Float64) CODEC(ZSTD(1)),
    `Exemplars.SpanId`             Array(String) CODEC(ZSTD(1)),
    `Exemplars.TraceId`            Array(String) CODEC(ZSTD(1)),
    AggregationTemporality         Int32 CODEC(ZSTD(1)),
    IsMonotonic                    Bool CODEC(ZSTD(1)),
    InsertedAt                     DateTime MATERIALIZED if(throwIf(nowInBlock() > IngestFence, 'fenced') = 0, now(), now()) CODEC(Delta(4), ZSTD(1)),
    IngestStream                   LowCardinality(String) CODEC(ZSTD(1)),
    IngestSeq                      UInt64 CODEC(Delta(8), ZSTD(1)),
    IngestFence                    DateTime EPHEMERAL toDateTime('2100-01-01'),
    INDEX idx_time_minmax TimeUnix TYPE minmax GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attr_key mapKeys(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attr_value mapValues(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_ingest_seq IngestSeq TYPE minmax GRANULARITY 1,
    INDEX idx_ingest_stream IngestStream TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toMonday(TimeUnix, 'UTC')
PRIMARY KEY (MetricName, ServiceName, toStartOfHour(TimeUnix))
ORDER BY (MetricName, ServiceName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)
TTL TimeUnix + INTERVAL 365 DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS otel.otel_metrics_sum ON CLUSTER `telemetry-prod` AS otel.otel_metrics_sum_local
ENGINE = Distributed('telemetry-prod', 'otel', 'otel_metrics_sum_local', cityHash64(MetricName, ServiceName));

CREATE TABLE IF NOT EXISTS otel.otel_metrics_histogram_local ON CLUSTER `telemetry-prod`
(
    ResourceAttributes             Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl              String CODEC(ZSTD(1)),
    ScopeName                      String CODEC(ZSTD(1)),
    ScopeVersion                   String CODEC(ZSTD(1)),
    ScopeAttributes                Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount          UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl                 String CODEC(ZSTD(1)),
    ServiceName                    LowCardinality(String) CODEC(ZSTD(1)),
    MetricName                     LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription              String CODEC(ZSTD(1)),
    MetricUnit                     String CODEC(ZSTD(1)),
    Attributes                     Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix                  DateTime CODEC(Delta(4), ZSTD(1)),
    TimeUnix                       DateTime CODEC(Delta(4), ZSTD(1)),
    Count                          UInt64 CODEC(Delta(8), ZSTD(1)),
    Sum                            Float64 CODEC(ZSTD(1)),
    BucketCounts                   Array(UInt64) CODEC(ZSTD(1)),
    ExplicitBounds                 Array(Float64) CODEC(ZSTD(1)),
    `Exemplars.FilteredAttributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `Exemplars.TimeUnix`           Array(DateTime) CODEC(ZSTD(1)),
    `Exemplars.Value`              Array(Float64) CODEC(ZSTD(1)),
    `Exemplars.SpanId`             Array(String) CODEC(ZSTD(1)),
    `Exemplars.TraceId`            Array(String) CODEC(ZSTD(1)),
    Flags                          UInt32 CODEC(ZSTD(1)),
    Min                            Float64 CODEC(ZSTD(1)),
    Max                            Float64 CODEC(ZSTD(1)),
    AggregationTemporality         Int32 CODEC(ZSTD(1)),
    InsertedAt                     DateTime MATERIALIZED if(throwIf(nowInBlock() > IngestFence, 'fenced') = 0, now(), now()) CODEC(Delta(4), ZSTD(1)),
    IngestStream                   LowCardinality(String) CODEC(ZSTD(1)),
    IngestSeq                      UInt64 CODEC(Delta(8), ZSTD(1)),
    IngestFence                    DateTime EPHEMERAL toDateTime('2100-01-01'),
    INDEX idx_time_minmax TimeUnix TYPE minmax GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attr_key mapKeys(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attr_value mapValues(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_ingest_seq IngestSeq TYPE minmax GRANULARITY 1,
    INDEX idx_ingest_stream IngestStream TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toMonday(TimeUnix, 'UTC')
PRIMARY KEY (MetricName, ServiceName, toStartOfHour(TimeUnix))
ORDER BY (MetricName, ServiceName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)
TTL TimeUnix + INTERVAL 365 DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS otel.otel_metrics_histogram ON CLUSTER `telemetry-prod` AS otel.otel_metrics_histogram_local
ENGINE = Distributed('telemetry-prod', 'otel', 'otel_metrics_histogram_local', cityHash64(MetricName, ServiceName));

CREATE TABLE IF NOT EXISTS otel.otel_metrics_exponential_histogram_local ON CLUSTER `telemetry-prod`
(
    ResourceAttributes             Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ResourceSchemaUrl              String CODEC(ZSTD(1)),
    ScopeName                      String CODEC(ZSTD(1)),
    ScopeVersion                   String CODEC(ZSTD(1)),
    ScopeAttributes                Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeDroppedAttrCount          UInt32 CODEC(ZSTD(1)),
    ScopeSchemaUrl                 String CODEC(ZSTD(1)),
    ServiceName                    LowCardinality(String) CODEC(ZSTD(1)),
    MetricName                     LowCardinality(String) CODEC(ZSTD(1)),
    MetricDescription              String CODEC(ZSTD(1)),
    MetricUnit                     String CODEC(ZSTD(1)),
    Attributes                     Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    StartTimeUnix                  DateTime CODEC(Delta(4), ZSTD(1)),
    TimeUnix                       DateTime CODEC(Delta(4), ZSTD(1)),
    Count                          UInt64 CODEC(Delta(8), ZSTD(1)),
    Sum                            Float64 CODEC(ZSTD(1)),
    Scale                          Int32 CODEC(ZSTD(1)),
    ZeroCount                      UInt64 CODEC(ZSTD(1)),
    PositiveOffset                 Int32 CODEC(ZSTD(1)),
    PositiveBucketCounts           Array(UInt64) CODEC(ZSTD(1)),
    NegativeOffset                 Int32 CODEC(ZSTD(1)),
    NegativeBucketCounts           Array(UInt64) CODEC(ZSTD(1)),
    `Exemplars.FilteredAttributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `Exemplars.TimeUnix`           Array(DateTime) CODEC(ZSTD(1)),
    `Exemplars.Value`              Array(Float64) CODEC(ZSTD(1)),
    `Exemplars.SpanId`             Array(String) CODEC(ZSTD(1)),
    `Exemplars.TraceId`            Array(String) CODEC(ZSTD(1)),
    Flags                          UInt32 CODEC(ZSTD(1)),
    Min                            Float64 CODEC(ZSTD(1)),
    Max                            Float64 CODEC(ZSTD(1)),
    AggregationTemporality         Int32 CODEC(ZSTD(1)),
    InsertedAt                     DateTime MATERIALIZED if(throwIf(nowInBlock() > IngestFence, 'fenced') = 0, now(), now()) CODEC(Delta(4), ZSTD(1)),
    IngestStream                   LowCardinality(String) CODEC(ZSTD(1)),
    IngestSeq                      UInt64 CODEC(Delta(8), ZSTD(1)),
    IngestFence                    DateTime EPHEMERAL toDateTime('2100-01-01'),
    INDEX idx_time_minmax TimeUnix TYPE minmax GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attr_key mapKeys(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_attr_value mapValues(Attributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_ingest_seq IngestSeq TYPE minmax GRANULARITY 1,
    INDEX idx_ingest_stream IngestStream TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toMonday(TimeUnix, 'UTC')
PRIMARY KEY (MetricName, ServiceName, toStartOfHour(TimeUnix))
ORDER BY (MetricName, ServiceName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)
TTL TimeUnix + INTERVAL 365 DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS otel.otel_metrics_exponential_histogram ON CLUSTER `telemetry-prod` AS otel.otel_metrics_exponential_histogram_local
ENGINE = Distributed('telemetry-prod', 'otel', 'otel_metrics_exponential_histogram_local', cityHash64(MetricName, ServiceName));

CREATE TABLE IF NOT EXISTS otel.otel_metrics_summary_local ON CLUSTER `telemetry-prod`
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
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toMonday(TimeUnix, 'UTC')
PRIMARY KEY (MetricName, ServiceName, toStartOfHour(TimeUnix))
ORDER BY (MetricName, ServiceName, toStartOfHour(TimeUnix), cityHash64(Attributes), TimeUnix)
TTL TimeUnix + INTERVAL 365 DAY DELETE
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS otel.otel_metrics_summary ON CLUSTER `telemetry-prod` AS otel.otel_metrics_summary_local
ENGINE = Distributed('telemetry-prod', 'otel', 'otel_metrics_summary_local', cityHash64(MetricName, ServiceName));

CREATE MATERIALIZED VIEW IF NOT EXISTS otel.otel_traces_trace_id_ts_mv ON CLUSTER `telemetry-prod` TO otel.otel_traces_trace_id_ts_local AS
SELECT TraceId, toDate(Timestamp, 'UTC') AS Day, min(toDateTime(Timestamp)) AS Start, max(toDateTime(Timestamp)) AS End
FROM otel.otel_traces_local WHERE TraceId != '' GROUP BY TraceId, Day;

INSERT INTO otel.otel_traces_trace_id_ts_local (TraceId, Start, End, Day);

INSERT INTO otel.otel_traces_local (Timestamp, TraceId, SpanId, ParentSpanId, TraceState, SpanName, SpanKind, ServiceName, ResourceAttributes, ScopeName, ScopeVersion, SpanAttributes, Duration, StatusCode, StatusMessage, `Events.Timestamp`, `Events.Name`, `Events.Attributes`, `Links.TraceId`, `Links.SpanId`, `Links.TraceState`, `Links.Attributes`, IngestStream, IngestSeq, IngestFence);

INSERT INTO otel.otel_logs_local (Timestamp, ObservedDelay, TraceId, SpanId, TraceFlags, SeverityText, SeverityNumber, ServiceName, Body, ResourceSchemaUrl, ResourceAttributes, ScopeSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes, LogAttributes, EventName, IngestStream, IngestSeq, IngestFence);

INSERT INTO otel.otel_metrics_gauge_local (ResourceAttributes, ResourceSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes, ScopeDroppedAttrCount, ScopeSchemaUrl, ServiceName, MetricName, MetricDescription, MetricUnit, Attributes, StartTimeUnix, TimeUnix, Value, Flags, `Exemplars.FilteredAttributes`, `Exemplars.TimeUnix`, `Exemplars.Value`, `Exemplars.SpanId`, `Exemplars.TraceId`, IngestStream, IngestSeq, IngestFence);

INSERT INTO otel.otel_metrics_sum_local (ResourceAttributes, ResourceSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes, ScopeDroppedAttrCount, ScopeSchemaUrl, ServiceName, MetricName, MetricDescription, MetricUnit, Attributes, StartTimeUnix, TimeUnix, Value, Flags, `Exemplars.FilteredAttributes`, `Exemplars.TimeUnix`, `Exemplars.Value`, `Exemplars.SpanId`, `Exemplars.TraceId`, AggregationTemporality, IsMonotonic, IngestStream, IngestSeq, IngestFence);

INSERT INTO otel.otel_metrics_histogram_local (ResourceAttributes, ResourceSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes, ScopeDroppedAttrCount, ScopeSchemaUrl, ServiceName, MetricName, MetricDescription, MetricUnit, Attributes, StartTimeUnix, TimeUnix, Count, Sum, BucketCounts, ExplicitBounds, `Exemplars.FilteredAttributes`, `Exemplars.TimeUnix`, `Exemplars.Value`, `Exemplars.SpanId`, `Exemplars.TraceId`, Flags, Min, Max, AggregationTemporality, IngestStream, IngestSeq, IngestFence);

INSERT INTO otel.otel_metrics_exponential_histogram_local (ResourceAttributes, ResourceSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes, ScopeDroppedAttrCount, ScopeSchemaUrl, ServiceName, MetricName, MetricDescription, MetricUnit, Attributes, StartTimeUnix, TimeUnix, Count, Sum, Scale, ZeroCount, PositiveOffset, PositiveBucketCounts, NegativeOffset, NegativeBucketCounts, `Exemplars.FilteredAttributes`, `Exemplars.TimeUnix`, `Exemplars.Value`, `Exemplars.SpanId`, `Exemplars.TraceId`, Flags, Min, Max, AggregationTemporality, IngestStream, IngestSeq, IngestFence);

INSERT INTO otel.otel_metrics_summary_local (ResourceAttributes, ResourceSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes, ScopeDroppedAttrCount, ScopeSchemaUrl, ServiceName, MetricName, MetricDescription, MetricUnit, Attributes, StartTimeUnix, TimeUnix, Count, Sum, `ValueAtQuantiles.Quantile`, `ValueAtQuantiles.Value`, Flags, IngestStream, IngestSeq, IngestFence);
