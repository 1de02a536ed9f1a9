//go:build spillway_unchecked

package clickhouse

const checked = false
