package embedded_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

func TestParametersArriveAsTheyWere(t *testing.T) {
	bothProtocols(t, func(t *testing.T, conn driver.Conn) {
		text := "he'llo\n\t\\x\r\x00 ünï `{a:String}` \\N"
		var (
			gotText  string
			gotList  []string
			gotCount uint64
			gotTime  time.Time
		)
		at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
		err := conn.QueryRow(t.Context(), "SELECT {text:String}, {list:Array(String)}, {count:UInt64}, {at:DateTime64(3)}",
			clickhouse.Named("text", text), clickhouse.Named("list", []string{"a", "it's"}), clickhouse.Named("count", uint64(1)<<63),
			clickhouse.DateNamed("at", at, clickhouse.MilliSeconds),
		).Scan(&gotText, &gotList, &gotCount, &gotTime)
		if err != nil {
			t.Fatal(err)
		}
		if gotText != text || cmp.Diff(gotList, []string{"a", "it's"}) != "" || gotCount != 1<<63 || !gotTime.Equal(at) {
			t.Errorf("got %q %q %d %v", gotText, gotList, gotCount, gotTime)
		}
	})
}

func TestSettingsLastForOneStatement(t *testing.T) {
	bothProtocols(t, func(t *testing.T, conn driver.Conn) {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithQueryID("a query id"), clickhouse.WithSettings(clickhouse.Settings{
			"max_threads": 3, "log_comment": "it's \\ a comment",
		}))
		var threads uint64
		var comment string
		const ask = "SELECT getSetting('max_threads')::UInt64, getSetting('log_comment')::String"
		if err := conn.QueryRow(ctx, ask).Scan(&threads, &comment); err != nil || threads != 3 || !strings.HasPrefix(comment, "it's \\ a comment ") {
			t.Errorf("with settings: %d threads, comment %q, %v", threads, comment, err)
		}
		exec(t, conn, "SET max_threads = 5")
		if err := conn.QueryRow(t.Context(), ask).Scan(&threads, &comment); err != nil || threads == 3 || threads == 5 || strings.HasPrefix(comment, "it's") {
			t.Errorf("afterwards: %d threads, comment %q, %v", threads, comment, err)
		}
		ctx = clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"no_such_setting": 1}))
		wantCode(t, conn.QueryRow(ctx, "SELECT 1").Err(), 115)
	})
}

func TestExceptionsCarryTheirCode(t *testing.T) {
	bothProtocols(t, func(t *testing.T, conn driver.Conn) {
		for sql, code := range map[string]int32{
			"SELECT * FROM no_such_table":        60,
			"SELEKT 1":                           62,
			"SELECT throwIf(1)":                  395,
			"SELECT no_such_function()":          46,
			"SELECT 1; SELECT 2":                 62,
			"INSERT INTO no_such_table SELECT 1": 60,
		} {
			wantCode(t, conn.Exec(t.Context(), sql), code)
			rows, err := conn.Query(t.Context(), sql)
			if err == nil {
				rows.Next()
				err = rows.Err()
				rows.Close()
			}
			wantCode(t, err, code)
			var e *clickhouse.Exception
			if errors.As(err, &e) && (e.Name != "DB::Exception" || e.Message == "" || strings.Contains(e.Message, "Code: ")) {
				t.Errorf("%s: name %q, message %q", sql, e.Name, e.Message)
			}
		}
		//lint:ignore SA1019 people still call it, and the engine has to answer
		wantCode(t, conn.AsyncInsert(t.Context(), "INSERT INTO no_such_table VALUES (1)", true), 60)
		_, err := conn.PrepareBatch(t.Context(), "INSERT INTO no_such_table")
		wantCode(t, err, 60)
	})
}

func TestAnExceptionInTheMiddleOfAResultIsAnError(t *testing.T) {
	bothProtocols(t, func(t *testing.T, conn driver.Conn) {
		rows, err := conn.Query(t.Context(), "SELECT number, throwIf(number = 3000000) FROM numbers(5000000)")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		n := 0
		for rows.Next() {
			n++
		}
		wantCode(t, rows.Err(), 395)
		if n == 0 || n > 3_000_000 {
			t.Errorf("%d rows before the exception", n)
		}
	})
}

func TestABigResultArrivesWhole(t *testing.T) {
	bothProtocols(t, func(t *testing.T, conn driver.Conn) {
		const rows = 1_000_000
		result, err := conn.Query(t.Context(), "SELECT number, toString(number), map('k', number) FROM numbers(1000000)")
		if err != nil {
			t.Fatal(err)
		}
		defer result.Close()
		var (
			n, number uint64
			text      string
			attrs     map[string]uint64
		)
		for result.Next() {
			if n%1000 != 0 { // scanning is what takes the time
				n++
				continue
			}
			if err := result.Scan(&number, &text, &attrs); err != nil {
				t.Fatal(err)
			}
			if number != n || text != fmt.Sprint(n) || attrs["k"] != n {
				t.Fatalf("row %d: %d, %q, %v", n, number, text, attrs)
			}
			n++
		}
		if err := result.Err(); err != nil || n != rows {
			t.Errorf("%d rows of %d: %v", n, rows, err)
		}
	})
}

func TestAResultWithoutRowsIsNoError(t *testing.T) {
	bothProtocols(t, func(t *testing.T, conn driver.Conn) {
		for _, sql := range []string{"SELECT 1 AS a, 'x' AS b WHERE 0 SETTINGS max_threads = 1", "SHOW TABLES LIKE 'none'"} {
			rows, err := conn.Query(t.Context(), sql)
			if err != nil {
				t.Errorf("%s: %v", sql, err)
				continue
			}
			if rows.Next() || rows.Err() != nil {
				t.Errorf("%s: rows, or %v", sql, rows.Err())
			}
			rows.Close()
		}
	})
}

func TestBatchesOfEveryTelemetryType(t *testing.T) {
	bothProtocols(t, func(t *testing.T, conn driver.Conn) {
		table := "batch_" + strings.NewReplacer("/", "_", "#", "_").Replace(t.Name())
		exec(t, conn, "CREATE TABLE "+table+` (
			Timestamp DateTime64(9), TraceId String, Severity LowCardinality(String), Attributes Map(LowCardinality(String), String),
			Value Nullable(Float64), Bounds Array(Float64), Flags UInt32, Kind Enum8('a' = 1, 'b' = 2), Id UUID, Amount Decimal(18, 3),
			Events Nested(Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)),
			Day Date MATERIALIZED toDate(Timestamp), Fence DateTime EPHEMERAL, Twice UInt32 ALIAS Flags * 2
		) ENGINE = MergeTree ORDER BY Timestamp`)
		// Over HTTP clickhouse-go takes an EPHEMERAL column for one that has to be given, unless the columns are named.
		batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO "+table+" (Timestamp, TraceId, Severity, Attributes, Value, Bounds, Flags, Kind, Id, Amount, Events.Timestamp, Events.Name, Events.Attributes)")
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
		const rows = 10_000
		for i := range rows {
			value := float64(i)
			err := batch.Append(at, fmt.Sprint(i), "INFO", map[string]string{"k": "v"}, &value, []float64{1, 2}, uint32(i), "b",
				"00000000-0000-0000-0000-000000000001", "1.5",
				[]time.Time{at, at}, []string{"x", "y"}, []map[string]string{{"a": "b"}, {}})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			t.Fatal(err)
		}
		var whole uint64
		err = conn.QueryRow(t.Context(), "SELECT countIf(TraceId = toString(Flags) AND Attributes = map('k', 'v') AND Events.Name = ['x', 'y'] AND Value = Flags AND Twice = Flags * 2 AND Day = '2026-01-02') FROM "+table).Scan(&whole)
		if err != nil || whole != rows {
			t.Errorf("%d whole rows of %d: %v", whole, rows, err)
		}
		var (
			got   map[string]string
			names []string
			ts    time.Time
		)
		if err := conn.QueryRow(t.Context(), "SELECT Attributes, Events.Name, Timestamp FROM "+table+" LIMIT 1").Scan(&got, &names, &ts); err != nil {
			t.Fatal(err)
		}
		if cmp.Diff(got, map[string]string{"k": "v"}) != "" || cmp.Diff(names, []string{"x", "y"}) != "" || !ts.Equal(at) {
			t.Errorf("got %v %v %v", got, names, ts)
		}
	})
}

func TestABatchWithColumnsMayNameAnEphemeralOne(t *testing.T) {
	bothProtocols(t, func(t *testing.T, conn driver.Conn) {
		table := "fenced_batch_" + strings.NewReplacer("/", "_").Replace(t.Name())
		exec(t, conn, fmt.Sprintf(fencedTable, table))
		for fence, code := range map[time.Time]int32{inAnHour: 0, time.Now().Add(-time.Minute): 395} {
			batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO "+table+" (`Timestamp`, IngestFence)")
			if err != nil {
				t.Fatal(err)
			}
			if err := batch.Append(time.Now(), fence); err != nil {
				t.Fatal(err)
			}
			switch err := batch.Send(); {
			case code != 0:
				wantCode(t, err, code)
			case err != nil:
				t.Error(err)
			}
		}
		// A connection is of use after a refused batch.
		var n uint64
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d rows, want 1: %v", n, err)
		}
	})
}

func TestUnqualifiedTablesAreInTheConfiguredDatabase(t *testing.T) {
	engine := enginetest.Start(t, enginetest.WithDatabase("home"))
	engine.SQL("CREATE TABLE home.t (a UInt8) ENGINE = MergeTree ORDER BY a")
	for _, addr := range []string{"http://" + engine.HTTPAddr(), "clickhouse://" + engine.NativeAddr()} {
		for _, database := range []string{"", "/default", "/home"} {
			conn := open(t, addr+database, clickhouse.CompressionNone)
			var where string
			if err := conn.QueryRow(t.Context(), "SELECT currentDatabase() FROM (SELECT count() FROM t)").Scan(&where); err != nil || where != "home" {
				t.Errorf("%s%s: database %q, %v", addr, database, where, err)
			}
		}
		conn := open(t, addr+"/no_such_database", clickhouse.CompressionNone)
		wantCode(t, conn.QueryRow(t.Context(), "SELECT 1").Err(), 81)
	}
}

func TestTimesAreUTCWhereverTheEngineRuns(t *testing.T) {
	t.Setenv("TZ", "America/New_York")
	engine := enginetest.Start(t)
	if got, want := engine.SQL("SELECT timezone(), toDateTime(0)"), "UTC\t1970-01-01 00:00:00"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
