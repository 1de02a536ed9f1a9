package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/otlp"
	"github.com/spillway-io/spillway/wal"
)

// Each script of testdata/wal finds the log of a node that is gone in disk/ (see makeLog), a
// collector at $COLLECTOR, the same with TLS at $SECURE (its authority is ca.pem), and nobody at $NOBODY.
//
//	taken           prints, sorted, what the collector took since the last time: signal, IngestStream, seq, items
//	refuse TEXT     the collector refuses records that hold TEXT
//	hold DIR        opens a log, as an agent would, and appends one record; release closes it
//	flip FILE AT    flips a bit of a file
//	files DIR       prints all files below, with their sizes
func TestWALScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/wal", Setup: setUpWAL, Cmds: map[string]func(*testscript.TestScript, bool, []string){
		"taken":   func(ts *testscript.TestScript, _ bool, _ []string) { fmt.Fprint(ts.Stdout(), taker(ts).print()) },
		"refuse":  func(ts *testscript.TestScript, _ bool, args []string) { taker(ts).refuse(args[0]) },
		"hold":    func(ts *testscript.TestScript, _ bool, args []string) { hold(ts, ts.MkAbs(args[0])) },
		"release": func(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(ts.Value("held").(*holder).release()) },
		"flip":    flip,
		"files":   listFiles,
	}})
}

func taker(ts *testscript.TestScript) *takes { return ts.Value("taker").(*takes) }

func setUpWAL(e *testscript.Env) error {
	if err := makeLog(filepath.Join(e.WorkDir, "disk")); err != nil {
		return err
	}
	sink, quiet := &takes{}, slog.New(slog.DiscardHandler)
	e.Values["taker"], e.Values["held"] = sink, &holder{}
	e.Defer(func() { e.Values["held"].(*holder).release() })
	limiter := forward.NewLimiter(1<<30, 1<<29, forward.Hard, time.Second, quiet)
	cert, key, ca, err := certificate(e.WorkDir)
	if err != nil {
		return err
	}
	for name, secure := range map[string]*otlp.ServerTLS{"COLLECTOR": nil, "SECURE": {CertFile: cert, KeyFile: key}} {
		cfg := otlp.ServerConfig{GRPC: otlp.ListenerConfig{Endpoint: "127.0.0.1:0", MaxRecvMsgSizeMiB: 20, TLS: secure}}
		l, err := otlp.NewServer(cfg, sink, limiter, forward.NewCounters(nil, "collector"), quiet).Listen()
		if err != nil {
			return err
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- l.Serve(ctx, time.Second) }()
		e.Defer(func() { stop(); <-done })
		e.Setenv(name, l.GRPC.String())
	}
	e.Setenv("NOBODY", "127.0.0.1:1")
	return os.WriteFile(filepath.Join(e.WorkDir, "ca.pem"), ca, 0o600)
}

// certificate is the one that httptest brings, for 127.0.0.1.
func certificate(dir string) (cert, key string, ca []byte, err error) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	private, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	private = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return cert, key, ca, errors.Join(err, os.WriteFile(cert, ca, 0o600), os.WriteFile(key, private, 0o600))
}

// takes is what a collector took.
type takes struct {
	mu      sync.Mutex
	lines   []string
	refused string
}

func (k *takes) refuse(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refused = text
}

func (k *takes) print() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer func() { k.lines = nil }()
	slices.Sort(k.lines) // several batches are under way at a time
	return strings.Join(k.lines, "")
}

func (k *takes) Put(_ context.Context, b forward.Batch) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refused != "" && bytes.Contains(b.Body, []byte(k.refused)) {
		return &forward.RefusedError{Reason: forward.ReasonRejected, Err: errors.New("not wanted here")}
	}
	for r, err := range forward.Records(b.Body) {
		if err != nil {
			return err
		}
		id := "without identity"
		if r.Marker != nil {
			id = fmt.Sprintf("%s seq %d items %d accepted %s", r.Marker.StreamID(), r.Marker.Seq, r.Marker.Items, moment(r.Marker.Accepted))
		}
		k.lines = append(k.lines, b.Signal.String()+" "+id+"\n")
	}
	return nil
}

// A holder is a process that has a log open.
type holder struct{ store *wal.Store }

func (h *holder) release() error {
	if h.store == nil {
		return nil
	}
	err := h.store.Close()
	h.store = nil
	return err
}

func hold(ts *testscript.TestScript, dir string) {
	s, err := wal.Open(wal.Config{Dir: dir, Lanes: []string{"logs"}, MaxBytes: 64 << 20, MinFreeBytes: 1})
	ts.Check(err)
	ts.Value("held").(*holder).store = s
	ts.Check(s.Lane("logs").Append(context.Background(), wal.Record{Items: 1, Accepted: acceptedAt(99), Data: someLogs(1, "from a live node")}))
}

func flip(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b, err := os.ReadFile(name)
	ts.Check(err)
	b[at] ^= 1
	ts.Check(os.WriteFile(name, b, 0o600))
}

func listFiles(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(fs.WalkDir(os.DirFS(ts.MkAbs(args[0])), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintln(ts.Stdout(), path, info.Size())
		}
		return err
	}))
}

// acceptedAt is the second n of 2026.
func acceptedAt(n int) int64 {
	return time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC).UnixNano()
}

// makeLog makes what a node leaves: six records of logs in three full generations, of which the
// first is parked, too; one of traces, one of metrics; a dead letter; a damaged run in quarantine.
func makeLog(dir string) error {
	s, err := wal.Open(wal.Config{Dir: dir, Lanes: []string{"logs", "metrics", "parked-logs", "traces"}, MaxBytes: 64 << 20, MinFreeBytes: 1, GenerationBytes: 500})
	if err != nil {
		return err
	}
	put := func(lane string, r wal.Record) {
		err = errors.Join(err, s.Lane(lane).Append(context.Background(), r))
	}
	for i := range 6 {
		put("logs", wal.Record{Items: 2, Accepted: acceptedAt(i), Meta: []byte("a cursor"), Data: someLogs(2, fmt.Sprintf("user alice logged in, %d", i))})
	}
	put("traces", wal.Record{Items: 1, Accepted: acceptedAt(10), Data: someTraces()})
	put("metrics", wal.Record{Items: 1, Accepted: acceptedAt(11), Data: someMetrics()})
	first, e := s.Lane("logs").Next(context.Background())
	if err = errors.Join(err, e); err != nil {
		return errors.Join(err, s.Close())
	}
	m := forward.Marker{Stream: first.Stream, Seq: first.Seq, Length: uint32(len(first.Data)), Accepted: first.Accepted, Items: uint32(first.Items), CumItems: first.CumItems}
	put("parked-logs", wal.Record{Items: 2, Accepted: first.Accepted, Data: append(m.Append(nil), first.Data...)})
	second, e := s.Lane("logs").Next(context.Background())
	if err = errors.Join(err, e); err != nil {
		return errors.Join(err, s.Close())
	}
	m.Seq, m.Length, m.CumItems, m.Accepted = second.Seq, uint32(len(second.Data)), second.CumItems, second.Accepted
	err = forward.NewDeadLetters(s).Put(forward.Logs, append(m.Append(nil), second.Data...),
		&forward.RefusedError{Reason: forward.ReasonRejected, Err: errors.New("not wanted there")})
	quarantine := filepath.Join(dir, "quarantine")
	return errors.Join(err, s.Close(), os.MkdirAll(quarantine, 0o700),
		os.WriteFile(filepath.Join(quarantine, "20260101T000000.000000000-logs-0000000000000001-52"), []byte("bytes that are no frame"), 0o600))
}

func someLogs(n int, body string) []byte {
	l := plog.NewLogs()
	scope := l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	for range n {
		r := scope.LogRecords().AppendEmpty()
		r.SetTimestamp(pcommon.Timestamp(acceptedAt(0)))
		r.Body().SetStr(body)
		r.Attributes().PutStr("password", "opensesame")
		r.Attributes().PutInt("attempts", 3)
	}
	b, err := (&plog.ProtoMarshaler{}).MarshalLogs(l)
	if err != nil {
		panic(err)
	}
	return b
}

func someTraces() []byte {
	tr := ptrace.NewTraces()
	s := tr.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	s.SetName("GET /users/alice")
	s.SetTraceID(pcommon.TraceID{1, 2, 3})
	s.SetSpanID(pcommon.SpanID{4})
	b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(tr)
	if err != nil {
		panic(err)
	}
	return b
}

func someMetrics() []byte {
	m := pmetric.NewMetrics()
	g := m.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	g.SetName("logins")
	g.SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(42)
	b, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(m)
	if err != nil {
		panic(err)
	}
	return b
}

// Bodies that are no text, and nested ones, are redacted as well; keys and numbers elsewhere stay.
func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		`{"body":{"stringValue":"secret"}}`: `{"body":{"stringValue":"(6 bytes)"}}`,
		`{"body":{"intValue":"4111"}}`:      `{"body":{"intValue":"(4 bytes)"}}`,
		`{"body":{"doubleValue":1.5}}`:      `{"body":{"doubleValue":"(3 bytes)"}}`,
		`{"body":{"boolValue":true}}`:       `{"body":{"boolValue":"(4 bytes)"}}`,
		`{"body":{"kvlistValue":{"values":[{"key":"pin","value":{"intValue":"1"}}]}}}`:                        `{"body":{"kvlistValue":{"values":[{"key":"pin","value":{"intValue":"(1 bytes)"}}]}}}`,
		`{"attributes":[{"key":"a","value":{"bytesValue":"AAAA"}}]}`:                                          `{"attributes":[{"key":"a","value":{"bytesValue":"(3 bytes)"}}]}`,
		`{"attributes":[{"key":"a","value":{"arrayValue":{"values":[{"stringValue":"x"}]}}}]}`:                `{"attributes":[{"key":"a","value":{"arrayValue":{"values":[{"stringValue":"(1 bytes)"}]}}}]}`,
		`{"traceId":"0102","spanId":"04","timeUnixNano":"17","asInt":"42","name":"GET /alice","flags":1}`:     `{"asInt":"42","flags":1,"name":"(10 bytes)","spanId":"04","timeUnixNano":"17","traceId":"0102"}`,
		`{"status":{"message":"no alice"},"traceState":"a=b","severityText":"INFO","bucketCounts":["1","2"]}`: `{"bucketCounts":["1","2"],"severityText":"(4 bytes)","status":{"message":"(8 bytes)"},"traceState":"(3 bytes)"}`,
	} {
		got, err := redact([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("%s:\n got %s, %v\nwant %s", in, got, err, want)
		}
	}
}

func TestVerifyExitCodes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	if err := makeLog(dir); err != nil {
		t.Fatal(err)
	}
	verify := func(what string, want int) {
		t.Helper()
		var out bytes.Buffer
		if got := run(t.Context(), []string{"wal", "verify", dir}, noEnv, &out, &out); got != want {
			t.Errorf("%s: exit %d, want %d\n%s", what, got, want, &out)
		}
	}
	file := filepath.Join(dir, "logs", "0000000000000000", "00000000000000000001")
	verify("clean", 0)
	if err := os.Truncate(file, 200); err != nil {
		t.Fatal(err)
	}
	verify("a generation that is cut off", 1)
	if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
		t.Fatal(err)
	}
	verify("a generation that cannot be read", 2)
	dir = filepath.Join(dir, "missing")
	verify("no directory", 2)
}

// Every command that docs/wal.md shows is run by a script or by the drill, word for word.
func TestTheDocumentedCommandsAreRun(t *testing.T) {
	scripts, err := filepath.Glob("testdata/wal/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	run := make(map[string]bool)
	for _, name := range append(scripts, "../../e2e/drill_test.go") {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(src)) {
			if _, command, ok := strings.Cut(line, "spillway wal "); ok {
				command, _, _ = strings.Cut(command, `"`)
				run[strings.TrimSpace(command)] = true
			}
		}
	}
	doc, err := os.ReadFile("../../docs/wal.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(doc)) {
		if command, ok := strings.CutPrefix(line, "spillway wal "); ok {
			command, _, _ = strings.Cut(command, "#")
			if n++; !run[strings.TrimSpace(command)] {
				t.Errorf("no test runs: spillway wal %s", strings.TrimSpace(command))
			}
		}
	}
	if n == 0 {
		t.Error("docs/wal.md shows no command")
	}
}
