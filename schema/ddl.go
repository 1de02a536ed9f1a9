package schema

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// commonSettings hold for every table. The window is how many recent INSERTs a
// repeated deduplication token is recognised among. The fsync settings make the
// server's OK survive a power cut, for a part and for what it is merged into;
// by default ClickHouse does not sync at all.
var commonSettings = []string{
	"index_granularity = 8192",
	"ttl_only_drop_parts = 1",
	"non_replicated_deduplication_window = 10000",
	"fsync_after_insert = 1",
	"fsync_part_directory = 1",
	"min_rows_to_fsync_after_merge = 1",
}

// Statements returns what creates the database and all tables, in order. Each
// may be run again: what exists is left as it is.
func Statements(o Options) []string {
	all := []string{"CREATE DATABASE IF NOT EXISTS " + ident(o.Database)}
	for _, t := range tables {
		all = append(all, t.DDL(o))
	}
	return all
}

// TraceIDView returns the statement that creates a materialized view from spans
// to their trace's time range. Our own writer fills that table itself; the view
// is for tables that other writers insert into, and Statements leaves it out.
func TraceIDView(o Options) string {
	db := ident(o.Database)
	return fmt.Sprintf(`CREATE MATERIALIZED VIEW IF NOT EXISTS %[1]s.otel_traces_trace_id_ts_mv TO %[1]s.%[2]s AS
SELECT TraceId, toDate(Timestamp, 'UTC') AS Day, min(toDateTime(Timestamp)) AS Start, max(toDateTime(Timestamp)) AS End
FROM %[1]s.%[3]s WHERE TraceId != '' GROUP BY TraceId, Day`, db, traceTimes.name, traces.name)
}

// DDL returns the statement that creates the table if it does not exist.
func (t *Table) DDL(o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s.%s\n(\n", ident(o.Database), ident(t.name))
	t.writeBody(&b)
	fmt.Fprintf(&b, ")\nENGINE = %s\nPARTITION BY %s\n", t.engine, t.partition)
	if t.primaryKey != "" {
		fmt.Fprintf(&b, "PRIMARY KEY %s\n", t.primaryKey)
	}
	fmt.Fprintf(&b, "ORDER BY %s\n", t.orderBy)
	settings := append(commonSettings[:len(commonSettings):len(commonSettings)], t.settings...)
	if rules := t.ttl(o); len(rules) > 0 {
		fmt.Fprintf(&b, "TTL %s\n", strings.Join(rules, ", "))
		if t.moves(o) && o.StoragePolicy != "" {
			settings = append(settings, "storage_policy = "+quote(o.StoragePolicy))
		}
	}
	fmt.Fprintf(&b, "SETTINGS %s", strings.Join(settings, ", "))
	return b.String()
}

// writeBody writes columns and indexes, one a line, with the names aligned.
func (t *Table) writeBody(b *strings.Builder) {
	width := 0
	for _, c := range t.columns {
		width = max(width, len(ident(c.name)))
	}
	var lines []string
	for _, c := range t.columns {
		line := fmt.Sprintf("    %-*s %s", width, ident(c.name), c.typ)
		if c.value != "" {
			line += " " + c.value
		}
		if c.codec != "" {
			line += " CODEC(" + c.codec + ")"
		}
		lines = append(lines, line)
	}
	for _, i := range t.indexes {
		lines = append(lines, fmt.Sprintf("    INDEX %s %s TYPE %s", i.name, i.expr, i.typ))
	}
	b.WriteString(strings.Join(lines, ",\n"))
	b.WriteString("\n")
}

func (t *Table) ttl(o Options) []string {
	var rules []string
	if t.moves(o) {
		rules = append(rules, t.expires+" + "+interval(o.ColdAfter.of(t.signal))+" TO VOLUME 'cold'")
	}
	if keep := o.Retention.of(t.signal); keep > 0 {
		if !t.identified {
			// Counted from a date, and useful for as long as any span of that day.
			keep = (keep + 2*day - 1).Truncate(day)
		}
		rules = append(rules, t.expires+" + "+interval(keep)+" DELETE")
	}
	return rules
}

// moves reports whether the table's rows go to the cold volume before they expire.
func (t *Table) moves(o Options) bool {
	cold, keep := o.ColdAfter.of(t.signal), o.Retention.of(t.signal)
	return t.identified && cold > 0 && (keep == 0 || cold < keep)
}

const day = 24 * time.Hour

// interval renders a duration in its largest whole unit.
func interval(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{day, "DAY"}, {time.Hour, "HOUR"}, {time.Minute, "MINUTE"}} {
		if d%u.unit == 0 {
			return fmt.Sprintf("INTERVAL %d %s", d/u.unit, u.name)
		}
	}
	return fmt.Sprintf("INTERVAL %d SECOND", d/time.Second)
}

var plainIdent = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ident spells an identifier for SQL.
func ident(name string) string {
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
