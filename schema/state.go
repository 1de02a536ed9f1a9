package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A State is what a server says of itself and of the database, before anything is
// changed. Who reads it from the server fills it in; Plan compares it with what
// should be.
type State struct {
	Version  string // of the server, such as 26.7.2.1
	Timezone string
	Cloud    bool // it is ClickHouse Cloud

	Database string // its engine; "" if it does not exist
	Tables   map[string]Existing
	Policies map[string][]string // the volumes of each storage policy
	Macros   map[string]string
	Clusters []string

	Applied []Applied
}

// Applied is a line of the table of migrations.
type Applied struct {
	Version uint32
	Name    string
}

// Existing is a table that is there.
type Existing struct {
	Engine                               string // such as MergeTree
	EngineFull                           string // with everything that follows it in SHOW CREATE
	PartitionKey, SortingKey, PrimaryKey string
	Columns                              []ExistingColumn
	Indexes                              []ExistingIndex
	Dependents                           []string // materialized views that are fed by it
}

// ExistingColumn is a column that is there.
type ExistingColumn struct {
	Name, Type string
	Kind       string // "", DEFAULT, MATERIALIZED, ALIAS or EPHEMERAL
	Expression string
}

// ExistingIndex is a data-skipping index that is there.
type ExistingIndex struct{ Name, Expression, Type string }

func (e Existing) column(name string) (ExistingColumn, bool) {
	i := slices.IndexFunc(e.Columns, func(c ExistingColumn) bool { return c.Name == name })
	if i < 0 {
		return ExistingColumn{}, false
	}
	return e.Columns[i], true
}

// family is the engine without what says where its copies are.
func (e Existing) family() string {
	return strings.TrimPrefix(strings.TrimPrefix(e.Engine, "Replicated"), "Shared")
}

func (e Existing) replicated() bool { return strings.HasPrefix(e.Engine, "Replicated") }

// clause returns what follows a keyword of SHOW CREATE TABLE, up to the next one.
func (e Existing) clause(keyword string) string {
	rest := e.EngineFull
	i := indexTop(rest, " "+keyword+" ")
	if i < 0 {
		return ""
	}
	rest = rest[i+len(keyword)+2:]
	for _, next := range []string{"PARTITION BY", "PRIMARY KEY", "ORDER BY", "SAMPLE BY", "TTL", "SETTINGS", "COMMENT"} {
		if i := indexTop(rest, " "+next+" "); i >= 0 {
			rest = rest[:i]
		}
	}
	return rest
}

// setting is the value of one of the table's own settings, "" if it is the server's default.
func (e Existing) setting(name string) string {
	for _, s := range splitTop(e.clause("SETTINGS")) {
		if k, v, ok := strings.Cut(s, " = "); ok && k == name {
			return v
		}
	}
	return ""
}

// Durable says whether the server's OK to an INSERT of ours survives a power cut of the
// machine it came from, and why.
func (e Existing) Durable(o Options) (yes bool, why string) {
	switch {
	case e.replicated() && o.Cluster != "":
		return true, "by its replicas: INSERTs are sent with insert_quorum = auto"
	case e.replicated():
		return false, "it is replicated, but INSERTs do not wait for a second replica: set schema.cluster"
	case strings.HasPrefix(e.Engine, "Shared"):
		return true, "by the shared storage"
	case e.setting("fsync_after_insert") == "1" && e.setting("fsync_part_directory") == "1":
		return true, "fsync_after_insert"
	}
	return false, "no fsync_after_insert: the last seconds before a power cut may be lost"
}

// MinVersion is the oldest ClickHouse that is supported: text indexes and nowInBlock as
// the tables need them.
const MinVersion = "26.3"

// CheckVersion says in plain words when the server is too old.
func (s State) CheckVersion() error {
	if compareVersions(s.Version, MinVersion) < 0 {
		return fmt.Errorf("ClickHouse %s is too old: spillway needs %s or newer; upgrade the server, or keep the version of spillway that fits it", s.Version, MinVersion)
	}
	return nil
}

func compareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i])
		n, _ := strconv.Atoi(y[i])
		if m != n {
			return m - n
		}
	}
	return 0
}

// splitTop splits SQL at commas outside of parentheses and quotes.
func splitTop(sql string) (parts []string) {
	for sql != "" {
		i := indexTop(sql, ",")
		if i < 0 {
			return append(parts, strings.TrimSpace(sql))
		}
		parts = append(parts, strings.TrimSpace(sql[:i]))
		sql = sql[i+1:]
	}
	return parts
}

// indexTop is where sep is first, outside of parentheses and quotes; -1 if nowhere.
func indexTop(sql, sep string) int {
	depth := 0
	var quoted byte
	for i := 0; i < len(sql); i++ {
		c := sql[i]
		switch {
		case quoted != 0:
			if c == '\\' {
				i++
			} else if c == quoted {
				quoted = 0
			}
			continue
		case depth == 0 && strings.HasPrefix(sql[i:], sep):
			return i
		case c == '\'' || c == '`' || c == '"':
			quoted = c
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		}
	}
	return -1
}
