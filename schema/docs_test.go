package schema

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// docs/schema.md is written by this test, so that it cannot say anything else than the tables.
func TestTheDocumentIsThatOfTheTables(t *testing.T) {
	const path = "../docs/schema.md"
	got := document()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s is out of date: make golden writes it", path)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString(`# Tables

<!-- Written by make golden from the literals in package schema. Do not edit. -->

What lands where. The tables have every column of the OpenTelemetry Collector's ClickHouse exporter (v0.161), by the same name
and meaning, so its writers and dashboards made for it work unchanged; columns that are only ours are marked **+**. docs/clickhouse.md
is about running them, docs/queries.md about asking them.

The statements themselves: ` + "`spillway schema print`" + `, with the configuration's retention, tiering and cluster.

## Values

Ids are lower-case hexadecimal, empty when absent or zero. Attribute values and bodies are text: numbers and booleans as in JSON, bytes in
base64, arrays and maps as JSON. Maps are sorted by key; of equal keys the last one counts. Integers and doubles of metrics are both Float64.

A timestamp is replaced by the time at which the node accepted the record when it is 0 (and there is no observed time), before 1971, after
2104, or more than 24 h later than that; the original stays in the attribute ` + "`spillway.original_timestamp`" + `.

Where this differs from what the exporter writes, it is to lose less: a NaN or infinity within a JSON value is a string instead of emptying
the whole value, a span that ends before it starts lasts 0 ns instead of centuries, an exemplar without a trace has no id instead of zeros.
`)
	for _, t := range tables {
		documentTable(&b, t)
	}
	return b.String()
}

func documentTable(b *strings.Builder, t *Table) {
	o := DefaultOptions()
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n", t.name, strings.ToUpper(t.about[:1])+t.about[1:])
	fmt.Fprintf(b, "| | |\n|---|---|\n| engine | %s |\n| sorting key | `%s` |\n", t.engine, t.orderBy)
	if t.primaryKey != "" {
		fmt.Fprintf(b, "| primary key | `%s` |\n", t.primaryKey)
	}
	fmt.Fprintf(b, "| partition | `%s` |\n| kept by default | %d days |\n| sharding key, on a cluster | `%s` |\n", t.partition, t.ttl(o).keeps()/day, t.shardBy)
	b.WriteString("\n| column | type | codec | what it holds |\n|---|---|---|---|\n")
	for _, c := range t.columns {
		name := "`" + c.name + "`"
		if c.ours(t) {
			name += " **+**"
		}
		codec := c.codec
		if codec == "" {
			codec = "–"
		}
		about := c.about
		if kind, _, ok := strings.Cut(c.value, " "); ok {
			about += " (" + strings.ToLower(kind) + ")"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, strings.ReplaceAll(c.typ, "LowCardinality(String)", "LC(String)"), codec, about)
	}
	b.WriteString("\n| index | on | type |\n|---|---|---|\n")
	for _, x := range t.indexes {
		fmt.Fprintf(b, "| %s | `%s` | %s |\n", x.name, strings.ReplaceAll(x.expr, "`", ""), x.typ)
	}
}

// ours reports whether the exporter knows nothing of the column.
func (c column) ours(t *Table) bool {
	switch {
	case c.fill == nil:
		return true
	case !t.identified:
		return c.name == "Day"
	}
	return strings.HasPrefix(c.name, "Ingest") || c.name == "ObservedDelay"
}
