package embedded_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// open connects to an engine. The connection is closed at the end of the test.
func open(t testing.TB, dsn string, method clickhouse.CompressionMethod) driver.Conn {
	t.Helper()
	options, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	options.Compression = &clickhouse.Compression{Method: method}
	options.MaxOpenConns = 32
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// bothProtocols runs a test over HTTP and over the native protocol, each with every compression.
func bothProtocols(t *testing.T, test func(t *testing.T, conn driver.Conn)) {
	engine := enginetest.Shared(t)
	for protocol, dsn := range map[string]string{"http": engine.DSN(), "native": engine.NativeDSN()} {
		for name, method := range compressions {
			t.Run(protocol+"/"+name, func(t *testing.T) { test(t, open(t, dsn, method)) })
		}
	}
}

var compressions = map[string]clickhouse.CompressionMethod{
	"none": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD,
}

func exec(t testing.TB, conn driver.Conn, sql string, args ...any) {
	t.Helper()
	if err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// wantCode checks that err is ClickHouse's exception of this number.
func wantCode(t testing.TB, err error, code int32) {
	t.Helper()
	var e *clickhouse.Exception
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("error %v, want code %d", err, code)
	}
}

// eventually asks until the answer is as wanted. Each question is a round trip to the engine, so it is no busy loop.
func eventually(t testing.TB, what string, ask func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !ask() {
		if ctx.Err() != nil {
			t.Fatalf("still not: %s", what)
		}
	}
}

// running counts the statements in the engine that contain mark, which must not be part of any other test's.
func running(engine *enginetest.Engine, mark string) string {
	return engine.SQL("SELECT count() FROM system.processes WHERE query LIKE '%" + mark + "%' AND query NOT LIKE '%system.processes%'")
}
