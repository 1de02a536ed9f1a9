// Package loki takes the push requests of Loki's clients and makes OTLP of them.
//
// A stream becomes one ResourceLogs: its labels are the resource, under the names of
// OpenTelemetry's semantic conventions where those have one. An entry becomes one log record: its
// time is the record's to the nanosecond, its line is read like a line of a tailed file, its
// structured metadata are attributes. docs/loki.md has the tables.
//
// A request is taken whole or not at all, and answered 204 when the Sink owns it.
package loki
