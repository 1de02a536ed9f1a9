-- What spillway needs in ClickHouse, as three roles. Run as a user that may create roles:
--
--     clickhouse-client --multiquery < grants.sql
--
-- and give each program a user of its own:
--
--     CREATE USER collector IDENTIFIED WITH sha256_password BY '…' DEFAULT ROLE spillway_writer;
--     GRANT spillway_writer TO collector;
--
-- Replace otel if the database has another name. On a cluster write ON CLUSTER name after each role.
-- The settings profile of writer and schema owner must let them change settings: not readonly.
--
-- How this was tested: by TestGrants in e2e, which gives the rights of one role at a time, and no others, to
-- the user of a real engine, and runs spillway with it. Each right is needed there, but for those marked "parsed only":
-- a server asks for them, and that engine does not.

-- The collector. With schema.create: false these are enough for ever; with true, for as long as the tables are as
-- they should be.
CREATE ROLE IF NOT EXISTS spillway_writer;
GRANT INSERT ON otel.otel_* TO spillway_writer;
GRANT SELECT ON otel.spillway_schema_migrations TO spillway_writer;
-- What may have been stored before is looked for by its identity. On a cluster the same on otel_logs_local and so on.
GRANT SELECT(IngestStream, IngestSeq, Timestamp) ON otel.otel_logs TO spillway_writer;
GRANT SELECT(IngestStream, IngestSeq, Timestamp) ON otel.otel_traces TO spillway_writer;
GRANT SELECT(IngestStream, IngestSeq, TimeUnix) ON otel.otel_metrics_gauge TO spillway_writer;
GRANT SELECT(IngestStream, IngestSeq, TimeUnix) ON otel.otel_metrics_sum TO spillway_writer;
GRANT SELECT(IngestStream, IngestSeq, TimeUnix) ON otel.otel_metrics_histogram TO spillway_writer;
GRANT SELECT(IngestStream, IngestSeq, TimeUnix) ON otel.otel_metrics_exponential_histogram TO spillway_writer;
GRANT SELECT(IngestStream, IngestSeq, TimeUnix) ON otel.otel_metrics_summary TO spillway_writer;
-- Parsed only: on a cluster every replica is asked.
GRANT REMOTE ON *.* TO spillway_writer;
-- Parsed only: where the server's select_from_system_db_requires_grant is on, as in its own config.xml.
GRANT SELECT ON system.processes TO spillway_writer;
GRANT SELECT ON system.databases TO spillway_writer;
GRANT SELECT ON system.tables TO spillway_writer;
GRANT SELECT ON system.columns TO spillway_writer;
GRANT SELECT ON system.data_skipping_indices TO spillway_writer;
GRANT SELECT ON system.settings TO spillway_writer;
GRANT SELECT ON system.storage_policies TO spillway_writer;
GRANT SELECT ON system.macros TO spillway_writer;
GRANT SELECT ON system.clusters TO spillway_writer;

-- Whoever runs spillway schema apply; and the collector, in addition to the above, if it is to make and change
-- the tables itself. Nothing here can drop a table of rows. --allow-destructive needs no more: it shortens a TTL.
CREATE ROLE IF NOT EXISTS spillway_schema;
GRANT CREATE DATABASE ON otel.* TO spillway_schema;
GRANT CREATE TABLE ON otel.otel_* TO spillway_schema;
GRANT ALTER ADD COLUMN, ALTER ADD INDEX, ALTER SETTINGS, ALTER TTL ON otel.otel_* TO spillway_schema;
GRANT CREATE TABLE, SELECT, INSERT ON otel.spillway_schema_migrations TO spillway_schema;
GRANT CREATE TABLE, DROP TABLE ON otel.spillway_schema_lock TO spillway_schema;
-- Parsed only: as above.
GRANT SELECT ON system.databases TO spillway_schema;
GRANT SELECT ON system.tables TO spillway_schema;
GRANT SELECT ON system.columns TO spillway_schema;
GRANT SELECT ON system.data_skipping_indices TO spillway_schema;
GRANT SELECT ON system.settings TO spillway_schema;
GRANT SELECT ON system.storage_policies TO spillway_schema;
GRANT SELECT ON system.macros TO spillway_schema;
GRANT SELECT ON system.clusters TO spillway_schema;
-- Parsed only: where the server's table_engines_require_grant is on, as in its own config.xml.
GRANT TABLE ENGINE ON MergeTree TO spillway_schema;
GRANT TABLE ENGINE ON AggregatingMergeTree TO spillway_schema;
GRANT TABLE ENGINE ON Memory TO spillway_schema;
-- Parsed only: with schema.cluster.
GRANT CLUSTER ON *.* TO spillway_schema;
GRANT REMOTE ON *.* TO spillway_schema;
GRANT TABLE ENGINE ON ReplicatedMergeTree TO spillway_schema;
GRANT TABLE ENGINE ON ReplicatedAggregatingMergeTree TO spillway_schema;
GRANT TABLE ENGINE ON Distributed TO spillway_schema;

-- Dashboards and people.
CREATE ROLE IF NOT EXISTS spillway_reader;
GRANT SELECT ON otel.* TO spillway_reader;
-- Parsed only: with schema.cluster, whose tables are read from other servers.
GRANT REMOTE ON *.* TO spillway_reader;
-- Parsed only: as above. The dashboard of ingest health reads them, of the tables that the role may read.
GRANT SELECT ON system.parts TO spillway_reader;
GRANT SELECT ON system.disks TO spillway_reader;
