package schema

import (
	"fmt"
	"strings"
	"time"
)

// Sought are records that may be in a table: those of one stream numbered First to Last, if their
// rows are of that time. Bounds as of Rows.Bounds.
type Sought struct {
	Stream      string
	First, Last uint64
	Since, Till int64
}

// PresentSQL asks how many rows of each unit there are. A row of the answer is stream, seq,
// partition as of Rows.Partition, and count; a unit that is not there has none. On a cluster every
// replica of every shard is asked for itself, and what the one with the most of a unit has counts.
func (t *Table) PresentSQL(o Options, sought []Sought) string {
	var any []string
	for _, s := range sought {
		since := s.Since - s.Since%int64(time.Second) // a DateTime was cut to it
		any = append(any, fmt.Sprintf("IngestStream = '%s' AND IngestSeq BETWEEN %d AND %d AND %[4]s BETWEEN fromUnixTimestamp64Nano(%d, 'UTC') AND fromUnixTimestamp64Nano(%d, 'UTC')",
			s.Stream, s.First, s.Last, t.TimeColumn(), since, s.Till))
	}
	from, replica := Ident(o.Database)+"."+Ident(t.name), "0"
	if cluster := o.replicas(); cluster != "" {
		from, replica = fmt.Sprintf("clusterAllReplicas('%s', %s, %s)", cluster, Ident(o.Database), Ident(t.LocalName(o))), "_shard_num" // which numbers replicas here
	}
	return fmt.Sprintf("SELECT stream, seq, partition, max(n) FROM (SELECT IngestStream AS stream, IngestSeq AS seq, toInt32(%s) AS partition, %s AS replica, count() AS n FROM %s WHERE (%s) GROUP BY ALL) GROUP BY ALL",
		t.partition, replica, from, strings.Join(any, ") OR ("))
}

// replicas is the cluster whose nodes have the tables, "" for one server. ClickHouse Cloud calls
// its own default.
func (o Options) replicas() string {
	if o.Managed {
		return "default"
	}
	return o.Cluster
}

// ExecutingSQL asks what time it is, in unix seconds, and which INSERTs with a fence are being
// executed: for each the text that it begins with, and for how long, in seconds.
func ExecutingSQL(o Options) string {
	processes := "system.processes"
	if cluster := o.replicas(); cluster != "" {
		processes = fmt.Sprintf("clusterAllReplicas('%s', system, processes)", cluster)
	}
	return "SELECT toUnixTimestamp(now()), groupArray(substring(query, 1, 200)), groupArray(elapsed) FROM " + processes + " WHERE query LIKE 'INSERT INTO %" + fenceColumn + "%'"
}

// Inserts reports whether a query that begins so is an INSERT into the table.
func (t *Table) Inserts(o Options, query string) bool {
	return strings.HasPrefix(query, "INSERT INTO "+Ident(o.Database)+"."+Ident(t.LocalName(o))+" ")
}
