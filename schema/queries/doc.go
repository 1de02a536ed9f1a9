// Package queries holds the queries that people ask of the tables of package
// schema, as files, and the tests that hold what they read and answer on a
// ClickHouse with five million rows.
//
//   - dashboards: the questions of an operator
//   - correlate: from one signal to another
//   - grafana: what Grafana's ClickHouse data source, 4.20, writes
//   - hyperdx: what HyperDX (ClickStack), August 2026, writes
//   - dataset: what the rows are made by, from the numbers of requests
//
// Times in {from} and {to} are in UTC. docs/queries.md shows some of them with
// values in place.
package queries
