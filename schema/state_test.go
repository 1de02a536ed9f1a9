package schema

import (
	"slices"
	"strings"
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

// A column that a new version brings is added behind the front of a cluster and to the front.
func TestTheFrontOfAClusterGetsNewColumns(t *testing.T) {
	o := DefaultOptions()
	o.Cluster = "prod"
	have := State{Version: MinVersion, Database: "Atomic", Clusters: []string{"prod"}, Macros: map[string]string{"shard": "1", "replica": "a"},
		Tables: map[string]Existing{"otel_logs": {Engine: "Distributed", Columns: []ExistingColumn{{Name: "Timestamp", Type: typeNanos}}}}}
	plan, err := NewPlan(have, o)
	if err != nil || plan.Blocked() != nil {
		t.Fatal(err, plan.Blocked())
	}
	for _, s := range plan.Steps {
		if s.Table == "otel_logs" && strings.HasPrefix(s.SQL, "ALTER TABLE otel.otel_logs ON CLUSTER prod\n    ADD COLUMN IF NOT EXISTS") && strings.Contains(s.SQL, "Body String") && !strings.Contains(s.SQL, "CODEC") {
			return
		}
	}
	t.Errorf("no step adds them: %+v", plan.Steps)
}

// A replicated table that no cluster is configured for has the settings of a replicated table, and is
// not said to be durable.
func TestAReplicatedTableWithoutACluster(t *testing.T) {
	e := Existing{Engine: "ReplicatedMergeTree", EngineFull: "ReplicatedMergeTree ORDER BY x SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"}
	if yes, why := e.Durable(DefaultOptions()); yes || !strings.Contains(why, "schema.cluster") {
		t.Errorf("durable: %v, %s", yes, why)
	}
	p := planner{o: DefaultOptions()}
	p.settings(logs, "otel_logs", e)
	for _, s := range p.Steps {
		if strings.Contains(s.SQL, "fsync") || strings.Contains(s.SQL, "non_replicated") {
			t.Error(s.SQL)
		}
	}
}
