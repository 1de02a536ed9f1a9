package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// small is an agent with a log of 24 MiB; memory is its memory_limiter.
func small(t *testing.T, target, memory, whenFull string) *node {
	t.Helper()
	n := &node{grpc: port(t), http: port(t), wal: filepath.Join(t.TempDir(), "wal")}
	admin := port(t)
	file := config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}}
memory_limiter: {check_interval: 20ms, %s}
wal: {dir: %q, max_size_mib: 24, min_free_mib: 1, when_full: %s}
batch: {timeout: 200ms}
forward: {otlp: {endpoints: [%q], retry_on_failure: {initial_interval: 200ms, max_interval: 1s}}}
admin: {endpoint: %q}
`, n.grpc, n.http, memory, n.wal, whenFull, target, admin))
	n.proc = start(t, "agent", admin, "agent", "--config", file)
	return n.healthyNode()
}

func client(t *testing.T, addr string) logspb.LogsServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return logspb.NewLogsServiceClient(conn)
}

// refusal sends until the agent refuses, and holds that the refusal says when to come back.
func refusal(t *testing.T, a *node, body func(i int) *logspb.ExportLogsServiceRequest) (sent int) {
	t.Helper()
	c := client(t, a.grpc)
	for i := range 2000 {
		_, err := c.Export(t.Context(), body(i))
		if err == nil {
			sent++
			continue
		}
		st := status.Convert(err)
		hint := false
		for _, d := range st.Details() {
			if info, ok := d.(*errdetails.RetryInfo); ok && info.RetryDelay.AsDuration() > 0 {
				hint = true
			}
		}
		if st.Code() != codes.ResourceExhausted || !hint {
			t.Fatalf("refused with %v, details %v", st, st.Details())
		}
		raw, err := proto.Marshal(body(i))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post("http://"+a.http+"/v1/logs", "application/x-protobuf", bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
			t.Errorf("HTTP: %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
		}
		return sent
	}
	t.Fatal("never refused")
	return 0
}

func TestAFullLogRefusesWithAHintAndTakesAgainLater(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t)
	address := port(t)
	a := small(t, address, "limit_mib: 500, spike_limit_mib: 100", "refuse")
	filler := strings.Repeat("all work and no play ", 100)
	sent := refusal(t, a, func(i int) *logspb.ExportLogsServiceRequest {
		req := numbered("full", span{uint64(i) * 200, uint64(i)*200 + 200})
		for _, r := range req.ResourceLogs[0].ScopeLogs[0].LogRecords {
			r.Body = kit.Text(filler)
		}
		return req
	})
	a.equation()

	// Then the collector comes, room comes back, and the client succeeds.
	admin := port(t)
	start(t, "collector", admin, "collector", "--config", config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: ""}}}
batch: {timeout: 1s}
forward: {clickhouse: {dsn: %q}}
admin: {endpoint: %q}
`, address, engine.DSN(), admin)))
	c := client(t, a.grpc)
	until(t, "taken again", func() bool {
		_, err := c.Export(t.Context(), numbered("later", span{0, 10}))
		return err == nil
	})
	a.drained()
	conn := connect(t, engine.DSN())
	if got := one(t, conn, "SELECT uniqExact(LogAttributes['n']) FROM otel_logs WHERE LogAttributes['test'] = 'full'"); got != uint64(sent)*200 {
		t.Errorf("%d records stored, %d acknowledged", got, sent*200)
	}
}

func TestAboveTheHardMemoryLimitClientsAreToldToWait(t *testing.T) {
	t.Parallel()
	// The process itself takes a few MiB, so a limit of 24 MiB is soon reached by large requests at once.
	a := small(t, port(t), "limit_mib: 24, spike_limit_mib: 6", "refuse")
	big := numbered("memory", span{0, 30000})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	refused := make(chan error, 64)
	for range 8 {
		c := client(t, a.grpc)
		go func() {
			for ctx.Err() == nil {
				if _, err := c.Export(ctx, big); err != nil {
					refused <- err
					return
				}
			}
			refused <- nil
		}()
	}
	st := status.Convert(<-refused)
	hint := false
	for _, d := range st.Details() {
		_, ok := d.(*errdetails.RetryInfo)
		hint = hint || ok
	}
	if st.Code() != codes.ResourceExhausted || !hint {
		t.Errorf("refused with %v, details %v", st, st.Details())
	}
	cancel()
	c := client(t, a.grpc)
	until(t, "a small request is taken later", func() bool {
		_, err := c.Export(t.Context(), numbered("memory", span{0, 1}))
		return err == nil || strings.Contains(err.Error(), "wal: full") // the log may be full by now; memory is not
	})
}

func TestDropOldestSaysWhatItDropped(t *testing.T) {
	t.Parallel()
	a := small(t, port(t), "limit_mib: 500, spike_limit_mib: 100", "drop_oldest")
	c := client(t, a.grpc)
	filler := strings.Repeat("x", 2000)
	const requests = 120
	for i := range requests {
		req := numbered("drop", span{uint64(i) * 200, uint64(i)*200 + 200})
		for _, r := range req.ResourceLogs[0].ScopeLogs[0].LogRecords {
			r.Body = kit.Text(filler)
		}
		if _, err := c.Export(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	a.equation()
	lost := kit.Total(a.metrics(), "spillway_lost_items_total", `reason="evicted"`)
	ledger, err := os.ReadFile(filepath.Join(a.wal, "ledger.jsonl"))
	if err != nil || lost == 0 || !bytes.Contains(ledger, []byte(`"reason":"evicted"`)) {
		t.Errorf("%.0f items lost, ledger %q, %v", lost, ledger, err)
	}
}
