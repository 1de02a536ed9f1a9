package schema

import (
	"slices"
	"testing"
	"time"
)

func TestSQLIsSplitOutsideOfParenthesesAndQuotes(t *testing.T) {
	got := splitTop("a(1, 2), 'x, \\\\', `y,z`, [1, 2]")
	if want := []string{"a(1, 2)", "'x, \\\\'", "`y,z`", "[1, 2]"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if splitTop("") != nil {
		t.Error("something in nothing")
	}
}

func TestClausesOfATable(t *testing.T) {
	e := Existing{EngineFull: "MergeTree PARTITION BY toDate(Timestamp, 'UTC') PRIMARY KEY a ORDER BY (a, b) TTL toDateTime(Timestamp) + toIntervalDay(3) TO VOLUME 'cold', toDateTime(Timestamp) + toIntervalDay(30) SETTINGS index_granularity = 8192, storage_policy = 'hot, cold'"}
	for keyword, want := range map[string]string{"PARTITION BY": "toDate(Timestamp, 'UTC')", "PRIMARY KEY": "a", "ORDER BY": "(a, b)",
		"TTL": "toDateTime(Timestamp) + toIntervalDay(3) TO VOLUME 'cold', toDateTime(Timestamp) + toIntervalDay(30)", "SAMPLE BY": ""} {
		if got := e.clause(keyword); got != want {
			t.Errorf("%s: %q, want %q", keyword, got, want)
		}
	}
	if got := e.setting("storage_policy"); got != "'hot, cold'" {
		t.Errorf("storage policy %s", got)
	}
	rules, ok := parseTTL(e.clause("TTL"))
	want := ttl{{"toDateTime(Timestamp)", 3 * day, "cold"}, {"toDateTime(Timestamp)", 30 * day, ""}}
	if !ok || !slices.Equal(rules, want) || rules.keeps() != 30*day {
		t.Errorf("%v, %v", rules, ok)
	}
}

// Rules that are not ours are never taken for ours: they would be overwritten.
func TestRulesByHandAreNotUnderstood(t *testing.T) {
	for _, clause := range []string{
		"Timestamp + toIntervalMonth(1)",
		"Timestamp + toIntervalDay(1) DELETE WHERE ServiceName = 'x'",
		"Timestamp + toIntervalDay(1) WHERE ServiceName = 'x'",
		"Timestamp + toIntervalDay(1) RECOMPRESS CODEC(ZSTD(6))",
		"Timestamp + toIntervalDay(1) TO DISK 'x'",
		"Timestamp + toIntervalDay(days)",
		"Timestamp + toIntervalDay(1) GROUP BY ServiceName",
		"delete_at",
	} {
		if rules, ok := parseTTL(clause); ok {
			t.Errorf("%s is taken for %v", clause, rules)
		}
	}
}

func TestVersionsAreCompared(t *testing.T) {
	for version, ok := range map[string]bool{"26.3.1.1": true, "26.7.2.1": true, "27.1": true, "26.2.9.9": false, "25.12.1": false, "9.9": false} {
		if err := (State{Version: version}).CheckVersion(); (err == nil) != ok {
			t.Errorf("%s: %v", version, err)
		}
	}
}

func TestIntervalsAreInWholeUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{30 * day: "INTERVAL 30 DAY", 14 * day: "INTERVAL 14 DAY", 36 * time.Hour: "INTERVAL 36 HOUR", 90 * time.Minute: "INTERVAL 90 MINUTE", 61 * time.Second: "INTERVAL 61 SECOND"} {
		if got := interval(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
