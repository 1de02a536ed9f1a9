package tail

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestCRILines(t *testing.T) {
	when := time.Date(2016, 10, 6, 0, 17, 9, 669794202, time.UTC)
	for _, tt := range []struct {
		line string
		want piece
		ok   bool
	}{
		{"2016-10-06T00:17:09.669794202Z stdout F the text", piece{text: []byte("the text"), time: when, stream: stdout}, true},
		{"2016-10-06T00:17:09.669794202Z stderr P  of  it ", piece{text: []byte(" of  it "), time: when, stream: stderr, partial: true}, true},
		{"2016-10-06T08:17:09.669794202+08:00 stdout P:more:tags x", piece{text: []byte("x"), time: when, stream: stdout, partial: true}, true},
		{"2016-10-05T19:47:09.6697942029-04:30 stdout F ", piece{text: []byte{}, time: when, stream: stdout}, true},
		{"2016-10-06T00:17:09.669794202Z stdout F", piece{time: when, stream: stdout}, true},
		{"2016-10-06T00:17:09.669794202Z stdin F x", piece{}, false},
		{"2016-10-06T00:17:09.669794202Z stdout X x", piece{}, false},
		{"2016-10-06T00:17:09.669794202Z stdout FULL x", piece{}, false},
		{"2016-02-30T00:17:09Z stdout F x", piece{}, false},
		{"2016-10-06 00:17:09 stdout F x", piece{}, false},
		{"2016-10-06T00:17:09.Z stdout F x", piece{}, false},
		{"2016-10-06T00:17:09Z  stdout F x", piece{}, false},
		{"2016-10-06T00:17:09Z", piece{}, false},
		{"", piece{}, false},
	} {
		got, ok := parseCRI([]byte(tt.line))
		if ok != tt.ok {
			t.Errorf("%q: ok is %v", tt.line, ok)
		} else if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(piece{})); ok && diff != "" {
			t.Errorf("%q: (-want +got)\n%s", tt.line, diff)
		}
	}
}

func TestDockerLines(t *testing.T) {
	for _, tt := range []struct {
		line    string
		text    string
		partial bool
		ok      bool
	}{
		{`{"log":"the text\n","stream":"stdout","time":"2016-10-06T00:17:09.669794202Z"}`, "the text", false, true},
		{`{"log":"a part","stream":"stderr","time":"2016-10-06T00:17:09Z"}`, "a part", true, true},
		{`{"log":"","stream":"stderr","time":"2016-10-06T00:17:09Z"}`, "", true, true},
		{` { "time" : "2016-10-06T00:17:09Z" , "attrs":{"a":"}","b":[1,{},null]}, "stream":"stdout","log":"\"q\" \\n\u003c\ud83d\ude00\ud83d\t\n"} `, "\"q\" \\n<😀\ufffd\t", false, true},
		{`{"log":"ends in a backslash\\n","stream":"stdout","time":"2016-10-06T00:17:09Z"}`, `ends in a backslash\n`, true, true},
		{`{"log":"x","stream":"stdout","time":"2016-10-06T00:17:09Z"} trailing`, "", false, false},
		{`{"log":"x","stream":"stdin","time":"2016-10-06T00:17:09Z"}`, "", false, false},
		{`{"log":"x","stream":"stdout","time":"yesterday"}`, "", false, false},
		{`{"log":"\x","stream":"stdout","time":"2016-10-06T00:17:09Z"}`, "", false, false},
		{`{"log":1,"stream":"stdout","time":"2016-10-06T00:17:09Z"}`, "", false, false},
		{`{"stream":"stdout","time":"2016-10-06T00:17:09Z"}`, "", false, false},
		{`{"a":[[[[[[[[[[[[1]]]]]]]]]]]],"log":"x","stream":"stdout","time":"2016-10-06T00:17:09Z"}`, "", false, false},
		{`{"log":"x`, "", false, false},
		{`{}`, "", false, false},
		{``, "", false, false},
	} {
		got, _, ok := parseDocker([]byte(tt.line), []byte("before"))
		if ok != tt.ok || string(got.text) != tt.text || got.partial != tt.partial {
			t.Errorf("%s: got %q, partial %v, ok %v", tt.line, got.text, got.partial, ok)
		}
	}
}

func TestAFilesFormatIsThatOfItsFirstLine(t *testing.T) {
	r := newRig(t)
	docker := `{"log":"in two ","stream":"stdout","time":"2016-10-06T00:17:09Z"}` + "\n" +
		`{"log":"pi\u00e8ces\n","stream":"stdout","time":"2016-10-06T00:17:09Z"}` + "\n"
	r.write("a.log", docker)
	r.write("b.log", "plain\n"+cri("stdout", "F", "x"))
	r.write("c.log", cri("stdout", "F", "x")+"not CRI\n")
	r.write("d.log", `{"log":"`+strings.Repeat("x", 2000))
	r.start()
	r.want(sorted(r.read()), "2026-01-02T03:04:05.123456789Z stdout F x", "in two pièces (stdout)", "not CRI", "plain", "x (stdout)")
	r.write("d.log", `\r\n","stream":"stdout","time":"2016-10-06T00:17:09Z"}`+"\n")
	r.want(r.look(), strings.Repeat("x", 2000)+" (stdout)")
	r.balanced()
}

func TestAConfiguredFormatIsNotGuessed(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Format = FormatPlain })
	r.write("a.log", cri("stdout", "F", "x"))
	r.start()
	r.want(r.read(), "2026-01-02T03:04:05.123456789Z stdout F x")
}

func TestALineIsNotCutThroughACharacter(t *testing.T) {
	for limit := range 12 {
		text, lost := trimLine([]byte("aé😀z\r"), limit, true)
		if !utf8.Valid(text) || len(text) > limit || lost > 0 && len(text)+lost != 8 {
			t.Errorf("%d: got %q and %d lost", limit, text, lost)
		}
	}
}

// strictTime is RFC 3339; the library lets more pass.
var strictTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func FuzzTime(f *testing.F) {
	for _, s := range []string{"2016-10-06T00:17:09.669794202Z", "2024-02-29T23:59:59+08:00", "0000-01-01T00:00:00-23:59", "2023-02-29T00:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseTime([]byte(s))
		var want time.Time
		err := want.UnmarshalText([]byte(s))
		if ok != (err == nil && strictTime.MatchString(s)) {
			t.Fatalf("%q: ok is %v, the library says %v", s, ok, err)
		}
		if ok && !got.Equal(want) {
			t.Fatalf("%q: got %v, want %v", s, got, want)
		}
	})
}

func FuzzCRI(f *testing.F) {
	f.Add([]byte("2016-10-06T00:17:09.669794202Z stdout F the text"))
	f.Add([]byte("2016-10-06T00:17:09+01:00 stderr P:x y"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parseCRI(b)
		if ok && (!bytes.HasSuffix(b, p.text) || p.stream >= streams || p.time.IsZero() && b[0] != '0') {
			t.Fatalf("%q: got %+v", b, p)
		}
	})
}

func FuzzDocker(f *testing.F) {
	f.Add([]byte(`{"log":"the \"text\" \u00e9\ud83d\ude00\n","stream":"stdout","time":"2016-10-06T00:17:09.669794202Z","attrs":{"a":["b"]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, arena, ok := parseDocker(b, []byte("before"))
		if !bytes.HasPrefix(arena, []byte("before")) {
			t.Fatal("the arena was overwritten")
		}
		var want struct{ Log, Stream, Time *string }
		if !ok || !utf8.Valid(b) || strings.Count(string(b), `"`) != 12 || json.Unmarshal(b, &want) != nil {
			return // what is more tolerant than the library, or has a key twice, has no one answer
		}
		if want.Log == nil || want.Stream == nil || want.Time == nil {
			return // the library does not mind the case of keys
		}
		text, full := strings.CutSuffix(*want.Log, "\n")
		if string(p.text) != text || p.partial == full || p.stream.String() != *want.Stream {
			t.Fatalf("%q: got %q, want %q", b, p.text, text)
		}
	})
}

// FuzzSplitter feeds a text in windows and compares with cutting it at once.
func FuzzSplitter(f *testing.F) {
	f.Add([]byte("one\n\ntwo and a half\nthree"), 4, uint8(3))
	f.Fuzz(func(t *testing.T, text []byte, limit int, window uint8) {
		if limit < 1 || limit > 1<<20 || window == 0 {
			return
		}
		var budget atomic.Int64
		budget.Store(1 << 20)
		s := splitter{max: limit, budget: &budget}
		var got []rawLine
		for rest := text; len(rest) > 0; {
			n := min(len(rest), int(window))
			s.feed(slices.Clone(rest[:n]))
			rest = rest[n:]
			for l, ok := s.next(); ok; l, ok = s.next() {
				l.text = slices.Clone(l.text)
				got = append(got, l)
			}
			s.park()
		}
		if l, ok := s.rest(); ok {
			got = append(got, l)
		}
		at := int64(0)
		for i, line := range bytes.SplitAfter(text, newline) {
			if len(line) == 0 {
				continue
			}
			whole, complete := bytes.CutSuffix(line, newline)
			kept := whole[:min(len(whole), limit)]
			l := got[i]
			if !bytes.Equal(l.text, kept) || l.lost != len(whole)-len(kept) || l.cut == complete || l.start != at || l.end != at+int64(len(line)) {
				t.Fatalf("line %d: got %+v, want %q", i, l, line)
			}
			at = l.end
		}
		if at != int64(len(text)) || budget.Load() != 1<<20 {
			t.Fatalf("got %d of %d bytes, and %d of the budget is gone", at, len(text), 1<<20-budget.Load())
		}
	})
}
