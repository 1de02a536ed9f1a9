// Package schema is what ClickHouse sees of us: the tables, and the way from
// OTLP bytes to their columns.
//
// The tables are column-compatible with the OpenTelemetry Collector's ClickHouse
// exporter (v0.161): every column that it inserts exists here with the same name
// and meaning, so that its writers, and dashboards made for it, work unchanged.
// To those columns each table of telemetry adds
//
//   - IngestStream and IngestSeq, the identity of the log record that a row came
//     from, so that a redelivery can find out what is already there;
//   - IngestFence, which is never stored: the server itself refuses a block that
//     arrives after the time its sender gave it;
//   - InsertedAt, the server's clock at the INSERT.
//
// Tables and DDL describe and create them.
//
// Decoding goes from the wire form of one OTLP export request straight to the
// bytes of ClickHouse's Native format; there is no object for a log record, span
// or point in between. A Set holds the rows of a request, split into one Rows
// for each table and partition, because an INSERT must never touch two
// partitions: only then is it atomic. Rows of many requests are merged by
// appending one Rows to another, and leave as one block.
//
// Three promises, which the tests hold:
//
//  1. A row is a function of the request's bytes and its Origin alone. No clock,
//     configuration or earlier request has a part in it: decoding the same
//     bytes twice gives the same columns, byte for byte, in the same partitions.
//  2. Bytes that cannot be decoded give an error and leave the Set as it was.
//     No input panics, and none needs memory out of proportion to its length.
//  3. Nothing is dropped silently: what has no place in the tables is counted.
//
// # Values
//
// Ids are lower-case hexadecimal, empty when absent or zero. Attribute values
// and bodies are text: numbers and booleans as in JSON, bytes in base64, arrays
// and maps as JSON. Maps are sorted by key; of equal keys the last one counts.
// A metric's integers and doubles are both Float64.
//
// Where we differ from the exporter, it is to lose less: a NaN or infinity
// within a JSON value is written as a string instead of emptying the whole
// value, a span that ends before it starts lasts 0 ns instead of centuries, an
// exemplar without a trace has no id instead of one of zeros, and timestamps
// that ClickHouse cannot hold, or that would land in a partition of the far
// future, are replaced (see Origin).
package schema
