package lines_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/agent/lines"
)

func TestOnlyWhatLoguruWritesIsReadAsItsRecord(t *testing.T) {
	for line, want := range map[string]string{
		`{"text": "t", "record": {"message": "m", "level": {"name": "loud", "no": 35}, "extra": {"trace_id": "0af7651916cd43dd8448eb211c80319c", "x": 1}, "name": null, "line": "7"}}`: `  severity  13 "loud"
  trace     0af7651916cd43dd8448eb211c80319c  00
  body      "m"
  x = 1
  line = "7"
`,
		`{"text": "t", "record": {"message": "m", "level": {"name": "INFO"}, "mine": 1}}`: `  body      |
      WHOLE
  text = "t"
  record = {message: "m", level: {name: "INFO"}, mine: 1}
`,
		`{"text": "t", "event": "e", "record": {"message": "m", "level": {"name": "INFO"}}}`: `  body      "e"
  text = "t"
  record = {message: "m", level: {name: "INFO"}}
`,
		`{"event": "e", "record": 7}`:  "  body      \"e\"\n  record = 7\n",
		`{"event": "e", "text": null}`: "  body      \"e\"\n",
	} {
		_, record := one(t, lines.Options{}, line)
		got := describe("", record)
		if record.Body.GetStringValue() == line {
			record.Body = nil
			got = "  body      |\n      WHOLE\n" + describe("", record)[len("  body      null\n"):]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}
