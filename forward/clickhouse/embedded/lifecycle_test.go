package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

func TestCancellingStopsTheStatementInTheEngine(t *testing.T) {
	engine := enginetest.Shared(t)
	engine.SQL("CREATE TABLE sink (n UInt64) ENGINE = Null")
	for protocol, dsn := range map[string]string{"http": engine.DSN(), "native": engine.NativeDSN()} {
		for i, sql := range []string{
			"SELECT count() FROM numbers(1000000000000) WHERE number != %d",                                                  // works
			"SELECT sleepEachRow(0.01) FROM numbers(1000000) WHERE number != %d SETTINGS max_block_size = 1",                 // waits
			"INSERT INTO sink SELECT number FROM numbers(1000000000000) WHERE number != %d",                                  // writes
			"SELECT number, sleepEachRow(0.0001) FROM numbers(1000000000) WHERE number != %d SETTINGS max_block_size = 1000", // sends
		} {
			t.Run(fmt.Sprint(protocol, i), func(t *testing.T) {
				conn := open(t, dsn, clickhouse.CompressionNone)
				mark := 918273645<<8 + i // finds the statement
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				failed := make(chan error, 1)
				go func() {
					if strings.HasPrefix(sql, "INSERT") {
						failed <- conn.Exec(ctx, fmt.Sprintf(sql, mark))
						return
					}
					rows, err := conn.Query(ctx, fmt.Sprintf(sql, mark))
					if err == nil {
						for rows.Next() {
						}
						err = errors.Join(rows.Err(), rows.Close())
					}
					failed <- err
				}()
				eventually(t, "the statement runs", func() bool { return running(engine, fmt.Sprint(mark)) == "1" })
				cancel()
				if err := <-failed; err == nil {
					t.Error("the statement ended well")
				}
				eventually(t, "the statement is stopped", func() bool { return running(engine, fmt.Sprint(mark)) == "0" })
			})
		}
	}
}

func TestManyClientsAtOnceGetTheirOwnAnswers(t *testing.T) {
	const clients, rounds, rows = 16, 10, 100
	engine := enginetest.Shared(t)
	engine.SQL("CREATE TABLE crowd (client UInt32, n UInt64, attrs Map(LowCardinality(String), String)) ENGINE = MergeTree ORDER BY n")
	conns := []driver.Conn{open(t, engine.DSN(), clickhouse.CompressionLZ4), open(t, engine.NativeDSN(), clickhouse.CompressionZSTD)}
	group, ctx := errgroup.WithContext(t.Context())
	for client := range clients {
		group.Go(func() error {
			conn := conns[client%len(conns)]
			for round := range rounds {
				batch, err := conn.PrepareBatch(ctx, "INSERT INTO crowd")
				if err != nil {
					return err
				}
				for i := range rows {
					if err := batch.Append(uint32(client), uint64(round*rows+i), map[string]string{"client": fmt.Sprint(client)}); err != nil {
						return err
					}
				}
				if err := batch.Send(); err != nil {
					return err
				}
				settings := clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 1000 + client}))
				var n, blockSize uint64
				err = conn.QueryRow(settings, "SELECT count(), any(getSetting('max_block_size'))::UInt64 FROM crowd WHERE client = {c:UInt32} AND attrs['client'] = toString(client)",
					clickhouse.Named("c", client)).Scan(&n, &blockSize)
				if err != nil || n != uint64(rows*(round+1)) || blockSize != uint64(1000+client) {
					return fmt.Errorf("client %d sees %d rows after %d, its setting is %d: %w", client, n, rows*(round+1), blockSize, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if got, want := engine.SQL("SELECT count(), uniqExact(client, n) FROM crowd"), "16000\t16000"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStatementsBeyondTheLimitWaitTheirTurn(t *testing.T) {
	engine := enginetest.Start(t, enginetest.WithArgs("--max-statements", "2"))
	conn := open(t, engine.DSN(), clickhouse.CompressionNone)
	var most atomic.Uint64
	group, ctx := errgroup.WithContext(t.Context())
	for range 16 {
		group.Go(func() error {
			var n uint64
			err := conn.QueryRow(ctx, "SELECT count() FROM system.processes WHERE NOT ignore(sleepEachRow(0.01))").Scan(&n)
			for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
			}
			return err
		})
	}
	if err := group.Wait(); err != nil || most.Load() > 2 {
		t.Errorf("%d statements at once, want 2: %v", most.Load(), err)
	}
}

func TestAckedRowsSurviveKill9(t *testing.T) {
	const blockRows = 500
	engine := enginetest.Start(t)
	engine.SQL("CREATE TABLE kept (block UInt64, n UInt64) ENGINE = MergeTree ORDER BY block")
	http, native := engine.HTTPAddr(), engine.NativeAddr()
	var next, acked atomic.Uint64
	for round := range 3 {
		conn := open(t, engine.DSN(), clickhouse.CompressionNone)
		var writers sync.WaitGroup
		some := make(chan struct{}, 1000) // an element for each block that was acked
		for range 2 {
			writers.Go(func() {
				for {
					var body bytes.Buffer
					block := next.Add(1)
					for i := range blockRows {
						fmt.Fprintf(&body, "%d\t%d\n", block, i)
					}
					if conn.InsertFormat(t.Context(), "TSV", "INSERT INTO kept", &body) != nil {
						return // killed
					}
					acked.Add(1)
					some <- struct{}{}
				}
			})
		}
		for range 20 {
			<-some
		}
		engine.Kill9()
		writers.Wait()
		engine.Restart()
		if engine.HTTPAddr() != http || engine.NativeAddr() != native {
			t.Errorf("addresses moved from %s %s to %s %s", http, native, engine.HTTPAddr(), engine.NativeAddr())
		}
		var blocks, torn uint64
		got := engine.SQL("SELECT count(), countIf(c != 500) FROM (SELECT block, count() AS c FROM kept GROUP BY block)")
		if _, err := fmt.Sscan(got, &blocks, &torn); err != nil || blocks < acked.Load() || blocks > next.Load() || torn != 0 {
			t.Errorf("round %d: %d blocks of %d acked, %d torn (%v)", round, blocks, acked.Load(), torn, err)
		}
	}
}

func TestShutdownLetsStatementsEnd(t *testing.T) {
	engine := enginetest.Start(t)
	engine.SQL("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
	answers := make(chan error, 2)
	for _, dsn := range []string{engine.DSN(), engine.NativeDSN()} {
		conn := open(t, dsn, clickhouse.CompressionLZ4)
		go func() { answers <- conn.Exec(t.Context(), "INSERT INTO t SELECT sleep(0.7) + 77553311") }()
	}
	eventually(t, "both statements run", func() bool { return running(engine, "77553311") == "2" })
	if err := engine.Stop(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-answers; err != nil {
			t.Errorf("a statement that ran was stopped: %v", err)
		}
	}
	engine.Restart()
	if got := engine.SQL("SELECT count() FROM t"); got != "2" {
		t.Errorf("%s rows, want 2", got)
	}
}

func TestShutdownStopsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t)
	failed := make(chan error, 2)
	for _, dsn := range []string{engine.DSN(), engine.NativeDSN()} {
		conn := open(t, dsn, clickhouse.CompressionLZ4)
		go func() {
			failed <- conn.QueryRow(t.Context(), "SELECT count() FROM numbers(1000000000000) WHERE number != 77553322 SETTINGS max_threads = 1").Err()
		}()
	}
	eventually(t, "both statements run", func() bool { return running(engine, "77553322") == "2" })
	if err := engine.Stop(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-failed; err == nil {
			t.Error("an endless statement ended well")
		}
	}
}

func TestTheDataDirectoryTakesConfiguration(t *testing.T) {
	engine := enginetest.Start(t, enginetest.WithConfig("<clickhouse><mark_cache_size>7654321</mark_cache_size></clickhouse>"), enginetest.WithArgs("--memory-limit-mib", "300"))
	got := engine.SQL("SELECT name, value FROM system.server_settings WHERE name IN ('mark_cache_size', 'max_server_memory_usage') ORDER BY name")
	if want := "mark_cache_size\t7654321\nmax_server_memory_usage\t314572800"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
