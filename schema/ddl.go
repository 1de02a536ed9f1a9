package schema

import (
	"fmt"
	"regexp"
	"strings"
)

// A setting of a table.
type setting struct{ name, value string }

// settings returns those of the table, in the order of its DDL.
func (t *Table) settings(o Options) []setting {
	all := []setting{{"index_granularity", "8192"}, {"ttl_only_drop_parts", "1"}}
	// The window is how many recent INSERTs, and of what age, a repeated
	// deduplication token is recognised among.
	if o.Cluster != "" || o.Managed {
		all = append(all, setting{"replicated_deduplication_window", "10000"}, setting{"replicated_deduplication_window_seconds", "604800"})
	} else {
		// The fsync settings make the server's OK survive a power cut, for a part and
		// for what it is merged into; by default ClickHouse does not sync at all. A
		// replicated table relies on its other replicas.
		all = append(all, setting{"non_replicated_deduplication_window", "10000"},
			setting{"fsync_after_insert", "1"}, setting{"fsync_part_directory", "1"}, setting{"min_rows_to_fsync_after_merge", "1"})
	}
	all = append(all, t.extra...)
	if t.moves(o) {
		all = append(all, setting{"storage_policy", quote(o.StoragePolicy)})
	}
	return all
}

// engineOf spells the engine of the table that holds the rows.
func (t *Table) engineOf(o Options) string {
	switch {
	case o.Managed:
		return "Shared" + t.engine
	case o.ReplicatedDatabase:
		return "Replicated" + t.engine // which names its path itself
	case o.Cluster != "":
		return "Replicated" + t.engine + "('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')" // no {uuid}: a node that joins later would have another
	default:
		return t.engine
	}
}

// Statements returns what creates the database and all tables, in order. Each
// may be run again: what exists is left as it is.
func Statements(o Options) []string {
	all := []string{CreateDatabase(o)}
	for _, t := range tables {
		all = append(all, t.DDL(o))
		if o.Cluster != "" {
			all = append(all, t.frontDDL(o))
		}
	}
	return all
}

// CreateDatabase returns the statement that creates the database if it does not exist.
func CreateDatabase(o Options) string {
	sql := "CREATE DATABASE IF NOT EXISTS " + Ident(o.Database) + o.OnCluster()
	if o.ReplicatedDatabase {
		sql += " ENGINE = Replicated(" + quote("/clickhouse/databases/"+o.Database) + ", '{shard}', '{replica}')"
	}
	return sql
}

// TraceIDView returns the statement that creates a materialized view from spans
// to their trace's time range. Our own writer fills that table itself; the view
// is for tables that other writers insert into, and Statements leaves it out.
func TraceIDView(o Options) string {
	db := Ident(o.Database)
	return fmt.Sprintf(`CREATE MATERIALIZED VIEW IF NOT EXISTS %[1]s.otel_traces_trace_id_ts_mv%[4]s TO %[1]s.%[2]s AS
SELECT TraceId, toDate(Timestamp, 'UTC') AS Day, min(toDateTime(Timestamp)) AS Start, max(toDateTime(Timestamp)) AS End
FROM %[1]s.%[3]s WHERE TraceId != '' GROUP BY TraceId, Day`, db, traceTimes.LocalName(o), traces.LocalName(o), o.OnCluster())
}

// DDL returns the statement that creates the table that holds the rows, if it does
// not exist.
func (t *Table) DDL(o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s.%s%s\n(\n", Ident(o.Database), Ident(t.LocalName(o)), o.OnCluster())
	t.writeBody(&b)
	fmt.Fprintf(&b, ")\nENGINE = %s\nPARTITION BY %s\n", t.engineOf(o), t.partition)
	if t.primaryKey != "" {
		fmt.Fprintf(&b, "PRIMARY KEY %s\n", t.primaryKey)
	}
	fmt.Fprintf(&b, "ORDER BY %s\n", t.orderBy)
	if ttl := t.ttl(o); ttl != nil {
		fmt.Fprintf(&b, "TTL %s\n", ttl)
	}
	var settings []string
	for _, s := range t.settings(o) {
		settings = append(settings, s.name+" = "+s.value)
	}
	fmt.Fprintf(&b, "SETTINGS %s", strings.Join(settings, ", "))
	return b.String()
}

// frontDDL returns the statement that creates the table that queries name on a
// cluster. The sharding key is for whoever inserts through it: all rows of a trace,
// and all points of a metric, go to one shard.
func (t *Table) frontDDL(o Options) string {
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s.%s%s AS %[1]s.%[4]s\nENGINE = Distributed(%s, %s, %s, %s)",
		Ident(o.Database), Ident(t.name), o.OnCluster(), Ident(t.LocalName(o)),
		quote(o.Cluster), quote(o.Database), quote(t.LocalName(o)), t.shardBy)
}

// writeBody writes columns and indexes, one a line, with the names aligned.
func (t *Table) writeBody(b *strings.Builder) {
	width := 0
	for _, c := range t.columns {
		width = max(width, len(Ident(c.name)))
	}
	var lines []string
	for _, c := range t.columns {
		lines = append(lines, fmt.Sprintf("    %-*s %s", width, Ident(c.name), c.definition()))
	}
	for _, i := range t.indexes {
		lines = append(lines, "    "+i.definition())
	}
	b.WriteString(strings.Join(lines, ",\n"))
	b.WriteString("\n")
}

// definition is the column without its name.
func (c column) definition() string {
	def := c.typ
	if c.value != "" {
		def += " " + c.value
	}
	if c.codec != "" {
		def += " CODEC(" + c.codec + ")"
	}
	return def
}

func (i index) definition() string {
	return fmt.Sprintf("INDEX %s %s TYPE %s", i.name, i.expr, i.typ)
}

// moves reports whether the table's rows go to the cold volume before they expire.
func (t *Table) moves(o Options) bool {
	cold, keep := o.ColdAfter.of(t.signal), o.Retention.of(t.signal)
	return t.identified && cold > 0 && (keep == 0 || cold < keep)
}

var plainIdent = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Ident spells an identifier for SQL.
func Ident(name string) string {
	if plainIdent.MatchString(name) {
		return name
	}
	return "`" + escape.Replace(name) + "`"
}

// quote spells a string literal for SQL.
func quote(s string) string {
	return "'" + escape.Replace(s) + "'"
}

var escape = strings.NewReplacer(`\`, `\\`, "`", "\\`", `'`, `\'`)
