package lines_test

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/agent/lines"
)

func TestFieldsOfOnesOwnComeFirst(t *testing.T) {
	o := lines.Options{Fields: lines.Fields{Body: []lines.Key{"text", "msg"}, Timestamp: []lines.Key{"when"}, Severity: []lines.Key{"sev"}, Logger: []lines.Key{"channel", "name"},
		TraceID: []lines.Key{"correlation"}, SpanID: []lines.Key{"sp"}, TraceFlags: []lines.Key{"fl"}, Exception: []lines.Key{"failure", "level"}}}
	if err := o.Fields.Validate(); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		`{"event": "e", "msg": "m", "text": "t", "when": "2024-05-06T07:08:09Z", "sev": "warn", "channel": "c", "correlation": "0af7651916cd43dd8448eb211c80319c", "sp": "b7ad6b7169203331", "fl": 1, "failure": "E: x"}`: `  time      2024-05-06T07:08:09Z
  severity  13 "warn"
  scope     c
  trace     0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 01
  body      "t"
  event = "e"
  msg = "m"
  exception.type = "E"
  exception.message = "x"
`,
		// The built-in keys still count, behind them; text comes before what is none.
		`{"text": 7, "event": "e", "timestamp": "2024-05-06T07:08:09Z", "severity": "info", "logger": "l"}`: `  time      2024-05-06T07:08:09Z
  severity  9 "info"
  scope     l
  body      "e"
  text = 7
`,
		// A key has one place; name is a logger's here, whatever the level looks like.
		`{"event": "e", "level": "E: x", "severity": "info", "name": "n"}`: `  severity  9 "info"
  scope     n
  body      "e"
  exception.type = "E"
  exception.message = "x"
`,
	} {
		scope, record := one(t, o, line)
		if diff := cmp.Diff(want, describe(scope, record)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

func TestLevelnameOfOnesOwnStillNamesALogger(t *testing.T) {
	o := lines.Options{Fields: lines.Fields{Severity: []lines.Key{"mine"}}}
	if scope, _ := one(t, o, `{"levelname": "INFO", "name": "shop", "message": "x"}`); scope != "shop" {
		t.Errorf("the scope is %q", scope)
	}
	o.Fields.Body = []lines.Key{"levelname"}
	if scope, record := one(t, o, `{"mine": "INFO", "name": "shop", "levelname": "x"}`); scope != "" || record.Body.GetStringValue() != "x" {
		t.Errorf("the scope is %q, the body %v", scope, record.Body)
	}
}

func TestDecimalIDsAreReadWhenAskedFor(t *testing.T) {
	for members, want := range map[string]string{ // trace, span, attributes that stay
		`"dd.trace_id": "1234567890123456789", "dd.span_id": "42"`:              "0000000000000000112210f47de98115 000000000000002a 0",
		`"trace_id": 1234567890123456789, "span_id": 42`:                        "0000000000000000112210f47de98115 000000000000002a 0",
		`"trace_id": 18446744073709551615, "span_id": 18446744073709551615`:     "0000000000000000ffffffffffffffff ffffffffffffffff 0",
		`"trace_id": "340282366920938463463374607431768211455", "span_id": "1"`: "ffffffffffffffffffffffffffffffff 0000000000000001 0",
		`"trace_id": "340282366920938463463374607431768211456"`:                 "  1",
		`"trace_id": "999999999999999999999999999999999999999999"`:              "  1",
		`"trace_id": 1, "span_id": 18446744073709551616`:                        "00000000000000000000000000000001  1",
		`"trace_id": -1`:                "  1",
		`"trace_id": 1.5`:               "  1",
		`"trace_id": 0, "span_id": "0"`: "  0",
		`"dd.trace_id": "66388d99000000001234567890123456"`:                             "66388d99000000001234567890123456  0",
		`"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"`: "0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 0",
		`"trace_id": "0x10"`: "00000000000000000000000000000010  0",
		`"dd": {"trace_id": "10", "span_id": "11", "service": "shop"}`: "0000000000000000000000000000000a 000000000000000b 1",
		`"dd": "x"`: "  1",
	} {
		_, r := one(t, lines.Options{DecimalIDs: true}, `{"event": "e", `+members+`}`)
		if got := fmt.Sprintf("%s %s %d", hex.EncodeToString(r.TraceId), hex.EncodeToString(r.SpanId), len(r.Attributes)); got != want {
			t.Errorf("%s\nis   %s\nwant %s", members, got, want)
		}
	}
	_, r := one(t, lines.Options{}, `{"event": "e", "dd.trace_id": "1234567890123456789", "dd.span_id": "42", "trace_id": 7}`)
	if len(r.TraceId) > 0 || len(r.Attributes) != 3 {
		t.Errorf("nobody asked, but got\n%s", describe("", r))
	}
}

func TestRulesGiveTextASeverity(t *testing.T) {
	o := lines.Options{Rules: []lines.SeverityRule{
		{Match: regexp.MustCompile(`^\[(?P<level>[a-zA-Z]+)\]`), Level: "notice"},
		{Match: regexp.MustCompile(`^E(?P<level>x)? `)}, // matches without a level: not it
		{Match: regexp.MustCompile(`^E `), Level: "Error"},
		{Match: regexp.MustCompile(`(?i)panic`), Level: "fatal"},
		{Match: regexp.MustCompile(`\d (?P<level>[A-Z]+) `)},
	}}
	for line, want := range map[string]string{
		"[warn] x": `13 "warn"`, "[loud] x": `9 "loud"`, "E x": `17 "Error"`, "\x1b[31mE\x1b[0m x": `17 "Error"`, "Panic": `21 "fatal"`, "07 WARNING x": `13 "WARNING"`,
		"07 LOUD x": `0 "LOUD"`, "x": `0 ""`, "": `0 ""`, `{"msg": "panic"}`: `0 ""`, `{"msg": "panic"`: `21 "fatal"`,
		`{"msg": "panic", "level": "info"}`: `9 "info"`, "ERROR:    panic": `21 "fatal"`, "ERROR:    x": `17 "ERROR"`, "INFO:     127.0.0.1:1 - \"GET /panic HTTP/1.1\" 200": `21 "fatal"`,
	} {
		_, record := one(t, o, line)
		if got := fmt.Sprintf("%d %q", record.SeverityNumber, record.SeverityText); got != want {
			t.Errorf("%q is %s, want %s", line, got, want)
		}
	}
	o.Parse = "none"
	if _, record := one(t, o, `{"msg": "panic"}`); record.SeverityText != "fatal" {
		t.Errorf("a line that is taken as it is became\n%s", describe("", record))
	}
}

func TestLinesWithBytesThatAreNoUTF8AreCounted(t *testing.T) {
	e := lines.NewEncoder(lines.Options{})
	for range 2 {
		e.Begin(resource)
		for _, line := range []string{"caf\xe9 \xe9", "é", "{\"a\": \"\xff\"}", "{\"a\": \"\\ud800\"}", "{\"\xff\": [\"\xff\"]}", "{\xff", "{}", "\x1b[1mx\x1b[0m\xff"} {
			e.Add([]byte(line), observed, observed, "", false, false)
		}
		if e.Invalid() != 5 {
			t.Errorf("%d lines were counted, want 5", e.Invalid())
		}
		decode1(t, e)
	}
}

func TestUvicornsLinesAreRead(t *testing.T) {
	request := func(s string) string {
		return strings.NewReplacer("MORE", `http.request.method = "GET"`, "END", "network.protocol.version = \"1.1\"\n  http.response.status_code = ").Replace(s)
	}
	for line, want := range map[string]string{
		`INFO:     127.0.0.1:1234 - "GET /x?y=1&z=%20 HTTP/1.1" 200 OK`: request("9 \"INFO\"\n  client.address = \"127.0.0.1\"\n  client.port = 1234\n  MORE\n  url.path = \"/x\"\n  url.query = \"y=1&z=%20\"\n  END200"),
		"\x1b[32mINFO\x1b[0m:     ::1:1 - \"\x1b[1mGET /a?b HTTP/1.1\x1b[0m\" \x1b[31m404 Not Found\x1b[0m": request(
			"9 \"INFO\"\n  client.address = \"::1\"\n  client.port = 1\n  MORE\n  url.path = \"/a\"\n  url.query = \"b\"\n  END404"),
		`INFO:     10.0.0.1:0 - "GET /" HTTP/1.1" 500`:            request("9 \"INFO\"\n  client.address = \"10.0.0.1\"\n  MORE\n  url.path = \"/\\\"\"\n  END500"),
		`INFO:      - "GET / HTTP/1.1" 200 OK`:                    request("9 \"INFO\"\n  MORE\n  url.path = \"/\"\n  END200"),
		`INFO:     Started server process [1]`:                    `9 "INFO"`,
		`WARNING:  x`:                                             `13 "WARNING"`,
		`ERROR:    Exception in ASGI application`:                 `17 "ERROR"`,
		`CRITICAL: x`:                                             `21 "CRITICAL"`,
		`DEBUG:    x`:                                             `5 "DEBUG"`,
		`TRACE:    x`:                                             `1 "TRACE"`,
		`INFO:     ('127.0.0.1', 5) - "WebSocket /ws" [accepted]`: `9 "INFO"`,
		`INFO:     1.1.1.1:x - "GET / HTTP/1.1" 200 OK`:           `9 "INFO"`,
		`INFO:     1.1.1.1:1 - "GET / HTTP/1.1" 2000`:             `9 "INFO"`,
		`INFO:     1.1.1.1:1 - "GET / HTTP/1.1" 099`:              `9 "INFO"`,
		`INFO:     1.1.1.1:1 - "get / HTTP/1.1" 200`:              `9 "INFO"`,
		`INFO:     1.1.1.1:1 - "GET HTTP/1.1" 200`:                `9 "INFO"`,
		`INFO:     1.1.1.1:1 - "GET / HTTP/" 200`:                 `9 "INFO"`,
		`INFO:     - "`:                                           `9 "INFO"`,
		`INFO: x`:                                                 "", `INFO:    x`: "", `info:     x`: "", `INFO:root:failed`: "", ` INFO:     x`: "", `INFO:     `: "", `NOTICE:   x`: "",
	} {
		if want != "" {
			want = "  severity  " + want + "\n"
		}
		_, record := one(t, lines.Options{}, line)
		body := fmt.Sprintf("  body      %s\n", show(record.Body))
		if got := strings.Replace(describe("", record), body, "", 1); got != want {
			t.Errorf("%q (-want +got):\n%s", line, cmp.Diff(want, got))
		}
	}
}
