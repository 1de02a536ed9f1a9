package e2e

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// The drill of docs/wal.md: a node dies for good before it could deliver anything, its disk is
// attached elsewhere, and what was acknowledged there is replayed from the disk. A second replay
// finds everything there.
func TestReplayFromADetachedDisk(t *testing.T) {
	t.Parallel()
	nobody := port(t)
	a := startAgent(t, nobody, "")
	l := newLoad(t, a.grpc, "drill", 50)
	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	loading.Go(func() { l.run(ctx, 4, 0) })
	until(t, "some records acknowledged", func() bool { return l.ackedCount() >= 20_000 })
	a.kill() // under load
	stop()
	loading.Wait()

	work := t.TempDir()
	if err := os.CopyFS(filepath.Join(work, "disk"), os.DirFS(a.wal)); err != nil {
		t.Fatal(err)
	}
	engine := enginetest.Start(t)
	c := startCollector(t, engine.DSN())
	c.ready()

	shell(t, work, c, "spillway wal verify disk")
	shell(t, work, c, "spillway wal ls disk")
	t.Log(shell(t, work, c, "spillway wal replay disk --to $COLLECTOR --insecure"))
	conn := connect(t, engine.DSN())
	lost, duplicated := l.verify(conn)
	if lost > 0 || duplicated > 0 {
		t.Errorf("of %d acknowledged records %d are lost; %d rows are there more than once", l.ackedCount(), lost, duplicated)
	}
	repeats := "SELECT count() FROM (" + documentedQuery(t) + ")"
	if n := one(t, conn, repeats); n > 0 {
		t.Errorf("%d records are there more than once after the first replay", n)
	}
	rows, first := one(t, conn, "SELECT count() FROM otel_logs"), identities(t, conn)
	const columns = "Timestamp, Body, LogAttributes, IngestStream, IngestSeq"
	engine.SQL("INSERT INTO otel_logs (" + columns + ") SELECT " + columns + " FROM otel_logs WHERE (IngestStream, IngestSeq) = (SELECT IngestStream, IngestSeq FROM otel_logs LIMIT 1)")
	if n := one(t, conn, repeats); n != 1 {
		t.Errorf("the query of docs/wal.md names %d records as repeated, want the one that was copied", n)
	}

	shell(t, work, c, "spillway wal export disk --out log.spillway")
	shell(t, work, c, "spillway wal replay log.spillway --to $COLLECTOR --insecure")
	second := identities(t, conn)
	if !maps.Equal(keys(first), keys(second)) {
		t.Errorf("%d identities after the first replay, %d after the second", len(first), len(second))
	}
	if n := one(t, conn, repeats); n != 1 {
		t.Errorf("%d records are there more than once after the second replay, want the one that was copied", n)
	}
	t.Logf("acknowledged %d, lost %d, rows %d, identities %d", l.ackedCount(), lost, rows, len(first))
}

// shell runs a line of docs/wal.md in dir, and returns what it printed.
func shell(t *testing.T, dir string, c *collector, line string) string {
	t.Helper()
	words := strings.Fields(strings.ReplaceAll(line, "$COLLECTOR", c.grpc))
	cmd := exec.CommandContext(t.Context(), bin, words[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// documentedQuery is the one that docs/wal.md shows.
func documentedQuery(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile("../docs/wal.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(doc), "```sql\n")
	query, _, ok := strings.Cut(after, "```")
	if !ok {
		t.Fatal("docs/wal.md shows no query")
	}
	return query
}

type identity struct {
	Stream string
	Seq    uint64
}

// identities are those of all rows, with their number of rows.
func identities(t *testing.T, conn driver.Conn) map[identity]uint64 {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT IngestStream, toUInt64(IngestSeq), count() FROM otel_logs GROUP BY 1, 2")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := make(map[identity]uint64)
	for rows.Next() {
		var id identity
		var n uint64
		if err := rows.Scan(&id.Stream, &id.Seq, &n); err != nil {
			t.Fatal(err)
		}
		if id.Stream == "" {
			t.Fatalf("%d rows have no identity", n)
		}
		all[id] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func keys(m map[identity]uint64) map[identity]bool {
	out := make(map[identity]bool, len(m))
	for k := range m {
		out[k] = true
	}
	return out
}
