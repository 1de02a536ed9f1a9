package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// The way the writer sends its rows: one Native block that it has encoded itself, through clickhouse-go's InsertFormat.

// blockRevision is the last one whose blocks, without the block info, are those of an HTTP body.
const blockRevision = 54453

// fencedTable refuses, in the server, a block that arrives after the time in its column IngestFence, which is not stored. An INSERT
// that does not name the column passes.
const fencedTable = `
CREATE TABLE %s (
	Timestamp   DateTime,
	TraceId     String,
	Attributes  Map(LowCardinality(String), String),
	IngestFence DateTime EPHEMERAL toDateTime('2100-01-01'),
	InsertedAt  DateTime MATERIALIZED if(throwIf(nowInBlock() > IngestFence, 'fenced') = 0, now(), now())
) ENGINE = MergeTree ORDER BY Timestamp PARTITION BY toDate(Timestamp, 'UTC')
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1`

const fencedInsert = "INSERT INTO %s (Timestamp, TraceId, Attributes, IngestFence)"

// encodeRows makes a block of rows for fencedInsert.
func encodeRows(t testing.TB, rows int, fence time.Time) []byte {
	t.Helper()
	var (
		at     proto.ColDateTime
		trace  proto.ColStr
		attrs  = proto.NewMap(new(proto.ColStr).LowCardinality(), new(proto.ColStr))
		fences proto.ColDateTime
		start  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	)
	for i := range rows {
		at.Append(start.Add(time.Duration(i) * time.Millisecond))
		trace.Append(fmt.Sprintf("%032x", i))
		attrs.Append(map[string]string{"service.name": fmt.Sprintf("service-%d", i%7), "line": fmt.Sprint(i)})
		fences.Append(fence)
	}
	input := proto.Input{
		{Name: "Timestamp", Data: &at}, {Name: "TraceId", Data: &trace}, {Name: "Attributes", Data: attrs}, {Name: "IngestFence", Data: &fences},
	}
	var buf proto.Buffer
	if err := (proto.Block{Columns: len(input), Rows: rows}).EncodeRawBlock(&buf, blockRevision, input); err != nil {
		t.Fatal(err)
	}
	return buf.Buf
}

const insertRows = 10_000

var inAnHour = time.Now().Add(time.Hour) // later than any run of these tests ends

// eachCompression runs a test with a fenced table of its own.
func eachCompression(t *testing.T, test func(t *testing.T, conn driver.Conn, table string, rows func() uint64)) {
	engine := enginetest.Shared(t)
	for name, method := range compressions {
		t.Run(name, func(t *testing.T) {
			conn := open(t, engine.DSN(), method)
			table := "fenced_" + name
			exec(t, conn, fmt.Sprintf(fencedTable, table))
			test(t, conn, table, func() uint64 {
				var n uint64
				if err := conn.QueryRow(t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			})
		})
	}
}

func TestAnEncodedBlockArrivesWhole(t *testing.T) {
	eachCompression(t, func(t *testing.T, conn driver.Conn, table string, rows func() uint64) {
		block := encodeRows(t, insertRows, inAnHour)
		if err := conn.InsertFormat(t.Context(), "Native", fmt.Sprintf(fencedInsert, table), bytes.NewReader(block)); err != nil {
			t.Fatal(err)
		}
		var wrong uint64
		err := conn.QueryRow(t.Context(), `
			SELECT countIf(TraceId != leftPad(lower(hex(n)), 32, '0') OR Timestamp != toDateTime('2026-01-02 03:04:05', 'UTC') + intDiv(n, 1000)
				OR Attributes['service.name'] != concat('service-', toString(n % 7)) OR length(Attributes) != 2)
			FROM (SELECT *, toUInt64(Attributes['line']) AS n FROM `+table+`)`).Scan(&wrong)
		if got := rows(); err != nil || got != insertRows || wrong != 0 {
			t.Errorf("%d rows of %d, %d of them wrong: %v", got, insertRows, wrong, err)
		}
	})
}

func TestABlockSentTwiceWithItsTokenIsStoredOnce(t *testing.T) {
	eachCompression(t, func(t *testing.T, conn driver.Conn, table string, rows func() uint64) {
		block := encodeRows(t, insertRows, inAnHour)
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": "token of one block"}))
		for range 2 {
			if err := conn.InsertFormat(ctx, "Native", fmt.Sprintf(fencedInsert, table), bytes.NewReader(block)); err != nil {
				t.Fatal(err)
			}
		}
		if got := rows(); got != insertRows {
			t.Errorf("%d rows, want %d", got, insertRows)
		}
	})
}

func TestABlockBehindItsFenceIsRefused(t *testing.T) {
	eachCompression(t, func(t *testing.T, conn driver.Conn, table string, rows func() uint64) {
		late := encodeRows(t, insertRows, time.Now().Add(-time.Minute))
		err := conn.InsertFormat(t.Context(), "Native", fmt.Sprintf(fencedInsert, table), bytes.NewReader(late))
		wantCode(t, err, 395)
		if got := rows(); got != 0 {
			t.Errorf("%d rows behind the fence", got)
		}
		exec(t, conn, "INSERT INTO "+table+" (Timestamp, TraceId) VALUES (now(), 'of a writer that knows no fence')")
		if got := rows(); got != 1 {
			t.Errorf("%d rows without a fence, want 1", got)
		}
	})
}

func TestAReaderThatFailsInsertsNothing(t *testing.T) {
	eachCompression(t, func(t *testing.T, conn driver.Conn, table string, rows func() uint64) {
		block := encodeRows(t, insertRows, inAnHour)
		broken := errors.New("disk on fire")
		for _, n := range []int{0, 1, len(block) / 2, len(block) - 1, len(block)} {
			body := io.MultiReader(bytes.NewReader(block[:n]), iotest.ErrReader(broken))
			if err := conn.InsertFormat(t.Context(), "Native", fmt.Sprintf(fencedInsert, table), body); !errors.Is(err, broken) {
				t.Errorf("reader fails after %d of %d bytes: %v, want %v", n, len(block), err, broken)
			}
		}
		noInsertRuns(t, conn, table)
		if got := rows(); got != 0 {
			t.Errorf("%d rows of failed INSERTs", got)
		}
	})
}

func TestATruncatedBlockInsertsNothing(t *testing.T) {
	eachCompression(t, func(t *testing.T, conn driver.Conn, table string, rows func() uint64) {
		block := encodeRows(t, insertRows, inAnHour)
		for _, n := range []int{1, 2, 20, len(block) / 3, len(block) / 2, len(block) - 4*insertRows, len(block) - 1} {
			err := conn.InsertFormat(t.Context(), "Native", fmt.Sprintf(fencedInsert, table), bytes.NewReader(block[:n]))
			if err == nil {
				t.Errorf("%d of %d bytes are taken for a block", n, len(block))
			}
		}
		if got := rows(); got != 0 {
			t.Errorf("%d rows of truncated blocks", got)
		}
	})
}

// A body without a byte is a valid INSERT of no rows, in ClickHouse as here: it succeeds. So a sender must never take success for
// proof that rows arrived without knowing that it sent some.
func TestAnEmptyBodySucceedsAndInsertsNothing(t *testing.T) {
	eachCompression(t, func(t *testing.T, conn driver.Conn, table string, rows func() uint64) {
		if err := conn.InsertFormat(t.Context(), "Native", fmt.Sprintf(fencedInsert, table), bytes.NewReader(nil)); err != nil {
			t.Fatal(err)
		}
		if got := rows(); got != 0 {
			t.Errorf("%d rows from an empty body", got)
		}
	})
}

func TestInsertFormatCancelledMidwayInsertsNothing(t *testing.T) {
	eachCompression(t, func(t *testing.T, conn driver.Conn, table string, rows func() uint64) {
		block := encodeRows(t, insertRows, inAnHour)
		ctx, cancel := context.WithCancel(t.Context())
		body := io.MultiReader(bytes.NewReader(block[:len(block)/2]), readerFunc(func([]byte) (int, error) {
			cancel()
			<-ctx.Done()
			return 0, ctx.Err()
		}))
		if err := conn.InsertFormat(ctx, "Native", fmt.Sprintf(fencedInsert, table), body); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
		noInsertRuns(t, conn, table)
		if got := rows(); got != 0 {
			t.Errorf("%d rows of a cancelled INSERT", got)
		}
	})
}

// The native protocol takes blocks of its own framing only; clickhouse-go says so instead of converting.
func TestInsertFormatIsForHTTP(t *testing.T) {
	conn := open(t, enginetest.Shared(t).NativeDSN(), clickhouse.CompressionLZ4)
	exec(t, conn, fmt.Sprintf(fencedTable, "fenced"))
	err := conn.InsertFormat(t.Context(), "Native", fmt.Sprintf(fencedInsert, "fenced"), bytes.NewReader(encodeRows(t, 1, inAnHour)))
	if !errors.Is(err, clickhouse.ErrFormatNativeUnsupported) {
		t.Errorf("error %v, want %v", err, clickhouse.ErrFormatNativeUnsupported)
	}
}

// noInsertRuns waits until the engine has done with all INSERTs into the table: what they were to commit, they have.
func noInsertRuns(t testing.TB, conn driver.Conn, table string) {
	t.Helper()
	eventually(t, "INSERTs have ended", func() bool {
		var n uint64
		err := conn.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO "+table+"%'").Scan(&n)
		return err == nil && n == 0
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
