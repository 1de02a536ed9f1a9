package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// A group is a memory cgroup.
type group string

// memoryGroup makes a group with that limit, of the hierarchy that there is.
func memoryGroup(t *testing.T, mib int) group {
	t.Helper()
	parent, limit := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		parent, limit = "/sys/fs/cgroup", "memory.max"
	}
	dir := filepath.Join(parent, fmt.Sprintf("spillway-e2e-%d-%d", os.Getpid(), mib))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("a memory cgroup needs root and a hierarchy that may be written to: %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, limit), []byte(strconv.Itoa(mib<<20)), 0); err != nil {
		t.Skipf("memory is not limited here: %v", err)
	}
	return group(dir)
}

// command runs in the group from its first instruction on, as the runtime reads its limits then.
func (g group) command(args ...string) *exec.Cmd {
	return exec.Command("sh", append([]string{"-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, string(g)}, args...)...)
}

// killed is how often the kernel killed in the group for want of memory.
func (g group) killed(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"memory.oom_control", "memory.events"} {
		said, _ := os.ReadFile(filepath.Join(string(g), name))
		for line := range strings.Lines(string(said)) {
			if f := strings.Fields(line); len(f) == 2 && f[0] == "oom_kill" {
				return f[1]
			}
		}
	}
	t.Fatal("the kernel does not count here whom it kills")
	return ""
}

// An agent sets its limits by the cgroup that it is in, and what is too much for it is refused, not died of:
// sixteen clients at once with a request of 5 MiB each. They come back when they are told to, as SDKs do.
func TestAnAgentLivesWithinItsCgroup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mib, hard int
		refuses   bool
	}{{64, 32, true}, {2048, 2048 * 75 / 100, false}} {
		t.Run(fmt.Sprintf("%d MiB", c.mib), func(t *testing.T) {
			t.Parallel()
			in := memoryGroup(t, c.mib)
			engine := enginetest.Shared(t)
			to := startCollector(t, engine.DSN())
			n := &node{grpc: port(t), http: port(t)}
			admin := port(t)
			n.proc = startIn(t, in, "agent", admin, "agent", "--config", config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}}
wal: {dir: %q, min_free_mib: 64}
batch: {timeout: 200ms}
forward: {otlp: {endpoints: [%q]}}
admin: {endpoint: %q}
`, n.grpc, n.http, filepath.Join(t.TempDir(), "wal"), to.grpc, admin)))
			n.healthy()
			m := n.metrics()
			hard := kit.Total(m, "spillway_limiter_bytes", `hop="agent"`, `kind="hard"`)
			if want := float64(c.hard) * (1 << 20); hard < want*0.99 || hard > want {
				t.Errorf("hard limit %.0f, want %.0f", hard, want)
			}
			if limit := m["go_gc_gomemlimit_bytes"]; limit < hard*0.79 || limit > hard*0.8 {
				t.Errorf("GOMEMLIMIT %.0f, want 80 %% of the hard limit", limit)
			}

			const callers, perCall = 16, 40_000
			var refused atomic.Int64
			var calling sync.WaitGroup
			for i := range callers {
				body, to := numbered(fmt.Sprintf("cgroup-%d", i), span{0, perCall}), client(t, n.grpc).Export
				if i%2 == 1 {
					to = postLogs(n.http)
				}
				calling.Go(func() { refused.Add(sendUntilTaken(t, to, body)) })
			}
			calling.Wait()
			if (refused.Load() > 0) != c.refuses {
				t.Errorf("%d refusals", refused.Load())
			}
			until(t, "everything in ClickHouse", func() bool {
				return engine.SQL("SELECT count(), uniqExact(LogAttributes['test'], LogAttributes['n']) FROM otel_logs") == fmt.Sprintf("%[1]d\t%[1]d", callers*perCall)
			})
			t.Logf("%d refusals, %d MiB resident", refused.Load(), n.rss())
			n.equation()
			if killed := in.killed(t); killed != "0" {
				t.Errorf("killed %s times", killed)
			}
			n.kill() // so that the group is empty
		})
	}
}

type exportLogs func(context.Context, *logspb.ExportLogsServiceRequest, ...grpc.CallOption) (*logspb.ExportLogsServiceResponse, error)

// postLogs exports to a port of OTLP/HTTP. The status of its answer is that of gRPC.
func postLogs(addr string) exportLogs {
	return func(ctx context.Context, body *logspb.ExportLogsServiceRequest, _ ...grpc.CallOption) (*logspb.ExportLogsServiceResponse, error) {
		wire, err := proto.Marshal(body)
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/logs", bytes.NewReader(wire))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-protobuf")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		said, err := io.ReadAll(resp.Body)
		switch {
		case err != nil:
			return nil, err
		case resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "":
			return nil, status.Error(codes.ResourceExhausted, resp.Status)
		case resp.StatusCode != http.StatusOK:
			return nil, fmt.Errorf("%s: %s", resp.Status, said)
		}
		return nil, nil
	}
}

// sendUntilTaken sends one request, again whenever it is refused, and returns how often that was.
func sendUntilTaken(t *testing.T, to exportLogs, body *logspb.ExportLogsServiceRequest) (refused int64) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		_, err := to(ctx, body)
		switch {
		case err == nil:
			return refused
		case status.Code(err) != codes.ResourceExhausted:
			t.Error(err)
			return refused
		}
		refused++
		<-time.After(100 * time.Millisecond)
	}
}
