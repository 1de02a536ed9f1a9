package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
)

// onlyNode is an agent whose collector never says a word, and which does not run.
func onlyNode(t *testing.T, log *slog.Logger, more string) *node {
	t.Helper()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	l, err := load(roleAgent, writeConfig(t, fmt.Sprintf(`receivers: {otlp: {grpc: {endpoint: "127.0.0.1:0"}, http: {endpoint: "127.0.0.1:0"}}%s}
wal: {dir: %q, min_free_mib: 1}
forward: {otlp: {endpoints: [%q]}}
admin: {endpoint: "127.0.0.1:0"}
`, more, filepath.Join(t.TempDir(), "wal"), silent.Addr())), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	n, err := newNode(l.config, log, newReloads())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.agent.Close() })
	return n
}

// The document balances, and says where what came in came in.
func TestTheStatusOfANode(t *testing.T) {
	t.Parallel()
	n := onlyNode(t, slog.New(slog.DiscardHandler), "")
	door := n.doors.otlp(n.agent.Entrance())
	overHTTP := context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{})
	for ctx, items := range map[context.Context]int{t.Context(): 3, overHTTP: 4} {
		if err := door.Put(ctx, forward.Batch{Signal: forward.Traces, Items: items, Body: []byte("\x0a\x00")}); err != nil {
			t.Fatal(err)
		}
	}
	n.agent.Missed(missedExample)
	s := n.status()
	if s.Format != 1 || s.Role != roleAgent || s.Verdict.Level != levelBad || s.Verdict.Headline != "Data was lost." || !s.Verdict.Ready {
		t.Errorf("%d %s %+v", s.Format, s.Role, s.Verdict)
	}
	for _, a := range s.Account {
		if a.In+a.Recovered != sum(a.Out)+a.Held+sum(a.Lost) {
			t.Errorf("%+v does not balance", a)
		}
	}
	want := accountStatus{Signal: "traces", In: 7, Out: map[string]uint64{}, Held: 7, Lost: map[string]uint64{}}
	if diff := cmp.Diff(want, s.Account[1]); diff != "" {
		t.Error(diff)
	}
	for i, items := range []uint64{3, 4} {
		if src := s.Sources[i]; src.Items["traces"] != items || src.Bytes != 2 || src.Last == nil || src.Address == "" {
			t.Errorf("%+v, want %d spans", src, items)
		}
	}
	if s.WAL.HeldItems != 7 || s.WAL.Signals[1].Stream == "" || s.WAL.OldestSeconds <= 0 || s.WAL.LimitBytes == 0 || s.WAL.DiskFree == 0 {
		t.Errorf("%+v", s.WAL)
	}
	if len(s.Losses.Last) != 1 || s.Losses.Last[0].Detail != missedExample.Path || s.Losses.Ledger == "" {
		t.Errorf("%+v", s.Losses)
	}
	if s.Forward.State != "idle" || len(s.Forward.Endpoints) != 1 || s.Forward.Clock.Known {
		t.Errorf("%+v", s.Forward)
	}
	// What is written is what is read.
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := parseStatus("here", raw)
	if err != nil {
		t.Fatal(err)
	}
	second, err := json.Marshal(again)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(raw), string(second)); diff != "" {
		t.Error(diff)
	}
	if _, err := parseStatus("here", []byte(`{"format": 2}`)); err == nil {
		t.Error("a status of another format was read")
	}
}

// Each thing that can be wrong has its level, and the worst says whether data is safe.
func TestJudging(t *testing.T) {
	soon, tables := 60.0, []tableStatus{{Name: "otel_logs", Held: "code: 60. DB::Exception: Table otel.otel_logs does not exist"}}
	well := func() *status {
		return &status{stages: stages{Limiter: limiterStatus{State: "normal", Refuses: "hard"}, Account: []accountStatus{{In: 1}},
			WAL:     &walStatus{LimitBytes: 100, DiskFree: 10, DiskReserve: 1, WhenFull: "refuse"},
			Forward: &forwardStatus{Endpoints: []endpointStatus{{State: "ready"}}}}}
	}
	for _, c := range []struct {
		name     string
		change   func(*status)
		level    level
		headline string
		says     string
	}{
		{"well", func(*status) {}, levelOK, "Data is safe and flows.", ""},
		{"new", func(s *status) { s.Account = nil }, levelOK, "Ready. Nothing has come in yet.", ""},
		{"failing", func(s *status) {
			s.Forward.Failing = newFailure("connection refused", time.Now().Add(-time.Minute))
			s.WAL.HeldItems = 5
		}, levelWarn, "Data is safe and waits.", "nobody listens there: the process is down, or the address is wrong. 5 items wait in the log."},
		{"no connection", func(s *status) { s.Forward.Endpoints[0].State = "transient_failure" }, levelWarn, "Data is safe and waits.", "No collector can be reached."},
		{"fills", func(s *status) { s.WAL.SecondsUntilFull = &soon }, levelWarn, "Data is safe and waits.", "full in 1 min"},
		{"nearly full", func(s *status) { s.WAL.Bytes = 86 }, levelWarn, "Data is safe and waits.", "86 %"},
		{"full", func(s *status) { s.WAL.Bytes = 90 }, levelBad, "New data is refused. What was taken before is safe.", "The log is full"},
		{"dropping", func(s *status) { s.WAL.Bytes, s.WAL.WhenFull = 90, "drop_oldest" }, levelBad, "Data was lost.", "oldest makes room"},
		{"disk", func(s *status) { s.WAL.DiskReserve = 11 }, levelBad, "New data is refused. What was taken before is safe.", "left to others"},
		{"memory", func(s *status) { s.Limiter.State = "hard" }, levelBad, "New data is refused. What was taken before is safe.", "Memory"},
		{"broken log", func(s *status) { s.WAL.Troubles = []string{"lane logs cannot be written: senders are told to wait"} }, levelBad, "New data is refused. What was taken before is safe.", "lane logs"},
		{"old loss", func(s *status) { s.Losses.Last = []lossStatus{{Time: time.Now().Add(-time.Hour), Items: 1}} }, levelOK, "Data is safe and flows.", ""},
		{"loss and a full log", func(s *status) {
			s.WAL.Bytes = 90
			s.Losses.Last = []lossStatus{{Time: time.Now(), Items: 4, Signal: "logs", Reason: "evicted"}}
		}, levelBad, "Data was lost.", "4 items of logs were lost"},
		{"reload", func(s *status) { s.Config.Refused = "x" }, levelWarn, "Data is safe and flows; something needs a look.", "reload"},
		{"table", func(s *status) {
			s.WAL, s.Forward = nil, nil
			s.ClickHouse = &clickhouseStatus{TablesReady: true, Tables: tables}
		}, levelWarn, "Data is safe and waits at its senders.", "Rows for otel_logs wait: a table is missing."},
		{"no tables", func(s *status) {
			s.Collector = &stages{Limiter: s.Limiter, ClickHouse: &clickhouseStatus{Failing: newFailure("no such host", time.Now())}}
		}, levelWarn, "Data is safe and waits.", "the name has no address"},
	} {
		s := well()
		c.change(s)
		v := judge(s, nil)
		if v.Level != c.level || v.Headline != c.headline || !strings.Contains(fmt.Sprint(v.Problems), c.says) {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	if v := judge(well(), errors.New("not yet")); v.Ready || v.Level != levelWarn {
		t.Errorf("not ready: %+v", v)
	}
}

// Who may read the admin port by way of a browser, and by what name.
func TestTheAdminPortIsNotForOtherSites(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "in") })
	loopback, everywhere := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 13133}, &net.TCPAddr{IP: net.IPv4zero, Port: 13133}
	for _, c := range []struct {
		at         net.Addr
		path, host string
		headers    string
		want       int
	}{
		{loopback, "/status", "127.0.0.1:13133", "", 200},
		{loopback, "/status", "localhost", "", 200},
		{loopback, "/status", "[::1]:13133", "", 200},
		{loopback, "/metrics", "127.9.9.9:9", "", 200},
		{loopback, "/status", "evil.example:13133", "", 421},
		{loopback, "/debug/pprof/", "evil.example", "", 421},
		{loopback, "/", "127.0.0.1.evil.example", "", 421},
		{everywhere, "/metrics", "node-7.example:13133", "", 200},
		{everywhere, "/status", "node-7", "Sec-Fetch-Site: cross-site", 403},
		{everywhere, "/status", "node-7", "Sec-Fetch-Site: same-site", 403},
		{everywhere, "/status", "node-7", "Sec-Fetch-Site: same-origin", 200},
		{everywhere, "/status", "node-7", "Sec-Fetch-Site: none", 200},
		{everywhere, "/status", "node-7", "Origin: http://evil.example", 403},
		{everywhere, "/status", "node-7:13133", "Origin: http://node-7:13133", 200},
		{everywhere, "/", "node-7", "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", 200},
		{everywhere, "/", "node-7", "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe", 403},
		{everywhere, "/debug/pprof/profile", "node-7", "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", 403},
	} {
		r := httptest.NewRequest(http.MethodGet, c.path, nil)
		r.Host = c.host
		for line := range strings.Lines(c.headers) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), ": ")
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		guard(c.at, ok).ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%+v: %d %s", c, w.Code, w.Body)
		}
		if h := w.Header(); h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%+v: headers %v", c, h)
		}
	}
}

// The page holds all that it needs: nothing is fetched but the status, and nothing runs that is not in it.
func TestThePageIsWhole(t *testing.T) {
	for _, foreign := range []string{"http://", "https://", "innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "src=", "@import", "url("} {
		if rest := strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""); strings.Contains(rest, foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
	if n := strings.Count(pagePolicy, "sha256-"); n != 2 || strings.Contains(pagePolicy, "unsafe") {
		t.Errorf("policy: %s", pagePolicy)
	}
	if len(page) > 48<<10 {
		t.Errorf("the page has %d bytes", len(page))
	}
}

// A message that repeats itself takes no other's place, and each has its paragraph.
func TestTheLastWarningsAreRemembered(t *testing.T) {
	log := slog.New(newRecalling(newCapped(slog.NewJSONHandler(io.Discard, nil))))
	log.Error("INSERT failed", "err", strings.Repeat("x", 2*maxAttrText), "hint", errors.New("\x1b[2J"))
	for range 500 {
		log.With("a", 1).WithGroup("g").Warn("delivery fails, the data waits in the log", "err", "refused")
	}
	log.Info("not this")
	all := recall(log)
	if len(all) != 2 || all[0].Message != "delivery fails, the data waits in the log" || all[0].Count != 500 || all[1].Level != "ERROR" {
		t.Fatalf("%+v", all)
	}
	if diff := cmp.Diff([]messageAttr{{"a", "1"}, {"g.err", "refused"}}, all[0].Attrs); diff != "" {
		t.Error(diff)
	}
	if n := len(all[1].Attrs[0].Value); n > maxAttrText+8 {
		t.Errorf("an attribute of %d bytes is kept", n)
	}
	if !strings.Contains(all[0].Meaning, "The next hop is away") {
		t.Errorf("meaning %q", all[0].Meaning)
	}
	for i := range 3 * maxRecalled {
		log.Warn(fmt.Sprint("message ", i))
	}
	if all = recall(log); len(all) != maxRecalled || all[0].Message != fmt.Sprint("message ", 3*maxRecalled-1) {
		t.Errorf("%d are remembered, the last is %q", len(all), all[0].Message)
	}
	_, more := meaning("log file was not read to its end")
	if len(more) != 1 || more[0].Name != "SpillwayMissedBytes" || !strings.Contains(more[0].Text, "rotation kept too little") {
		t.Errorf("%+v", more)
	}
}

// Every message of docs/operating.md is found by its text.
func TestEachMessageHasItsMeaning(t *testing.T) {
	for message := range said(t) {
		if text, _ := meaning(message); text == "" {
			t.Errorf("%q has no meaning", message)
		}
	}
}

// spillway status says what the page says, in a screen, and by its exit status.
func TestTheStatusCommand(t *testing.T) {
	t.Parallel()
	n := onlyNode(t, slog.New(slog.DiscardHandler), "")
	stop := n.admin.start(n.log)
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"status", "--endpoint", n.admin.addr()}, noEnv, &out, &errs); code != 0 {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	for _, want := range []string{"OK  Ready. Nothing has come in yet.", "agent ", "source OTLP gRPC", "log on disk", "0 items wait", "127.0.0.1:", "lost since the start  nothing"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if lines := strings.Count(out.String(), "\n"); lines > 24 {
		t.Errorf("%d lines are more than a screen:\n%s", lines, out.String())
	}
	n.agent.Missed(missedExample)
	if code := run(t.Context(), []string{"status", "--json", "--endpoint", n.admin.addr()}, noEnv, io.Discard, &errs); code != 1 {
		t.Errorf("exit %d of a node that has lost something", code)
	}
	stop()
	out.Reset()
	if code := run(t.Context(), []string{"status", "--endpoint", n.admin.addr()}, noEnv, &out, &errs); code != 1 || !strings.Contains(errs.String(), "is it running") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	if code := run(t.Context(), []string{"status", "--config", filepath.Join(t.TempDir(), "none")}, noEnv, &out, &errs); code != 2 {
		t.Errorf("exit %d without the file", code)
	}
}

// A name cannot steer a terminal.
func TestWhatIsPrintedHasNoEscapes(t *testing.T) {
	s := &status{Files: &filesStatus{List: []fileStatus{{Path: "/a\x1b[2J\u009b31m\n"}}}, Messages: []saidMessage{{Message: "\x07"}}}
	var out strings.Builder
	if err := s.print(&out, s); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\x07\u009b") {
		t.Errorf("%q", out.String())
	}
}

var missedExample = tail.Missed{Path: "/var/log/a.log", Bytes: 12, Reason: tail.MissedGone}

// docs/status.md names each field of the document and each check of the doctor.
func TestThePageOfTheStatusNamesEachField(t *testing.T) {
	raw, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	fields := 0
	var visit func(reflect.Type)
	visit = func(of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice:
			visit(of.Elem())
		case reflect.Struct:
			if of == reflect.TypeFor[time.Time]() {
				return
			}
			for i := range of.NumField() {
				f := of.Field(i)
				if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
					if fields++; !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "."+name+"`") {
						t.Errorf("docs/status.md does not name `%s` of %s", name, of)
					}
				}
				if f.Name != "Collector" { // the same again
					visit(f.Type)
				}
			}
		}
	}
	visit(reflect.TypeFor[status]())
	if fields < 100 {
		t.Errorf("%d fields: this test looks in the wrong place", fields)
	}
	src, err := filepath.Glob("doctor*.go")
	if err != nil {
		t.Fatal(err)
	}
	checks := 0
	for _, name := range src {
		code, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`d\.(?:found|good|sysctl)\("([a-z. _]+)",`).FindAllStringSubmatch(string(code), -1) {
			if checks++; !strings.HasSuffix(name, "_test.go") && !strings.Contains(text, "`"+m[1]+"`") && !strings.Contains(text, "`inotify "+m[1]+"`") &&
				m[1] != "inotify" && m[1] != "forward.otlp.tls" && m[1] != "forward.clickhouse.tls" && m[1] != "forward.clickhouse" {
				t.Errorf("docs/status.md does not name the check `%s`", m[1])
			}
		}
	}
	if checks < 30 {
		t.Errorf("%d findings: this test looks in the wrong place", checks)
	}
}
