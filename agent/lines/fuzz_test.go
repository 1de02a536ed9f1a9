package lines_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spillway-io/spillway/agent/lines"
)

// FuzzAdd holds that every line becomes exactly one record, which everyone can decode, in which
// keys do not repeat, and that a line is taken for JSON if and only if encoding/json does.
func FuzzAdd(f *testing.F) {
	for _, name := range []string{"testdata/structlog.log", "testdata/others.log"} {
		corpus, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(corpus) {
			f.Add(bytes.TrimSuffix(line, []byte("\n")), uint8(16), uint8(255), "stdout", false)
		}
	}
	f.Fuzz(func(t *testing.T, line []byte, depth, keys uint8, stream string, none bool) {
		o := lines.Options{MaxDepth: int(depth), MaxKeys: int(keys)}
		if none {
			o.Parse = "none"
		}
		e := lines.NewEncoder(o)
		e.Begin(resource)
		before := bytes.Clone(line)
		e.Add(line, time.Time{}, observed, stream, depth%2 == 0, keys%2 == 0)
		e.Add(line, observed, observed, stream, depth%2 == 0, keys%2 == 0)
		if !bytes.Equal(line, before) {
			t.Fatal("the line was written to")
		}
		request := decode1(t, e)
		record := request.ResourceLogs[0].ScopeLogs[0].LogRecords[0]
		got := attributes(t, record)
		if none || !strings.HasPrefix(strings.TrimLeft(string(line), " \t\r\n"), "{") {
			return
		}
		if bytes.Contains(line, []byte("NaN")) || bytes.Contains(line, []byte("Infinity")) || bytes.Count(line, []byte("["))+bytes.Count(line, []byte("{")) > 1000 {
			return
		}
		refused := got["log.parse_error"].GetStringValue()
		if json.Valid(line) != (!strings.Contains(refused, " at byte ")) {
			t.Fatalf("%q: log.parse_error %q", line, refused)
		}
	})
}
