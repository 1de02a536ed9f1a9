package queries

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spillway-io/spillway/schema"
)

// Two keys of logs, by what the usual conditions read. docs/adr/0009 has the figures; the tests hold which one wins where.
func TestTheKeyOfLogs(t *testing.T) {
	db := load(t)
	const byService = "logs_by_service"
	table := ""
	for _, statement := range schema.Statements(schema.Options{Database: db.name}) {
		if strings.Contains(statement, "TABLE IF NOT EXISTS "+db.name+"."+logs+"\n") {
			table = statement
		}
	}
	const ours = "PRIMARY KEY (toStartOfFiveMinutes(Timestamp), ServiceName)\nORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)\n"
	if !strings.Contains(table, ours) {
		t.Fatalf("another key: %s", table)
	}
	table = strings.Replace(table, ours, "ORDER BY (ServiceName, Timestamp, TraceId)\n", 1)
	table = strings.Replace(table, db.name+"."+logs, db.name+"."+byService, 1)
	db.mustAsk(t, "DROP TABLE IF EXISTS "+byService)
	db.mustAsk(t, table)
	for _, index := range []string{"idx_res_attr_key", "idx_res_attr_items", "idx_log_attr_key", "idx_log_attr_items", "idx_lower_body"} {
		db.mustAsk(t, "ALTER TABLE "+byService+" DROP INDEX "+index) // they take long, and are no part of the question
	}
	db.mustAsk(t, "SYSTEM STOP MERGES "+byService)
	// Only the columns of the key and of its indexes.
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
	for _, column := range []string{"Timestamp", "TraceId", "ServiceName"} {
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
