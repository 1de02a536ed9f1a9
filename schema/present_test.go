package schema_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
	"github.com/spillway-io/spillway/schema"
)

// Looking for a batch of redelivered records reads little of a table that has many rows of that
// day, from two hundred nodes at once. So says EXPLAIN.
func TestALookupReadsFewGranules(t *testing.T) {
	e := enginetest.Shared(t)
	create(e)
	const streams, perRecord, rows = 200, 20, 400_000
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	at := func(row int) int64 { return midnight.UnixNano() + int64(row)*int64(24*time.Hour/rows) }
	for _, c := range []struct {
		table, columns, values string
		most                   int // granules of 49
	}{
		{"otel_logs", "Timestamp, ServiceName, Body", "ts, concat('service-', toString(number % 60)), toString(cityHash64(number))", 6},
		{"otel_traces", "Timestamp, ServiceName, SpanName, TraceId", "ts, concat('service-', toString(number % 60)), 'GET /', hex(sipHash128(number))", 6},
		{"otel_metrics_gauge", "TimeUnix, ServiceName, MetricName, Value", "ts, concat('service-', toString(number % 60)), 'queue.depth', number", 8},
	} {
		e.SQL(fmt.Sprintf("INSERT INTO %s (%s, IngestStream, IngestSeq) SELECT %s, concat('stream', toString(number %% %d)), intDiv(number, %d) FROM (SELECT number, fromUnixTimestamp64Nano(%d + toInt64(number) * %d, 'UTC') AS ts FROM numbers(%d)) ORDER BY ts",
			c.table, c.columns, c.values, streams, streams*perRecord, midnight.UnixNano(), int64(24*time.Hour)/rows, rows))
		for _, table := range schema.Tables() {
			if table.Name() != c.table {
				continue
			}
			// Two records, which came within half an hour.
			sought := []schema.Sought{{Stream: "stream7", First: 40, Last: 41, Since: at(40 * streams * perRecord), Till: at(42*streams*perRecord - 1)}}
			sql := table.PresentSQL(schema.Options{Database: e.Database()}, sought)
			found := strings.Count(e.SQL(sql), "\n") + 1
			if found != 2 {
				t.Errorf("%s: found %d records, want 2", c.table, found)
			}
			read, all := granulesOf(t, e.SQL("EXPLAIN indexes = 1 "+sql))
			t.Logf("%s: %d of %d granules", c.table, read, all)
			if read > c.most || all < 45 {
				t.Errorf("%s: %d of %d granules, want at most %d", c.table, read, all, c.most)
			}
		}
	}
}

// granulesOf reads what EXPLAIN says: the last index leaves so many, the first has all.
func granulesOf(t *testing.T, plan string) (read, all int) {
	t.Helper()
	found := regexp.MustCompile(`Granules: (\d+)/(\d+)`).FindAllStringSubmatch(plan, -1)
	if len(found) == 0 {
		t.Fatalf("no granules in\n%s", plan)
	}
	read, _ = strconv.Atoi(found[len(found)-1][1])
	all, _ = strconv.Atoi(found[0][2])
	return read, all
}

// On a cluster every replica is asked. There is one engine here, so this only shows that it is
// ClickHouse's SQL.
func TestLookupsOnAClusterAreClickHousesSQL(t *testing.T) {
	e := enginetest.Shared(t)
	for _, o := range []schema.Options{{Database: "otel", Cluster: "c"}, {Database: "otel", Managed: true}, {Database: "otel"}} {
		e.SQL("EXPLAIN AST " + schema.ExecutingSQL(o))
		for _, table := range schema.Tables() {
			sql := table.PresentSQL(o, []schema.Sought{{Stream: "00", First: 1, Last: 2, Since: 1, Till: 2}, {Stream: "01"}})
			e.SQL("EXPLAIN AST " + sql)
			if all := o.Cluster != "" || o.Managed; strings.Contains(sql, "clusterAllReplicas(") != all {
				t.Errorf("%+v: %s", o, sql)
			}
		}
	}
}
