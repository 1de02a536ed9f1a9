package embedded

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
)

// sampleBlock has a column of every shape that the telemetry tables use.
func sampleBlock(rng *rand.Rand, rows int) proto.Input {
	text := func() string { return strconv.FormatUint(rng.Uint64N(1<<rng.IntN(64)), 36) }
	var (
		id    proto.ColUInt64
		time  = new(proto.ColDateTime64).WithPrecision(proto.PrecisionNano)
		body  proto.ColStr
		name  = new(proto.ColStr).LowCardinality()
		trace proto.ColFixedStr
		attrs = proto.NewMap(new(proto.ColStr).LowCardinality(), new(proto.ColStr))
		times = proto.NewArray(new(proto.ColUInt32))
		names = new(proto.ColStr).LowCardinality().Array()
		maybe = new(proto.ColFloat64).Nullable()
	)
	trace.SetSize(16)
	for range rows {
		id.Append(rng.Uint64())
		time.AppendRaw(proto.DateTime64(rng.Int64()))
		body.Append(text())
		name.Append(text())
		trace.Append([]byte("0123456789abcdef"))
		m := map[string]string{}
		var u []uint32
		var n []string
		for range rng.IntN(4) {
			m[text()] = text()
			u = append(u, rng.Uint32())
			n = append(n, text())
		}
		attrs.Append(m)
		times.Append(u)
		names.Append(n)
		maybe.Append(proto.NewNullable(rng.Float64()))
	}
	return proto.Input{
		{Name: "id", Data: id}, {Name: "time", Data: time}, {Name: "body", Data: body}, {Name: "name", Data: name},
		{Name: "trace", Data: trace}, {Name: "attrs", Data: attrs}, {Name: "times", Data: times}, {Name: "names", Data: names},
		{Name: "maybe", Data: maybe},
	}
}

func encode(t testing.TB, input proto.Input, rows, revision int) []byte {
	t.Helper()
	var buf proto.Buffer
	b := proto.Block{Columns: len(input), Rows: rows, Info: proto.BlockInfo{BucketNum: -1}}
	if err := b.EncodeBlock(&buf, revision, input); err != nil {
		t.Fatal(err)
	}
	return buf.Buf
}

func newRand(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestReframingIsWhatTheClientLibraryWouldEncode(t *testing.T) {
	rng := newRand(t)
	for range 50 {
		rows := rng.IntN(100)
		input := sampleBlock(rng, rows)
		plain, framed := encode(t, input, rows, engineRevision), encode(t, input, rows, nativeRevision)
		for _, c := range []struct {
			from, to int
			in, want []byte
		}{
			{engineRevision, nativeRevision, plain, framed},
			{nativeRevision, engineRevision, framed, plain},
			{nativeRevision, nativeRevision, framed, framed},
		} {
			got, err := reframeAll(append(bytes.Clone(c.in), c.in...), c.from, c.to)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, append(bytes.Clone(c.want), c.want...)) {
				t.Fatalf("%d rows, revision %d to %d: bytes differ", rows, c.from, c.to)
			}
		}
	}
}

func TestACutBlockIsNeverTakenForAWholeOne(t *testing.T) {
	rng := newRand(t)
	framed := encode(t, sampleBlock(rng, 20), 20, nativeRevision)
	for n := 1; n < len(framed); n++ {
		if _, err := reframeAll(framed[:n], nativeRevision, engineRevision); !isUnexpectedEOF(err) {
			t.Fatalf("%d of %d bytes: %v", n, len(framed), err)
		}
	}
}

func TestEveryTypeIsWalkedOrRefused(t *testing.T) {
	for _, text := range []string{
		"Bool", "UInt8", "Int256", "Float64", "Decimal(9, 2)", "Decimal(76, 3)", "Date32", "DateTime('UTC')", "DateTime64(9, 'Etc/UTC')",
		"Enum8('a' = 1, 'b,)' = -2)", "FixedString(16)", "UUID", "IPv6", "Array(Array(Nullable(String)))", "LowCardinality(Nullable(String))",
		"Map(LowCardinality(String), Array(UInt8))", "Tuple()", "Tuple(a UInt8, `b c` Array(String))", "Tuple(UInt8, Map(String, String))",
		"Nested(a UInt8, b String)", "SimpleAggregateFunction(anyLast, Nullable(UInt64))", "MultiPolygon", "JSON(max_dynamic_paths=8)", "IntervalDay",
	} {
		if _, err := parseType(text, 0); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		"", "Variant(UInt8, String)", "Dynamic", "AggregateFunction(sum, UInt64)", "Array", "Array(", "FixedString(x)", "FixedString(-1)", "Decimal(x)", "Map(String)",
	} {
		if _, err := parseType(text, 0); err == nil {
			t.Errorf("%q is taken for a type that can be walked", text)
		}
	}
}

func FuzzBlocksNeverPanic(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	f.Add(encode(f, sampleBlock(rng, 3), 3, nativeRevision))
	f.Add(encode(f, sampleBlock(rng, 0), 0, nativeRevision))
	f.Fuzz(func(t *testing.T, data []byte) {
		once, err := reframeAll(data, nativeRevision, nativeRevision)
		if err != nil {
			return
		}
		if twice, err := reframeAll(once, nativeRevision, nativeRevision); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("what was re-framed once does not stay as it is: %v", err)
		}
	})
}

func BenchmarkReframe(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	plain := encode(b, sampleBlock(rng, 10_000), 10_000, engineRevision)
	var dst []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		cur := cursor{buf: plain}
		var err error
		if dst, _, err = cur.reframe(dst[:0], engineRevision, nativeRevision); err != nil {
			b.Fatal(err)
		}
	}
}
