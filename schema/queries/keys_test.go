package queries

import (
	"fmt"
	"testing"
)

// The key of lines and the one that begins with the service, on the same lines and with the same indexes on time and trace.
// docs/adr/0009 has the figures; the test holds which key is the better one where.
func TestTheKeyOfLogs(t *testing.T) {
	db := load(t)
	const byService = "logs_by_service"
	db.mustAsk(t, "DROP TABLE IF EXISTS "+byService)
	db.mustAsk(t, "CREATE TABLE "+byService+` (
		Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)), TraceId String CODEC(ZSTD(1)), ServiceName LowCardinality(String), SeverityText LowCardinality(String),
		INDEX idx_ts Timestamp TYPE minmax GRANULARITY 1, INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1)
		ENGINE = MergeTree PARTITION BY toDate(Timestamp, 'UTC') ORDER BY (ServiceName, Timestamp, TraceId)`)
	db.mustAsk(t, "SYSTEM STOP MERGES "+byService)
	db.mustAsk(t, "INSERT INTO "+byService+" (Timestamp, TraceId, ServiceName, SeverityText) SELECT Timestamp, TraceId, ServiceName, SeverityText FROM "+logs+blocks)
	db.mustAsk(t, "SYSTEM START MERGES "+byService)
	db.mustAsk(t, "OPTIMIZE TABLE "+byService+" FINAL")

	for _, question := range []struct {
		what, where string
		oursWins    bool
	}{
		{"all services, one hour", "Timestamp >= {from:DateTime} AND Timestamp < {to:DateTime}", true},
		{"all services, five minutes", "Timestamp >= {from:DateTime} AND Timestamp < {from:DateTime} + INTERVAL 5 MINUTE", true},
		{"one trace, bounded to minutes", "TraceId = {trace:String} AND Timestamp >= {at:DateTime64(9)} - INTERVAL 1 MINUTE AND Timestamp <= {at:DateTime64(9)} + INTERVAL 2 MINUTE", true},
		{"one trace, no time", "TraceId = {trace:String}", true},
		{"one service, one hour", "ServiceName = {service:String} AND Timestamp >= {from:DateTime} AND Timestamp < {to:DateTime}", false},
		{"one service, one day", "ServiceName = {service:String} AND Timestamp >= {day:Date} AND Timestamp < {day:Date} + INTERVAL 1 DAY", false},
		{"one rare service, one day", "ServiceName = 'fraud-store' AND Timestamp >= {day:Date} AND Timestamp < {day:Date} + INTERVAL 1 DAY", false},
	} {
		a := db.granules(t, "SELECT max(SeverityText) FROM "+logs+" WHERE "+question.where)[logs]
		b := db.granules(t, "SELECT max(SeverityText) FROM "+byService+" WHERE "+question.where)[byService]
		t.Logf("%-30s time first %s, service first %s", question.what, a, b)
		if question.oursWins && a.read > b.read || !question.oursWins && b.read > a.read {
			t.Errorf("%s: time first reads %s, service first %s", question.what, a, b)
		}
	}
	for _, column := range []string{"Timestamp", "TraceId"} {
		size := make(map[string]float64)
		for _, row := range db.mustAsk(t, fmt.Sprintf("SELECT table, sum(column_data_compressed_bytes) / sum(rows) FROM system.parts_columns "+
			"WHERE active AND database = currentDatabase() AND table IN ('%s', '%s') AND column = '%s' GROUP BY table", logs, byService, column)) {
			size[row[0]] = float(t, row[1])
		}
		t.Logf("%s: %.2f bytes a row with time first, %.2f with service first", column, size[logs], size[byService])
		if column == "TraceId" && size[logs] >= size[byService] {
			t.Error("a trace's lines no longer lie together")
		}
	}
}
