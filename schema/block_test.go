package schema_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/spillway-io/spillway/schema"
)

// fence is one that no test meets.
var fence = uint32(time.Date(2099, 12, 31, 23, 59, 59, 0, time.UTC).Unix())

// A row holds a value for each column of an INSERT: int64 nanoseconds for a
// DateTime64(9), uint32 seconds for a DateTime, a list of pairs for a Map.
type row map[string]any

type kv [2]string

func encode(t testing.TB, all ...*schema.Rows) []byte {
	t.Helper()
	var b proto.Buffer
	if err := schema.Encode(&b, fence, all...); err != nil {
		t.Fatalf("encode %s: %v", all[0].Table().Name(), err)
	}
	return b.Buf
}

// read decodes a block with ch-go's columns, which share no code with ours.
func read(t testing.TB, block []byte) []row {
	t.Helper()
	_, rows := decodeBlock(t, block)
	return rows
}

// decodeBlock also returns the names of the columns, in order.
func decodeBlock(t testing.TB, block []byte) (names []string, rows []row) {
	t.Helper()
	r := (&proto.Buffer{Buf: block}).Reader()
	names, rows = nextBlock(t, r)
	if _, err := r.ReadByte(); err == nil {
		t.Fatal("bytes follow the block")
	}
	return names, rows
}

func nextBlock(t testing.TB, r *proto.Reader) (names []string, rows []row) {
	t.Helper()
	columns, err := r.Int()
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.Int()
	if err != nil {
		t.Fatal(err)
	}
	rows = make([]row, n)
	for i := range rows {
		rows[i] = row{}
	}
	for range columns {
		name, err := r.Str()
		if err != nil {
			t.Fatal(err)
		}
		typ, err := r.Str()
		if err != nil {
			t.Fatalf("column %s: type: %v", name, err)
		}
		c := readerFor(t, typ)
		if s, ok := c.data.(proto.StateDecoder); ok {
			if err := s.DecodeState(r); err != nil {
				t.Fatalf("column %s %s: state: %v", name, typ, err)
			}
		}
		if err := c.data.DecodeColumn(r, n); err != nil {
			t.Fatalf("column %s %s: %v", name, typ, err)
		}
		for i := range rows {
			rows[i][name] = c.value(i)
		}
		names = append(names, name)
	}
	return names, rows
}

type columnReader struct {
	data  proto.ColResult
	value func(i int) any
}

func readerFor(t testing.TB, typ string) columnReader {
	if elem, ok := strings.CutPrefix(typ, "Array("); ok {
		return arrayReader(t, strings.TrimSuffix(elem, ")"))
	}
	typ = strings.NewReplacer("SimpleAggregateFunction(min, DateTime)", "DateTime", "SimpleAggregateFunction(max, DateTime)", "DateTime").Replace(typ)
	switch typ {
	case "String":
		c := new(proto.ColStr)
		return columnReader{c, func(i int) any { return c.Row(i) }}
	case "LowCardinality(String)":
		c := proto.NewLowCardinality[string](new(proto.ColStr))
		return columnReader{c, func(i int) any { return c.Row(i) }}
	case "Map(LowCardinality(String), String)":
		c := proto.NewMap[string, string](proto.NewLowCardinality[string](new(proto.ColStr)), new(proto.ColStr))
		return columnReader{c, func(i int) any { return pairs(c, i) }}
	case "DateTime64(9)", "Int64":
		c := new(proto.ColInt64)
		return columnReader{c, func(i int) any { return c.Row(i) }}
	case "DateTime", "UInt32":
		c := new(proto.ColUInt32)
		return columnReader{c, func(i int) any { return c.Row(i) }}
	case "Date":
		c := new(proto.ColUInt16)
		return columnReader{c, func(i int) any { return c.Row(i) }}
	case "UInt8":
		c := new(proto.ColUInt8)
		return columnReader{c, func(i int) any { return c.Row(i) }}
	case "Bool":
		c := new(proto.ColBool)
		return columnReader{c, func(i int) any { return c.Row(i) }}
	case "UInt64":
		c := new(proto.ColUInt64)
		return columnReader{c, func(i int) any { return c.Row(i) }}
	case "Int32":
		c := new(proto.ColInt32)
		return columnReader{c, func(i int) any { return c.Row(i) }}
	case "Float64":
		c := new(proto.ColFloat64)
		return columnReader{c, func(i int) any { return c.Row(i) }}
	}
	t.Fatalf("no reader for type %s", typ)
	return columnReader{}
}

// elements reads the offsets of an Array, then its elements.
type elements struct {
	offsets proto.ColUInt64
	elem    columnReader
}

func arrayReader(t testing.TB, elem string) columnReader {
	c := &elements{elem: readerFor(t, elem)}
	return columnReader{c, func(i int) any {
		all := []any{}
		start := uint64(0)
		if i > 0 {
			start = c.offsets[i-1]
		}
		for j := start; j < c.offsets[i]; j++ {
			all = append(all, c.elem.value(int(j)))
		}
		return all
	}}
}

func (c *elements) Type() proto.ColumnType { return proto.ColumnTypeArray.Sub(c.elem.data.Type()) }
func (c *elements) Rows() int              { return len(c.offsets) }
func (c *elements) Reset()                 { c.offsets.Reset(); c.elem.data.Reset() }

func (c *elements) DecodeState(r *proto.Reader) error {
	if s, ok := c.elem.data.(proto.StateDecoder); ok {
		return s.DecodeState(r)
	}
	return nil
}

func (c *elements) DecodeColumn(r *proto.Reader, rows int) error {
	if err := c.offsets.DecodeColumn(r, rows); err != nil {
		return err
	}
	return c.elem.data.DecodeColumn(r, int(c.offsets[rows-1]))
}

func pairs(c *proto.ColMap[string, string], i int) []kv {
	all := []kv{}
	start := uint64(0)
	if i > 0 {
		start = c.Offsets[i-1]
	}
	for j := int(start); j < int(c.Offsets[i]); j++ {
		all = append(all, kv{c.Keys.Row(j), c.Values.Row(j)})
	}
	return all
}

// bucket names a Rows.
type bucket struct {
	Table     string
	Partition int32
}

// buckets reads back everything in the set.
func buckets(t testing.TB, s *schema.Set) map[bucket][]row {
	t.Helper()
	all := map[bucket][]row{}
	for r := range s.Buckets() {
		all[bucket{r.Table().Name(), r.Partition()}] = read(t, encode(t, r))
	}
	return all
}

// blocks is everything in the set as it would be sent, in order.
func blocks(t testing.TB, s *schema.Set) (all [][]byte) {
	t.Helper()
	for r := range s.Buckets() {
		all = append(all, encode(t, r))
	}
	return all
}
