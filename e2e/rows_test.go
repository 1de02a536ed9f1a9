package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// A row is one row of a table by column: strings, numbers, maps and arrays as JSON has them,
// times as unix time in text.
type row = map[string]any

// stored reads the rows of a table that match where, whole but for what spillway adds to
// identify a record.
func stored(t *testing.T, engine *enginetest.Engine, table, where, order string) []row {
	t.Helper()
	columns := "* EXCEPT (IngestStream, IngestSeq)"
	switch table {
	case "otel_traces_trace_id_ts":
		columns = "*"
	case "otel_logs":
		columns = "* EXCEPT (IngestStream, IngestSeq, ObservedDelay), ObservedTimestamp"
	}
	return selected(t, engine, fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s", columns, table, where, order))
}

// selected runs a query and reads its rows.
func selected(t *testing.T, engine *enginetest.Engine, query string) []row {
	t.Helper()
	answer := engine.SQL(query + " FORMAT JSONEachRow SETTINGS date_time_output_format = 'unix_timestamp', output_format_json_quote_64bit_integers = 0")
	return decoded(t, "["+strings.Join(strings.FieldsFunc(answer, func(r rune) bool { return r == '\n' }), ",")+"]")
}

func decoded(t *testing.T, text string) (rows []row) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&rows); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return rows
}

// same compares rows with what they should be, where the latter may hold Go values of any type.
func same(t *testing.T, what string, got, want []row) {
	t.Helper()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decoded(t, string(text)), got); diff != "" {
		t.Errorf("%s: sent (-), stored (+):\n%s", what, diff)
	}
}

// merge is a row of the columns of all of rows.
func merge(rows ...row) row {
	all := row{}
	for _, r := range rows {
		for column, value := range r {
			all[column] = value
		}
	}
	return all
}

// nanos is a time as a DateTime64(9) column shows it.
func nanos(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

// secs is a time as a DateTime column shows it.
func secs(t time.Time) string { return fmt.Sprint(t.Unix()) }

// hour is the beginning of the hour: times near it are of one day, and young enough to be kept.
func hour() time.Time { return time.Now().UTC().Truncate(time.Hour) }

// both starts an engine, a collector and an agent.
func both(t *testing.T, extra string) (*enginetest.Engine, *collector, *node) {
	t.Helper()
	engine := enginetest.Shared(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	return engine, c, startAgent(t, c.grpc, extra)
}
