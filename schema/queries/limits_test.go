package queries

import (
	"strings"
	"testing"
)

// What docs/queries.md warns of: no index leaves anything out beyond the time.
func TestWhatNoIndexServes(t *testing.T) {
	db := load(t)
	const day = " AND Timestamp >= {day:Date} AND Timestamp < {day:Date} + INTERVAL 1 DAY"
	all := db.granules(t, "SELECT count() FROM otel_logs WHERE SeverityText != ''"+day)[logs]
	for what, condition := range map[string]string{
		"a part of a word":             "Body LIKE '%onnection timeou%'",
		"a part of a word, lower":      "lower(Body) LIKE '%onnection timeou%'",
		"a part of a word, any case":   "positionCaseInsensitive(Body, 'connection timeout') > 0",
		"words without lower":          "hasAllTokens(Body, 'connection timeout')",
		"a map's value, of common key": "LogAttributes['thread.name'] = 'worker-99'",
	} {
		if g := db.granules(t, "SELECT Timestamp FROM otel_logs WHERE "+condition+day)[logs]; g.read != all.read {
			t.Errorf("%s: reads %v granules, where the time alone leaves %v", what, g, all)
		}
	}
}

// Why Grafana's data source is to be told the version: ordered by a pair, ClickHouse cannot pass over what is older than
// the newest lines that it has already.
func TestTheNewestLinesAreFoundEarly(t *testing.T) {
	db := load(t)
	for file, want := range map[string]bool{"grafana/logs_1_30": true, "grafana/logs_1_29": false} {
		text, err := sql(file)
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for _, line := range db.mustAsk(t, "EXPLAIN indexes = 1 "+text) {
			plan.WriteString(line[0] + "\n")
		}
		if got := strings.Contains(plan.String(), "__topKFilter"); got != want {
			t.Errorf("%s: stops early: %v, want %v\n%s", file, got, want, plan.String())
		}
	}
}
