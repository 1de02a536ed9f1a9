// Package e2e runs spillway as people run it: the real binaries, a real ClickHouse engine, real
// clients, real kill -9. It holds tests only.
package e2e
