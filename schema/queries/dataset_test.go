package queries

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
	"github.com/spillway-io/spillway/schema"
)

//go:embed */*.sql
var files embed.FS

// sql is the text of a file.
func sql(name string) (string, error) {
	text, err := files.ReadFile(name + ".sql")
	return strings.TrimSpace(string(text)), err
}

// The days of the dataset, when it ends, and the hour that most queries ask for: of the second day, with ten minutes in
// which catalog-web is slow. In the last hour it is payment-web.
var (
	days = []string{"2026-11-20", "2026-11-21"}
	end  = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	from = time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)
	to   = from.Add(time.Hour)
)

var dataset struct {
	once sync.Once
	db   *database
	err  error
}

// load makes the tables and their rows, once for the process, in a database that ends with the engine.
func load(t *testing.T) *database {
	t.Helper()
	dataset.once.Do(func() {
		begin := time.Now()
		dataset.db, dataset.err = build(enginetest.Shared(t).HTTPAddr())
		t.Logf("loaded in %v", time.Since(begin).Round(100*time.Millisecond))
	})
	if dataset.err != nil {
		t.Fatal(dataset.err)
	}
	return dataset.db
}

// blocks ends an INSERT: indexes are made when its parts are merged into one of each day, and not before as well.
const blocks = "\nSETTINGS materialize_skip_indexes_on_insert = 0, max_insert_threads = 1, min_insert_block_size_rows = 262144, min_insert_block_size_bytes = 0"

// A filling is a file that fills a table, once or for each day.
type filling struct {
	file, table string
	days        []string
}

func build(addr string) (*database, error) {
	db := &database{addr: addr, name: "queries"}
	outside := &database{addr: addr, name: "system"}
	for _, statement := range schema.Statements(schema.Options{Database: db.name}) {
		if _, err := outside.ask(statement); err != nil {
			return nil, err
		}
	}
	for _, file := range []string{"dataset/1_services", "dataset/2_requests"} {
		statement, err := sql(file)
		if err != nil {
			return nil, err
		}
		if _, err := db.ask(statement); err != nil {
			return nil, err
		}
	}
	var side errgroup.Group // lines take as long as all the others together
	side.Go(func() error { return db.fill(filling{"4_logs", logs, days}) })
	side.Go(func() error {
		return db.fill(
			filling{"3_spans", traces, days},
			filling{"5_trace_times", traceTimes, days[:1]},
			filling{"6_gauges", gauges, days[:1]},
			filling{"7_sums", sums, days[:1]},
			filling{"8_histograms", histograms, days[:1]})
	})
	if err := side.Wait(); err != nil {
		return nil, err
	}
	params, err := parameters(db)
	db.params = params
	return db, err
}

// fill fills tables, one after the other, and leaves one part in each partition.
func (d *database) fill(all ...filling) error {
	for _, f := range all {
		insert, err := sql("dataset/" + f.file)
		if err != nil {
			return err
		}
		if _, err := d.ask("SYSTEM STOP MERGES " + f.table); err != nil {
			return err
		}
		for _, day := range f.days {
			if _, err := d.with(map[string]string{"day": day}).ask(insert + blocks); err != nil {
				return err
			}
		}
		if _, err := d.ask("SYSTEM START MERGES " + f.table); err != nil {
			return err
		}
		if _, err := d.ask("OPTIMIZE TABLE " + f.table + " FINAL"); err != nil {
			return err
		}
	}
	return nil
}

// parameters are what the queries ask for.
func parameters(db *database) (map[string]string, error) {
	millis := func(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) }
	params := map[string]string{
		"from": strconv.FormatInt(from.Unix(), 10), "from_ms": millis(from),
		"to": strconv.FormatInt(to.Unix(), 10), "to_ms": millis(to),
		"day": from.Format(time.DateOnly), "day_ms": millis(from.Truncate(24 * time.Hour)), "day_to_ms": millis(from.Truncate(24 * time.Hour).Add(24 * time.Hour)),
		"deploy_from": strconv.FormatInt(from.Add(4*time.Hour).Unix(), 10), "deploy_to": strconv.FormatInt(to.Add(4*time.Hour).Unix(), 10),
		"service": "catalog-web", "words": "CONNECTION timeout", "item": "user.id=4711", "q": "0.5",
	}
	// A slow request of that hour, its root span, and a line.
	rows, err := db.ask(fmt.Sprintf(`
		SELECT TraceId, SpanId, Timestamp, Duration, toUnixTimestamp64Milli(Timestamp) - 3600000, toUnixTimestamp64Milli(Timestamp) + 3600000
		FROM otel_traces WHERE TraceId = (SELECT argMin(trace, id) FROM requests WHERE slow AND spans = 9 AND begins >= toDateTime(%d)) AND ParentSpanId = ''`, from.Unix()))
	if err != nil || len(rows) != 1 {
		return nil, fmt.Errorf("%d root spans of a slow request: %w", len(rows), err)
	}
	for i, name := range []string{"trace", "span", "at", "lasted", "around_from_ms", "around_to_ms"} {
		params[name] = rows[0][i]
	}
	rows, err = db.ask(fmt.Sprintf("SELECT Timestamp, ServiceName, _block_number, _block_offset FROM otel_logs WHERE Timestamp >= toDateTime(%d) ORDER BY Timestamp LIMIT 1", from.Unix()))
	if err != nil || len(rows) != 1 {
		return nil, fmt.Errorf("%d lines: %w", len(rows), err)
	}
	for i, name := range []string{"row_timestamp", "row_service", "row_block", "row_offset"} {
		params[name] = rows[0][i]
	}
	return params, nil
}

func TestTheDatasetIsLargeAndWhole(t *testing.T) {
	db := load(t)
	total := 0
	for table, atLeast := range map[string]int{
		"otel_logs": 2_000_000, "otel_traces": 2_000_000, "otel_traces_trace_id_ts": 300_000,
		"otel_metrics_gauge": 300_000, "otel_metrics_sum": 350_000, "otel_metrics_histogram": 150_000,
	} {
		rows := db.mustAsk(t, "SELECT sum(rows), count(), uniq(partition) FROM system.parts WHERE active AND database = currentDatabase() AND table = '"+table+"'")[0]
		if n := number(t, rows[0]); n < atLeast {
			t.Errorf("%s: %d rows, want %d", table, n, atLeast)
		}
		if rows[1] != rows[2] {
			t.Errorf("%s: %s parts in %s partitions", table, rows[1], rows[2])
		}
		total += number(t, rows[0])
	}
	if total < 5_000_000 {
		t.Errorf("%d rows", total)
	}
	for what, query := range map[string]string{
		"60 services":                            "SELECT uniqExact(ServiceName) = 60 FROM otel_traces",
		"the busiest has ten times the rarest's": "SELECT max(n) > 10 * min(n) FROM (SELECT count() AS n FROM otel_traces GROUP BY ServiceName)",
		"1-2 % errors":                           "SELECT countIf(StatusCode = 'Error') / count() BETWEEN 0.01 AND 0.02 FROM otel_traces",
		"every line's trace has spans":           "SELECT count() = 0 FROM otel_logs WHERE TraceId != '' AND Timestamp >= {day:Date} AND TraceId NOT IN (SELECT TraceId FROM otel_traces WHERE Timestamp >= {day:Date})",
		"a child lies within its parent": `SELECT count() = 0 FROM otel_traces AS child INNER JOIN otel_traces AS parent ON child.TraceId = parent.TraceId AND child.ParentSpanId = parent.SpanId
			WHERE child.Timestamp >= {from:DateTime} AND child.Timestamp < {to:DateTime} AND parent.Timestamp >= {from:DateTime} - INTERVAL 1 MINUTE AND parent.Timestamp < {to:DateTime}
				AND (child.Timestamp < parent.Timestamp OR addNanoseconds(child.Timestamp, child.Duration) > addNanoseconds(parent.Timestamp, parent.Duration))`,
	} {
		if db.one(t, query) != "1" {
			t.Errorf("not so: %s", what)
		}
	}
}
