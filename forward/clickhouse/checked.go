//go:build !spillway_unchecked

package clickhouse

// checked has redelivered records looked up before they are stored. The torture test builds a
// spillway without it, to show that it would see what then happens.
const checked = true
