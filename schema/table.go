package schema

import (
	"slices"
	"strings"
)

// A Table is the definition of one ClickHouse table, and knows how to spell it.
// Tables are shared by the whole process and read-only.
type Table struct {
	name       string
	about      string // what a row is, for people
	columns    []column
	indexes    []index
	engine     string
	partition  string // PARTITION BY, always in UTC
	primaryKey string // "" means the sorting key
	orderBy    string
	expires    string    // the DateTime or Date that the TTL counts from
	extra      []setting // beyond what every table has
	signal     signal
	identified bool
	weekly     bool   // partitions are weeks, not days
	shardBy    string // the sharding key of the table in front of a cluster's
	ordinal    int    // position in Tables
}

// Tables returns the tables in creation order. Rows are to be inserted in this
// order too: the time range of a trace comes before its spans, so that a span
// that can be seen can also be found by its trace id.
func Tables() []*Table { return slices.Clone(tables[:]) }

var (
	traceTimes    = traceTimesTable()
	traces        = tracesTable()
	logs          = logsTable()
	gauges        = gaugeTable()
	sums          = sumTable()
	histograms    = histogramTable()
	expHistograms = expHistogramTable()
	summaries     = summaryTable()

	tables = numbered([tableCount]*Table{traceTimes, traces, logs, gauges, sums, histograms, expHistograms, summaries})
)

const tableCount = 8

func numbered(tables [tableCount]*Table) [tableCount]*Table {
	for i, t := range tables {
		t.ordinal = i
	}
	return tables
}

// Name is the table's name without its database.
func (t *Table) Name() string { return t.name }

// Identified reports whether the table's rows carry IngestStream, IngestSeq and
// the fence. Rows of the one table that does not are idempotent: they may be
// inserted any number of times.
func (t *Table) Identified() bool { return t.identified }

// Signal is "traces", "logs" or "metrics": whose retention the table follows.
func (t *Table) Signal() string { return t.signal.String() }

// TimeColumn is the column that the table is partitioned by.
func (t *Table) TimeColumn() string {
	switch {
	case !t.identified:
		return "Start"
	case t.weekly:
		return "TimeUnix"
	default:
		return "Timestamp"
	}
}

// PartitionExpr is the table's PARTITION BY expression. On the rows of one Rows
// it has one value.
func (t *Table) PartitionExpr() string { return t.partition }

// InsertColumns lists the columns of an INSERT, in the order of an encoded block.
func (t *Table) InsertColumns() string {
	var names []string
	for _, c := range t.columns {
		if c.inserted() {
			names = append(names, Ident(c.name))
		}
	}
	return strings.Join(names, ", ")
}

// LocalName is the name of the table that holds the rows: on a cluster not the one
// that queries name.
func (t *Table) LocalName(o Options) string {
	if o.Cluster != "" {
		return t.name + "_local"
	}
	return t.name
}

// InsertSQL is the INSERT of an encoded block, without a FORMAT clause. On a cluster
// it goes into the table of the node that it is sent to, because what is known about
// repeated blocks is known by shard, and a Distributed table would cut the block.
func (t *Table) InsertSQL(o Options) string {
	return "INSERT INTO " + Ident(o.Database) + "." + Ident(t.LocalName(o)) + " (" + t.InsertColumns() + ")"
}

// inserts is the number of columns of an INSERT.
func (t *Table) inserts() int {
	n := 0
	for _, c := range t.columns {
		if c.inserted() {
			n++
		}
	}
	return n
}

// partitionOf is what Rows.Partition says about a row of that time.
func (t *Table) partitionOf(at instant) int32 {
	if t.weekly {
		return at.monday()
	}
	return at.day()
}

// signal says whose retention a table follows.
type signal uint8

const (
	signalTraces signal = iota
	signalLogs
	signalMetrics
)

func (s signal) String() string { return [...]string{"traces", "logs", "metrics"}[s] }

// A column is one line of a CREATE TABLE, and how rows fill it.
type column struct {
	name  string
	typ   string // as ClickHouse spells it
	codec string // "" is the server's default
	value string // "", or DEFAULT, MATERIALIZED, ALIAS or EPHEMERAL with an expression
	fill  fill   // nil: the server fills it
	about string // what fills it, for people; fields as OTLP names them
}

// inserted reports whether an INSERT names the column.
func (c column) inserted() bool {
	return !strings.HasPrefix(c.value, "MATERIALIZED ") && !strings.HasPrefix(c.value, "ALIAS ")
}

// blockType is the type that a block declares for the column. Aggregate-function
// columns of this kind take plain values.
func (c column) blockType() string {
	if strings.HasPrefix(c.typ, "SimpleAggregateFunction(") {
		return typeTime
	}
	return c.typ
}

// An index is a data-skipping index.
type index struct {
	name string
	expr string
	typ  string // with its GRANULARITY where it takes one
}

// Types, codecs and index types that recur.
const (
	typeString  = "String"
	typeLowCard = "LowCardinality(String)"
	typeMap     = "Map(LowCardinality(String), String)"
	typeNanos   = "DateTime64(9)"
	typeTime    = "DateTime"

	zstd   = "ZSTD(1)"
	zstd3  = "ZSTD(3)" // for what makes up most of a row: a tenth smaller
	delta4 = "Delta(4), ZSTD(1)"
	delta8 = "Delta(8), ZSTD(1)"

	minmax   = "minmax GRANULARITY 1"
	bloom    = "bloom_filter(0.01) GRANULARITY 1"
	bloomIDs = "bloom_filter(0.001) GRANULARITY 1"
	words    = "text(tokenizer = 'splitByNonAlpha')"
	elements = "text(tokenizer = 'array')"
)

// fenceColumn is sent with each block and never stored.
const fenceColumn = "IngestFence"

// insertedAt also enforces the fence: throwIf must be part of a column that every
// INSERT computes, and nowInBlock, unlike now, is not folded when the query starts.
const insertedAt = "MATERIALIZED if(throwIf(nowInBlock() > IngestFence, 'fenced') = 0, now(), now())"

// ingestColumns end every identified table. Writers that know nothing of us omit
// all of them: their rows have no identity and never meet the fence.
var ingestColumns = []column{
	{"InsertedAt", typeTime, delta4, insertedAt, nil, "the server's clock at the INSERT"},
	{"IngestStream", typeLowCard, zstd, "", fromStream, "which log the row's record came from, see docs/guarantees.md; empty when it had no identity"},
	{"IngestSeq", "UInt64", delta8, "", bound(func(r *Rows, c *numbers[uint64]) { r.seq = c }), "the record's number in its log; a record has many rows"},
	{fenceColumn, typeTime, "", "EPHEMERAL toDateTime('2100-01-01')", nil, "never stored: the server refuses a block that arrives later than this"},
}

var ingestIndexes = []index{
	{"idx_ingest_seq", "IngestSeq", minmax},
	{"idx_ingest_stream", "IngestStream", bloomIDs},
}
