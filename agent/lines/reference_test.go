package lines_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/spillway-io/spillway/agent/lines"
)

// plainRecord is a record as the reference makes it.
type plainRecord struct {
	Scope, Severity string
	Number          int
	Trace           string
	Body            any
	Attributes      map[string]any
}

// Whatever an object holds, the record is what a slow reading through encoding/json would give.
func TestRandomObjectsAgreeWithEncodingJSON(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	for range 4000 {
		line := g.object(0)
		scope, record := one(t, lines.Options{}, line)
		want, got := reference(t, line), plainOf(t, scope, record)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", line, diff)
		}
	}
}

// reference reads a line the slow way. Only the keys that the generator knows have a meaning.
func reference(t *testing.T, line string) plainRecord {
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	r := plainRecord{Body: string([]rune(line)), Attributes: map[string]any{}}
	for key, value := range members {
		if slices.Contains(known, key) && value == nil {
			continue
		}
		name, isText := value.(string)
		switch {
		case key == "event":
			r.Body = plainValue(value)
		case key == "level" && isText:
			r.Severity, r.Number = name, map[string]int{"info": 9, "warning": 13}[name]
		case key == "logger" && isText && len(name) < 256:
			r.Scope = name
		case key == "trace_id" && isText && len(name) == 32:
			if _, err := hex.DecodeString(name); err != nil {
				t.Fatal(err)
			}
			r.Trace = name
		default:
			r.Attributes[key] = plainValue(value)
		}
	}
	return r
}

// plainValue is a decoded value with numbers as they are meant.
func plainValue(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n
		}
		if strings.ContainsAny(string(v), ".eE") {
			if f, err := v.Float64(); err == nil {
				return f
			}
		}
		return string(v)
	case map[string]any:
		m := make(map[string]any)
		for key, value := range v {
			m[key] = plainValue(value)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, value := range v {
			list[i] = plainValue(value)
		}
		return list
	}
	return v
}

func plainOf(t *testing.T, scope string, r *logs.LogRecord) plainRecord {
	p := plainRecord{Scope: scope, Severity: r.SeverityText, Number: int(r.SeverityNumber),
		Body: plainAny(t, r.Body), Attributes: map[string]any{}}
	if len(r.TraceId) > 0 {
		p.Trace = hex.EncodeToString(r.TraceId)
	}
	for key, value := range attributes(t, r) {
		p.Attributes[key] = plainAny(t, value)
	}
	return p
}

func plainAny(t *testing.T, v *common.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return v.BoolValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_DoubleValue:
		return v.DoubleValue
	case *common.AnyValue_ArrayValue:
		list := []any{}
		for _, element := range v.ArrayValue.Values {
			list = append(list, plainAny(t, element))
		}
		return list
	case *common.AnyValue_KvlistValue:
		m := make(map[string]any)
		for _, entry := range v.KvlistValue.Values {
			if _, twice := m[entry.Key]; twice {
				t.Errorf("key %q comes twice", entry.Key)
			}
			m[entry.Key] = plainAny(t, entry.Value)
		}
		return m
	}
	return nil
}

// known are the keys with a meaning that the generator uses.
var known = []string{"event", "level", "logger", "trace_id"}

// A generator writes random JSON: all kinds of values, escapes, white space, bytes that are not
// UTF-8, and keys that repeat.
type generator struct{ *rand.Rand }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

func (g generator) space() string { return pick(g, "", "", "", " ", " ", "\t", " \r\n ") }

func (g generator) object(depth int) string {
	var b strings.Builder
	b.WriteString("{" + g.space())
	for i := range g.IntN(12) {
		if i > 0 {
			b.WriteString("," + g.space())
		}
		if depth == 0 && g.IntN(3) == 0 {
			key := pick(g, known...)
			fmt.Fprintf(&b, "%q%s:%s%s%s", key, g.space(), g.space(), g.known(key), g.space())
			continue
		}
		b.WriteString(g.key() + g.space() + ":" + g.space() + g.value(depth+1) + g.space())
	}
	return b.String() + "}"
}

// known is a value for a key with a meaning, mostly one that fits.
func (g generator) known(key string) string {
	switch key {
	case "level":
		return pick(g, `"info"`, `"warning"`, `"loud"`, `null`, `true`, `[]`)
	case "logger":
		return pick(g, g.text(), g.text(), `"`+strings.Repeat("l", 300)+`"`, `null`, `7`)
	case "trace_id":
		return pick(g, fmt.Sprintf(`"%016x%016x"`, 1+g.Uint64()>>1, g.Uint64()), `null`, `false`, `{}`)
	}
	return g.value(1)
}

// key is one of few, so that keys repeat, or any text. None has a meaning by itself.
func (g generator) key() string {
	if g.IntN(4) > 0 {
		return pick(g, `"user"`, `"us\u0065r"`, `"tenant"`, `"n"`, `""`, `"город"`, "\"\xff\"", `"\ufffd"`, `"a much longer key than usual `+strings.Repeat("k", g.IntN(200))+`"`)
	}
	return `"~` + g.text()[1:]
}

func (g generator) value(depth int) string {
	kinds := 7
	if depth > 5 {
		kinds = 5
	}
	switch g.IntN(kinds) {
	case 0:
		return pick(g, "true", "false", "null")
	case 1:
		return pick(g, "0", "-0", "1", strconv.FormatInt(g.Int64()-g.Int64(), 10), "9223372036854775807", "9223372036854775808", "-9223372036854775808",
			"-9223372036854775809", "999999999999999999", "123456789012345678901234567890")
	case 2:
		return pick(g, strconv.FormatFloat(g.NormFloat64(), 'g', -1, 64), strconv.FormatFloat(g.ExpFloat64()*1e9, 'f', g.IntN(12), 64),
			"1e400", "-1E+400", "1e-400", "0.1", "-0.0", "1.7976931348623157e308", "2.5E-3", "123456789.123456", "1234567890123456.5")
	case 3, 4:
		return g.text()
	case 5:
		return g.object(depth)
	}
	elements := make([]string, g.IntN(4))
	for i := range elements {
		elements[i] = g.space() + g.value(depth+1) + g.space()
	}
	return "[" + strings.Join(elements, ",") + "]"
}

func (g generator) text() string {
	var b strings.Builder
	for range g.IntN(pick(g, 3, 10, 40, 200)) {
		b.WriteString(pick(g, "a", "word ", "7", "é", "世", "😀", `\n`, `\"`, `\\`, `\/`, `\b\f\r\t`, `\u0041`, `\u00e9`, `\ud83d\ude00`, `\ud83d`, `\ude00x`,
			`\ud83d\u0041`, `\uD83D\\`, "\xff", "\xc3", "\xe4\xb8", "\x7f", "{", "]", ":", ",", "'"))
	}
	return `"` + b.String() + `"`
}
