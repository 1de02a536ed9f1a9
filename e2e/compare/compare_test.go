package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// What the discarding server counts is what the real client inserted; the engine behind it holds nothing of it, and all else.
func TestTheDiscardingServerCounts(t *testing.T) {
	engine := enginetest.Shared(t)
	engine.SQL("CREATE TABLE otel_logs (Body String, LogAttributes Map(LowCardinality(String), String)) ENGINE = MergeTree ORDER BY ()")
	engine.SQL("CREATE TABLE other (n UInt8) ENGINE = MergeTree ORDER BY ()")
	server, err := newDiscard(engine.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()
	for _, method := range []string{"none", "lz4", "zstd"} {
		server.reset()
		options, err := clickhouse.ParseDSN("http://default:@" + server.addr + "/" + engine.Database() + "?compress=" + method)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := clickhouse.Open(options)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		const rows = 20_000
		bodies, others := batch(t, conn, "INSERT INTO "+engine.Database()+".otel_logs (Body, LogAttributes)"), batch(t, conn, "INSERT INTO other (n)")
		for i := range rows {
			if err := errors.Join(bodies.Append(fmt.Sprintf("body %d", i), map[string]string{"k": "v"}), others.Append(uint8(i))); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(bodies.Send(), others.Send()); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		if got := server.tables["otel_logs"].Load(); got != rows || server.inserts.Load() != 1 || server.err() != nil {
			t.Errorf("%s: %d rows of %d, %d INSERTs, %v", method, got, rows, server.inserts.Load(), server.err())
		}
		var stored, leaked uint64
		if err := conn.QueryRow(t.Context(), "SELECT (SELECT count() FROM other), (SELECT count() FROM otel_logs)").Scan(&stored, &leaked); err != nil {
			t.Fatal(err)
		}
		if stored%rows != 0 || stored == 0 || leaked != 0 {
			t.Errorf("%s: the engine holds %d and %d rows", method, stored, leaked)
		}
	}
}

func batch(t *testing.T, conn driver.Conn, sql string) driver.Batch {
	t.Helper()
	b, err := conn.PrepareBatch(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheDiscardingServerSaysWhatItCannotCount(t *testing.T) {
	server, err := newDiscard("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()
	resp, err := http.Post("http://"+server.addr+"/?decompress=1&query=INSERT+INTO+otel.otel_logs+(Body)+FORMAT+Native", "", strings.NewReader("no frame"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusInternalServerError || server.err() == nil {
		t.Errorf("status %d, %v", resp.StatusCode, server.err())
	}
}

func TestRequestsAreWhatTheyAreSaidToBe(t *testing.T) {
	w := workload{seed: 1, start: yesterday()}
	for _, s := range signals {
		for n := range 3 {
			body := s.make(w, n)
			if !bytes.Equal(body, s.make(w, n)) {
				t.Errorf("%s: request %d differs from itself", s.name, n)
			}
			if bytes.Equal(body, s.make(w, n+1)) {
				t.Errorf("%s: request %d is the same as the next", s.name, n)
			}
			items := 0
			switch s.name {
			case "logs":
				var r logspb.ExportLogsServiceRequest
				if err := proto.Unmarshal(body, &r); err != nil {
					t.Fatal(err)
				}
				items = len(r.ResourceLogs[0].ScopeLogs[0].LogRecords)
			case "traces":
				var r tracepb.ExportTraceServiceRequest
				if err := proto.Unmarshal(body, &r); err != nil {
					t.Fatal(err)
				}
				items = len(r.ResourceSpans[0].ScopeSpans[0].Spans)
			}
			if items != s.perRequest {
				t.Errorf("%s: %d items, want %d", s.name, items, s.perRequest)
			}
		}
	}
}

func TestTheVerdict(t *testing.T) {
	second := func(rows int, rss int64) result { return result{rows: rows, cpu: time.Second, rss: rss} }
	for _, c := range []struct {
		name        string
		ours, peers []result
		ok          bool
	}{
		{"above", []result{second(400, 5), second(900, 5), second(410, 5)}, []result{second(100, 9), second(200, 8), second(100, 9)}, true},
		{"below in most rounds", []result{second(400, 5), second(399, 5), second(399, 5)}, []result{second(100, 9), second(100, 9), second(100, 9)}, false},
		{"more memory in one round", []result{second(400, 5), second(400, 9)}, []result{second(100, 8), second(100, 9)}, false},
	} {
		if err := verdict("logs", 4, c.ours, c.peers); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
