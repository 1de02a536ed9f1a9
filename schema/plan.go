package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// CurrentVersion numbers the schema. It grows with every release that changes a table.
const CurrentVersion = 1

// migrations are what each version brought, in order. What a version adds (a table, a
// column, an index, a setting, a rule) is found out by comparing and needs no statement
// here; statements are for what a comparison cannot see, such as rows to rewrite.
var migrations = []struct {
	version    uint32
	name       string
	statements func(Options) []string
}{
	{1, "tables of logs, traces and metrics", nil},
}

// A Step is a statement that brings the database closer to what it should be.
type Step struct {
	Table string // "" is the database
	Why   string
	SQL   string
	// Destructive steps remove rows earlier than the database would by itself. They are
	// taken only by whoever asks for them.
	Destructive bool
	// Vital steps are those without which rows cannot be written.
	Vital bool
}

// A Note is something that is not as it should be and that no statement of ours mends, or
// that an operator should know.
type Note struct {
	Table string
	Text  string
	Fatal bool // writing cannot work
}

// A Plan is how to get from what is there to what should be.
type Plan struct {
	Steps []Step
	Notes []Note
}

// Blocked is the reason that nothing can be done, nil if there is none.
func (p Plan) Blocked() error {
	for _, n := range p.Notes {
		if n.Fatal {
			return fmt.Errorf("%s: %s", n.Table, n.Text)
		}
	}
	return nil
}

// NewPlan compares. Tables that the OpenTelemetry exporter or ClickStack made are
// adopted: they get the columns, indexes and settings that they lack, and keep theirs.
// Nothing is dropped, and what somebody wrote by hand is left alone and noted.
func NewPlan(have State, o Options) (Plan, error) {
	var p planner
	p.o, p.have = o, have
	if err := have.CheckVersion(); err != nil {
		return Plan{}, err
	}
	for _, a := range have.Applied {
		if a.Version > CurrentVersion {
			return Plan{}, fmt.Errorf("the schema is of version %d (%s), and this spillway knows %d: upgrade it, or set schema.create: false to write without touching the tables", a.Version, a.Name, CurrentVersion)
		}
	}
	p.server()
	if have.Database == "" {
		p.step("", "the database does not exist", CreateDatabase(o))
	}
	for _, t := range tables {
		p.table(t)
	}
	for _, m := range migrations {
		applied := slices.ContainsFunc(have.Applied, func(a Applied) bool { return a.Version == m.version })
		if applied || m.statements == nil || len(have.Tables) == 0 {
			continue
		}
		for _, sql := range m.statements(o) {
			p.step("", "version "+strconv.Itoa(int(m.version))+": "+m.name, sql)
		}
	}
	if !slices.ContainsFunc(have.Applied, func(a Applied) bool { return a.Version == CurrentVersion }) {
		for _, sql := range record(o) {
			p.step(MigrationsTable, "note which versions are applied", sql)
		}
	}
	return p.Plan, nil
}

type planner struct {
	Plan
	o    Options
	have State
}

func (p *planner) step(table, why, sql string) {
	vital := strings.HasPrefix(sql, "CREATE ") || strings.Contains(sql, "ADD COLUMN")
	p.Steps = append(p.Steps, Step{Table: table, Why: why, SQL: sql, Vital: vital})
}

func (p *planner) note(table, format string, args ...any) {
	p.Notes = append(p.Notes, Note{Table: table, Text: fmt.Sprintf(format, args...)})
}

func (p *planner) fatal(table, format string, args ...any) {
	p.Notes = append(p.Notes, Note{Table: table, Text: fmt.Sprintf(format, args...), Fatal: true})
}

// server checks what the tables rely on.
func (p *planner) server() {
	if p.have.Cloud && !p.o.Managed {
		p.note("", "this is ClickHouse Cloud: set schema.managed: true")
	}
	if p.o.Cluster != "" {
		// The cluster of a Replicated database comes with the database.
		if !slices.Contains(p.have.Clusters, p.o.Cluster) && !(p.o.ReplicatedDatabase && p.have.Database == "") {
			p.fatal("", "cluster %s is not in the server's remote_servers, which has %v: define it (deploy/clickhouse/cluster.xml is an example), or correct schema.cluster", p.o.Cluster, p.have.Clusters)
		}
		for _, m := range []string{"shard", "replica"} {
			if p.have.Macros[m] == "" {
				p.fatal("", "the macro {%s} is not defined: give each server a <macros> section (deploy/clickhouse/cluster.xml is an example)", m)
			}
		}
	}
	if p.o.StoragePolicy != "" {
		switch volumes, ok := p.have.Policies[p.o.StoragePolicy]; {
		case !ok:
			p.fatal("", "there is no storage policy %s: put deploy/clickhouse/storage-hot-cold-s3.xml or one like it into the server's config.d, or leave schema.storage_policy and cold_after empty", p.o.StoragePolicy)
		case !slices.Contains(volumes, coldVolume):
			p.fatal("", "storage policy %s has the volumes %v, and none called %s", p.o.StoragePolicy, volumes, coldVolume)
		}
	}
}

func (p *planner) table(t *Table) {
	name := t.LocalName(p.o)
	have, ok := p.have.Tables[name]
	if !ok {
		p.step(name, "the table does not exist", t.DDL(p.o))
		p.front(t)
		return
	}
	switch family := have.family(); {
	case family == "MergeTree" || family == t.engine:
	case family == "Distributed":
		p.fatal(name, "it is a Distributed table: set schema.cluster, so that rows go into the tables behind it")
		return
	case strings.HasSuffix(family, "MergeTree"):
		p.fatal(name, "it is of engine %s, which makes one row of several that are not the same: rename it away", have.Engine)
		return
	default:
		p.fatal(name, "it is of engine %s, which rows cannot be kept in: rename it away", have.Engine)
		return
	}
	p.columns(t, name, have)
	p.settings(t, name, have)
	p.ttl(t, name, have)
	p.keys(t, name, have)
	p.front(t)
}

// front makes the Distributed table in front of a cluster's tables.
func (p *planner) front(t *Table) {
	if p.o.Cluster == "" {
		return
	}
	have, ok := p.have.Tables[t.name]
	switch {
	case !ok:
		p.step(t.name, "the table in front of the cluster does not exist", t.frontDDL(p.o))
	case have.Engine != "Distributed":
		p.note(t.name, "it is of engine %s, not Distributed: queries see one node's rows; rename it away and apply again", have.Engine)
	default:
		var add []string
		for _, c := range t.columns {
			if _, ok := have.column(c.name); !ok {
				c.codec = "" // it stores nothing
				add = append(add, "ADD COLUMN IF NOT EXISTS "+Ident(c.name)+" "+c.definition())
			}
		}
		if len(add) > 0 {
			p.alter(t.name, "columns that the tables behind it have", strings.Join(add, ",\n    "), "")
		}
	}
}

// columns adds what the table lacks, in one statement, so that it is rewritten once.
func (p *planner) columns(t *Table, name string, have Existing) {
	var add []string
	missing := func(c column) {
		add = append(add, "ADD COLUMN IF NOT EXISTS "+Ident(c.name)+" "+c.definition())
	}
	var last []column
	for _, c := range t.columns {
		got, ok := have.column(c.name)
		switch {
		case !ok && strings.Contains(c.value, fenceColumn):
			last = append(last, c) // needs the column of the fence
		case !ok:
			missing(c)
		case c.inserted() && (got.Kind == "ALIAS" || got.Kind == "MATERIALIZED"):
			p.fatal(name, "column %s is %s %s, so it cannot be inserted: drop it, and apply again", c.name, got.Kind, got.Expression)
		case strings.Contains(c.value, fenceColumn) && !strings.Contains(got.Expression, fenceColumn):
			p.note(name, "column %s is %s %s, and not what refuses a block that comes too late: kept; drop it, and apply again, for a fence", c.name, got.Kind, got.Expression)
		case squeeze(got.Type) != squeeze(c.typ):
			p.note(name, "column %s is %s, where ours is %s: kept, the server converts", c.name, got.Type, c.typ)
		}
	}
	for _, c := range last {
		missing(c)
	}
	for _, x := range t.indexes {
		same := func(e ExistingIndex) bool {
			return e.Name == x.name || squeeze(e.Expression) == squeeze(x.expr)
		}
		if i := slices.IndexFunc(have.Indexes, same); i < 0 {
			add = append(add, "ADD "+strings.Replace(x.definition(), "INDEX ", "INDEX IF NOT EXISTS ", 1))
		}
	}
	if len(add) > 0 {
		p.alter(name, "columns and indexes that it lacks; indexes cover rows from now on", strings.Join(add, ",\n    "), "")
	}
}

func (p *planner) alter(name, why, what, settings string) *Step {
	sql := "ALTER TABLE " + Ident(p.o.Database) + "." + Ident(name) + p.o.OnCluster() + "\n    " + what
	if settings != "" {
		sql += "\nSETTINGS " + settings
	}
	p.step(name, why, sql)
	return &p.Steps[len(p.Steps)-1]
}

// settings brings those of an existing table to ours; windows are only made larger.
func (p *planner) settings(t *Table, name string, have Existing) {
	var change []string
	o := p.o
	if have.replicated() && o.Cluster == "" {
		o.Cluster = "of somebody" // whose settings are those of replicated tables
		p.note(name, "it is of engine %s: set schema.cluster, so that INSERTs wait for a second replica", have.Engine)
	}
	if !have.replicated() && o.Cluster != "" {
		o.Cluster = ""
		p.note(name, "it is of engine %s, which has no copies on other nodes: rename it away, and apply again", have.Engine)
	}
	for _, want := range t.settings(o) {
		got := have.setting(want.name)
		switch {
		case got == want.value:
		case want.name == "index_granularity" || strings.HasPrefix(want.name, "enable_block_"):
			if got != "" || want.name != "index_granularity" {
				p.note(name, "setting %s is %q, where ours is %s: it cannot be changed later", want.name, got, want.value)
			}
		case strings.Contains(want.name, "_window") && wide(got) >= wide(want.value):
		default:
			change = append(change, want.name+" = "+want.value)
		}
	}
	if policy := have.setting("storage_policy"); policy != "" && !t.moves(p.o) {
		p.note(name, "its storage policy is %s, which schema.storage_policy does not ask for: kept", policy)
	}
	if len(change) > 0 {
		p.alter(name, "settings that its guarantees rest on", "MODIFY SETTING "+strings.Join(change, ", "), "")
	}
}

// wide is the size of a window.
func wide(value string) int {
	n, _ := strconv.Atoi(value)
	return n
}

// ttl brings the rules to what the configuration asks for, unless somebody wrote others by hand.
func (p *planner) ttl(t *Table, name string, have Existing) {
	want := t.ttl(p.o)
	clause := have.clause("TTL")
	got, ok := parseTTL(clause)
	for _, r := range got {
		// The time of the row, spelled as we or the exporter do: an age of anything else is somebody's.
		ok = ok && slices.Contains([]string{t.expires, t.TimeColumn(), "toDateTime(" + t.TimeColumn() + ")", "TimestampTime"}, r.from)
	}
	if !ok {
		p.note(name, "its TTL was written by hand and is left alone: %s", clause)
		return
	}
	if got.same(want) {
		return
	}
	if want == nil {
		p.alter(name, "rows are to be kept for ever", "REMOVE TTL", "")
		return
	}
	// Earlier is for parts to come only; later, or elsewhere, is for those that are there, too.
	shorter := want.keeps() > 0 && (got.keeps() == 0 || want.keeps() < got.keeps())
	materialize := "materialize_ttl_after_modify = 1"
	if shorter {
		materialize = "materialize_ttl_after_modify = 0"
	}
	why := fmt.Sprintf("retention: from %s to %s", orNone(got.String()), want)
	p.alter(name, why, "MODIFY TTL "+want.String(), materialize).Destructive = shorter
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// keys notes what cannot be altered.
func (p *planner) keys(t *Table, name string, have Existing) {
	if squeeze(have.SortingKey) != squeeze(t.orderBy) {
		p.note(name, "its sorting key is (%s), where ours is %s: it stays, and some queries read more (docs/clickhouse.md, Tables that are there already)", have.SortingKey, t.orderBy)
	}
	if squeeze(have.PartitionKey) != squeeze(t.partition) {
		if zone := p.have.Timezone; strings.Contains(have.PartitionKey, "'UTC'") || zone == "UTC" || zone == "Etc/UTC" {
			p.note(name, "its partition key is %s, where ours is %s: it stays", have.PartitionKey, t.partition)
		} else {
			p.note(name, "its partition key %s follows the server's time zone %s: one INSERT may touch two partitions and is not atomic then; make new tables, or run the server in UTC", have.PartitionKey, zone)
		}
	}
	for _, view := range have.Dependents {
		p.note(name, "materialized view %s is fed by it: when it fails, INSERTs fail", view)
	}
}

// squeeze is SQL without what spelling it differently changes.
func squeeze(sql string) string {
	sql = strings.NewReplacer(" ", "", "`", "").Replace(sql)
	return strings.TrimSuffix(strings.TrimPrefix(sql, "("), ")")
}

// MigrationsTable is where the versions that are applied are noted, with when and by whom.
const MigrationsTable = "spillway_schema_migrations"

// record returns the statements that note all versions as applied. They may be run again: a
// version counts once however many lines it has.
func record(o Options) []string {
	name := Ident(o.Database) + "." + Ident(MigrationsTable)
	statements := []string{"CREATE TABLE IF NOT EXISTS " + name + o.OnCluster() +
		"\n(version UInt32, name String, applied_at DateTime DEFAULT now(), applied_by String DEFAULT currentUser())" +
		"\nENGINE = " + (&Table{engine: "MergeTree"}).engineOf(o) + " ORDER BY version"}
	for _, m := range migrations {
		statements = append(statements, fmt.Sprintf("INSERT INTO %s (version, name) SELECT %d, %s WHERE %[2]d NOT IN (SELECT version FROM %[1]s)", name, m.version, quote(m.name)))
	}
	return statements
}
