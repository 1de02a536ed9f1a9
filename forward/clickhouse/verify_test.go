package clickhouse

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
	"github.com/spillway-io/spillway/schema"
)

const (
	streamA = "aa000000000000000000000000000000"
	streamB = "bb000000000000000000000000000000"
)

// A tableau is a database with rows that some test put there.
type tableau struct {
	*testing.T
	e *enginetest.Engine
	c *Conn
}

func newTableau(t *testing.T, change func(*schema.Options)) tableau {
	t.Helper()
	e := enginetest.Shared(t)
	c, _ := mustMigrate(t, e, false, change)
	return tableau{t, e, c}
}

// stored is one INSERT.
type stored struct {
	table  string
	stream string
	seqs   string // an array, in SQL
	rows   int    // of each record
	ago    int    // seconds since the INSERT
	at     string // what the rows' time is, in SQL
}

func (b tableau) store(all ...stored) {
	b.Helper()
	for _, s := range all {
		if s.at == "" {
			s.at = "now()"
		}
		column := "Timestamp"
		if strings.HasPrefix(s.table, "otel_metrics") {
			column = "TimeUnix"
		}
		b.e.SQL(fmt.Sprintf(`INSERT INTO %s (%s, IngestStream, IngestSeq, InsertedAt) SELECT %s, '%s', arrayJoin(%s), now() - %d FROM numbers(%d)
SETTINGS insert_allow_materialized_columns = 1, insert_deduplicate = 0`, s.table, column, s.at, s.stream, s.seqs, s.ago, max(1, s.rows)))
	}
}

// says runs v and compares what it finds, a line each.
func (b tableau) says(v Verify, want ...string) {
	b.Helper()
	var got []string
	say := func(format string, args ...any) { got = append(got, fmt.Sprintf(format, args...)) }
	v.Gap = func(signal, stream string, g Gap) {
		text := fmt.Sprintf("gap %s %s %d-%d", signal, stream[:2], g.From, g.To)
		if g.Expired {
			text += " expired"
		}
		if g.Recent {
			text += " recent"
		}
		say("%s", text)
	}
	v.Repeat = func(r Repeat) {
		what := "twice"
		if r.InPieces() {
			what = "pieces"
		}
		say("%s %s %s %d: %d of %d-%d", what, strings.TrimPrefix(r.Table, "otel_"), r.Stream[:2], r.Seq, r.Inserts, r.Least, r.Most)
	}
	v.Note = func(text string) { say("note %s", text) }
	streams, err := b.c.Verify(b.Context(), v)
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range streams {
		say("%s %s %d-%d: %d", s.Signal, s.ID[:2], s.First, s.Last, s.Records)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		b.Errorf("verify says\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

const yesterday = "now() - INTERVAL 1 DAY"

// A record has rows in two partitions by two INSERTs, records share INSERTs, and rows without identity do not count.
func TestVerifyFindsNothingWhereNothingIs(t *testing.T) {
	b := newTableau(t, nil)
	b.says(Verify{})
	b.store(
		stored{table: "otel_logs", stream: streamA, seqs: "range(100)", rows: 3, ago: 300},
		stored{table: "otel_logs", stream: streamA, seqs: "[99]", rows: 2, ago: 290, at: yesterday},
		stored{table: "otel_logs", stream: streamB, seqs: "range(7, 9)", ago: 300},
		stored{table: "otel_logs", seqs: "[1, 5, 5]", ago: 300},
		stored{table: "otel_traces", stream: streamB, seqs: "range(3)", rows: 2, ago: 300},
	)
	b.says(Verify{Settle: time.Minute}, "logs aa 0-99: 100", "logs bb 7-8: 2", "traces bb 0-2: 3")
	b.says(Verify{Streams: []string{streamB}}, "logs bb 7-8: 2", "traces bb 0-2: 3")
	b.says(Verify{Prefixes: []string{"aa0"}}, "logs aa 0-99: 100")
}

func TestVerifyFindsGaps(t *testing.T) {
	b := newTableau(t, nil)
	b.store(
		stored{table: "otel_logs", stream: streamA, seqs: "arrayConcat(range(2, 65530), range(65534, 65540), [200000, 200005])", ago: 300},
		stored{table: "otel_logs", stream: streamB, seqs: "[9, 3, 5, 4]", ago: 300}, // few numbers come back in any order
	)
	b.says(Verify{Settle: time.Minute}, "logs aa 2-200005: 65536", "gap logs aa 65530-65533", "gap logs aa 65540-199999", "gap logs aa 200001-200004",
		"logs bb 3-9: 4", "gap logs bb 6-8")
	// More blocks than are listed at a time.
	b.e.SQL("TRUNCATE TABLE otel_logs")
	b.store(stored{table: "otel_logs", stream: streamA, seqs: fmt.Sprintf("arrayMap(i -> i * 65536 + if(i < %d, 0, 1), range(%d))", maxBlocks, 2*maxBlocks+1), ago: 300})
	gaps, last := 0, uint64(0)
	v := Verify{Note: func(string) {}, Gap: func(_, _ string, g Gap) {
		if gaps++; g.From != last+1 {
			t.Errorf("gap %d begins at %d, want %d", gaps, g.From, last+1)
		}
		last = g.To + 1
	}}
	if streams, err := b.c.Verify(t.Context(), v); err != nil || len(streams) != 1 || gaps != 2*maxBlocks || last != streams[0].Last {
		t.Errorf("%d gaps up to %d: %v %v", gaps, last, streams, err)
	}
}

func TestVerifyFindsWhatIsStoredTwice(t *testing.T) {
	b := newTableau(t, nil)
	b.store(
		stored{table: "otel_logs", stream: streamA, seqs: "range(5)", rows: 4, ago: 400},
		stored{table: "otel_logs", stream: streamB, seqs: "range(3)", ago: 400}, // one row each, no doubt
		// Again, all of it.
		stored{table: "otel_logs", stream: streamA, seqs: "[1]", rows: 4, ago: 300},
		stored{table: "otel_logs", stream: streamA, seqs: "[1]", rows: 4, ago: 200},
		// The rest of a block of which rows are refused.
		stored{table: "otel_logs", stream: streamA, seqs: "[2]", rows: 2, ago: 399},
		stored{table: "otel_logs", stream: streamA, seqs: "[2]", rows: 1, ago: 398},
		// Too late for that.
		stored{table: "otel_logs", stream: streamA, seqs: "[3]", rows: 1, ago: 100},
		// Two pieces look like two of the same.
		stored{table: "otel_traces", stream: streamA, seqs: "[0]", rows: 1, ago: 399},
		stored{table: "otel_traces", stream: streamA, seqs: "[0]", rows: 1, ago: 398},
	)
	want := []string{"logs aa 0-4: 5", "logs bb 0-2: 3", "traces aa 0-0: 1",
		"twice logs aa 1: 3 of 4-4", "pieces logs aa 2: 3 of 1-4", "twice logs aa 3: 2 of 1-4", "twice traces aa 0: 2 of 1-1"}
	b.says(Verify{}, want...)
	b.e.SQL("OPTIMIZE TABLE otel_logs FINAL")
	b.says(Verify{}, want...)
	// What is inserted before the edge is not read.
	b.says(Verify{Since: 150 * time.Second}, "logs aa 3-3: 1")

	// A partition of many records is looked at in parts.
	logs := schema.Tables()[2]
	partition := b.e.SQL("SELECT DISTINCT _partition_id FROM otel_logs")
	r := schema.Reading{Database: b.e.Database(), Tables: []*schema.Table{logs}}
	found := make(map[string]int)
	for rest := range 3 {
		if rows := b.e.SQL(r.RepeatsSQL(logs, []string{partition}, 3, rest)); rows != "" {
			for _, line := range strings.Split(rows, "\n") {
				found[strings.Split(line, "\t")[1]] += 1 + 10*rest
			}
		}
	}
	if fmt.Sprint(found) != fmt.Sprint(map[string]int{"1": 11, "2": 21, "3": 1}) {
		t.Errorf("numbers by part: %v", found)
	}
}

// Below the first and above the last nothing is known, and what is missing from the last hour may be older than that.
func TestVerifyKnowsNothingBeyondItsEdges(t *testing.T) {
	b := newTableau(t, nil)
	b.store(
		stored{table: "otel_logs", stream: streamA, seqs: "arrayConcat(range(10), [12])", ago: 7200},
		stored{table: "otel_logs", stream: streamA, seqs: "[10, 13, 15]", ago: 300},
		stored{table: "otel_logs", stream: streamA, seqs: "[17]", ago: 3},
		stored{table: "otel_logs", stream: streamB, seqs: "[0, 2]", ago: 7200},
	)
	settle := time.Minute
	b.says(Verify{Since: time.Hour, Settle: settle}, "logs aa 10-17: 4", "gap logs aa 11-11", "gap logs aa 14-14", "gap logs aa 16-16 recent")
	b.says(Verify{Since: time.Hour}, "logs aa 10-17: 4", "gap logs aa 11-11", "gap logs aa 14-14", "gap logs aa 16-16")
	b.says(Verify{Settle: settle}, "logs aa 0-17: 15", "gap logs aa 11-11", "gap logs aa 14-14", "gap logs aa 16-16 recent", "logs bb 0-2: 2", "gap logs bb 1-1")
}

func TestVerifyCountsMetricsOverAllTheirTables(t *testing.T) {
	b := newTableau(t, nil)
	b.store(
		stored{table: "otel_metrics_gauge", stream: streamA, seqs: "range(4)", rows: 2, ago: 300},
		stored{table: "otel_metrics_sum", stream: streamA, seqs: "range(3, 6)", rows: 3, ago: 299},
		stored{table: "otel_metrics_summary", stream: streamA, seqs: "[6, 8]", ago: 299},
		stored{table: "otel_metrics_sum", stream: streamA, seqs: "[5]", rows: 3, ago: 100},
	)
	b.says(Verify{}, "metrics aa 0-8: 8", "gap metrics aa 7-7", "twice metrics_sum aa 5: 2 of 3-3")
}

// Rows leave by their own time: beside what is left of the oldest partition some may be gone.
func TestVerifyDoesNotJudgeWhereRowsHaveExpired(t *testing.T) {
	b := newTableau(t, func(o *schema.Options) { o.Retention.Logs = 10 * 24 * time.Hour })
	edge := "toStartOfDay(now() - INTERVAL 10 DAY, 'UTC') + 86399" // its partition has begun to go
	b.store(
		stored{table: "otel_logs", stream: streamA, seqs: "[3, 5]", ago: 864000, at: edge},
		stored{table: "otel_logs", stream: streamA, seqs: "[8, 9]", ago: 700000, at: "now() - INTERVAL 8 DAY"},
		stored{table: "otel_logs", stream: streamA, seqs: "[11]", ago: 300},
	)
	b.says(Verify{}, "logs aa 3-11: 5", "gap logs aa 4-4 expired", "gap logs aa 6-7 expired", "gap logs aa 10-10")
	b.e.SQL("ALTER TABLE otel_logs MODIFY TTL toDateTime(Timestamp) + INTERVAL 1 YEAR")
	b.says(Verify{}, "logs aa 3-11: 5", "gap logs aa 4-4", "gap logs aa 6-7", "gap logs aa 10-10",
		"note otel_logs: its TTL is not one of ours: where rows have expired, gaps are counted as gaps")
}

func TestVerifySaysWhatItCannotRead(t *testing.T) {
	b := newTableau(t, nil)
	b.e.SQL("DROP TABLE otel_metrics_summary")
	b.says(Verify{}, "note otel_metrics_summary is not read: it does not exist, or has no IngestStream; see spillway schema plan")
	for _, table := range schema.Tables() {
		b.e.SQL("DROP TABLE IF EXISTS " + table.Name())
	}
	if _, err := b.c.Verify(t.Context(), Verify{Note: func(string) {}}); !errors.Is(err, ErrNoTables) {
		t.Errorf("without tables: %v", err)
	}
}

// A read-only user may change no setting, and on HTTP a setting is a parameter. This engine cannot have such a user.
func TestVerifySendsNoSettings(t *testing.T) {
	b := newTableau(t, nil)
	b.store(stored{table: "otel_logs", stream: streamA, seqs: "[0, 2]", rows: 2, ago: 300})
	var mu sync.Mutex
	sent := make(map[string]bool)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: b.e.HTTPAddr()})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		for name := range r.URL.Query() {
			sent[name] = true
		}
		mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	defer server.Close()
	c, err := Open(strings.Replace(b.e.DSN(), b.e.HTTPAddr(), strings.TrimPrefix(server.URL, "http://"), 1), schema.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b.c = c
	b.says(Verify{}, "logs aa 0-2: 2", "gap logs aa 1-1")
	// What is no setting to a server.
	for _, name := range []string{"client_protocol_version", "compress", "database", "decompress", "default_format", "query", "query_id"} {
		delete(sent, name)
	}
	if len(sent) > 0 {
		t.Errorf("sent as well: %v", sent)
	}
}

// On a cluster the table that people name is Distributed; this one has one shard, which is the server itself.
func TestVerifyReadsThroughADistributedTable(t *testing.T) {
	e := enginetest.Start(t, enginetest.WithConfig("<clickhouse><tcp_port>9000</tcp_port><remote_servers><here><shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard></here></remote_servers></clickhouse>"))
	c, _ := mustMigrate(t, e, false, nil)
	e.SQL("RENAME TABLE otel_logs TO otel_logs_local")
	e.SQL("CREATE TABLE otel_logs AS otel_logs_local ENGINE = Distributed('here', 'otel', 'otel_logs_local', rand64())")
	e.SQL("ALTER TABLE otel_logs_local MODIFY TTL toDateTime(Timestamp) + INTERVAL 1 DAY")
	b := tableau{t, e, c}
	b.store(
		stored{table: "otel_logs_local", stream: streamA, seqs: "[0, 2]", ago: 86400, at: "toStartOfDay(now() - INTERVAL 1 DAY, 'UTC') + 86399"},
		stored{table: "otel_logs_local", stream: streamA, seqs: "[3, 5]", rows: 2, ago: 300},
		stored{table: "otel_logs_local", stream: streamA, seqs: "[5]", rows: 2, ago: 200},
	)
	b.says(Verify{}, "logs aa 0-5: 4", "gap logs aa 1-1 expired", "gap logs aa 4-4", "twice logs aa 5: 2 of 2-2")
}
