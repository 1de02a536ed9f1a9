package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
	"github.com/spillway-io/spillway/wal"
)

// far is the next hop: a script, since the network cannot be reached from fake time.
type far struct {
	mu    sync.Mutex
	until time.Time // down before then
	got   map[string]int
	woken chan struct{}
	clock forward.Clock
}

func newFar() *far { return &far{got: make(map[string]int), woken: make(chan struct{})} }

func (f *far) Woken() <-chan struct{} { return f.woken }
func (f *far) Clock() *forward.Clock  { return &f.clock }

func (f *far) Put(_ context.Context, b forward.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.until) {
		return errors.New("down")
	}
	for r, err := range forward.Records(b.Body) {
		if err != nil {
			return err
		}
		f.got[string(r.Body)]++
	}
	return nil
}

// check holds that each of n records arrived, and how often at most.
func (f *far) check(t *testing.T, n, most int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range n {
		if c := f.got[fmt.Sprint("record ", i)]; c < 1 || c > most {
			t.Errorf("record %d arrived %d times", i, c)
		}
	}
	if len(f.got) != n {
		t.Errorf("%d records arrived, want %d", len(f.got), n)
	}
}

func openAgent(t *testing.T, dir string, mode forward.Mode) *Agent {
	t.Helper()
	l := forward.NewLimiter(1<<30, 1<<29, forward.Hard, time.Second, slog.New(slog.DiscardHandler))
	a, err := Open(Config{WAL: WALConfig{Dir: dir, Mode: mode, MaxSizeMiB: 100, MinFreeMiB: 1, WhenFull: wal.Refuse}, Batch: forward.DefaultBatchConfig(),
		Retry: forward.DefaultRetryConfig(), Parallel: 4, ShutdownTimeout: 20 * time.Second}, l, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// numbers puts records from, to and then waits for the end.
type numbers struct{ from, to int }

func (n numbers) Run(ctx context.Context, next forward.Sink) error {
	for i := n.from; i < n.to; i++ {
		if err := next.Put(ctx, forward.Batch{Signal: forward.Logs, Items: 1, Body: fmt.Append(nil, "record ", i)}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func runFor(t *testing.T, d time.Duration, a *Agent, out Target, sources ...Source) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := a.Run(ctx, sources, out); err != nil {
		t.Error(err)
	}
}

func TestWhatIsTakenArrivesOnceThroughAnOutage(t *testing.T) {
	for _, mode := range []forward.Mode{forward.ModeAlways, forward.ModeOverflow} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := newFar()
				out.until = time.Now().Add(10 * time.Minute)
				runFor(t, 11*time.Minute, openAgent(t, t.TempDir(), mode), out, numbers{0, 100}, numbers{100, 200})
				out.check(t, 200, 1)
			})
		})
	}
}

// A stop while nobody takes the data leaves it in the log, also in overflow mode; the next start delivers it.
func TestAStopLeavesTheRestForTheNextStart(t *testing.T) {
	for _, mode := range []forward.Mode{forward.ModeAlways, forward.ModeOverflow} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, out := t.TempDir(), newFar()
				out.until = time.Now().Add(time.Hour)
				start := time.Now()
				runFor(t, time.Second, openAgent(t, dir, mode), out, numbers{0, 50})
				if took := time.Since(start); took > 22*time.Second {
					t.Errorf("the stop took %s, shutdown_timeout is 20 s", took)
				}
				out.until = time.Now()
				runFor(t, time.Minute, openAgent(t, dir, mode), out, numbers{50, 60})
				out.check(t, 60, 1)
			})
		})
	}
}

// The view saves work and nothing else: gone, or garbage, it costs nothing but repetition.
func TestTheViewMayBeLostAtAnyTime(t *testing.T) {
	for name, spoil := range map[string]func(string) error{
		"kept":    func(string) error { return nil },
		"deleted": os.Remove,
		"garbage": func(f string) error { return os.WriteFile(f, bytes.Repeat([]byte{0xee}, 64<<10), 0o600) },
		"cut":     func(f string) error { return os.Truncate(f, 5000) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, out := t.TempDir(), newFar()
				runFor(t, time.Minute, openAgent(t, dir, forward.ModeAlways), out, numbers{0, 20})
				if err := spoil(filepath.Join(dir, "view.db")); err != nil {
					t.Fatal(err)
				}
				runFor(t, time.Minute, openAgent(t, dir, forward.ModeAlways), out, numbers{20, 30})
				most := 2
				if name == "kept" {
					most = 1
				}
				out.check(t, 30, most)
			})
		})
	}
}

// Lines of a file are in the log exactly once, through a restart in the middle.
func TestEveryLineIsTakenOnceOverARestart(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "app.log")
	out := newFar()
	write := func(from, to int) {
		t.Helper()
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for i := from; i < to; i++ {
			fmt.Fprintf(f, "line %d\n", i)
		}
	}
	run := func(want int) {
		t.Helper()
		a := openAgent(t, filepath.Join(dir, "wal"), forward.ModeAlways)
		c := tail.DefaultConfig()
		c.Include = []string{filepath.Join(dir, "*.log")}
		files, err := NewFiles([]FileGroup{{Tail: c, Attrs: []lines.Attr{{Key: "service.name", Value: "svc"}}}}, a.Cursors(), a.Missed, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx, []Source{files}, out) }()
		for {
			if received, _, _, _ := a.Totals(); int(received) >= want {
				break
			}
			select {
			case err := <-done:
				t.Fatal(err)
			case <-time.After(5 * time.Millisecond):
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	write(0, 500)
	run(500)
	write(500, 700)
	run(200)
	seen := make(map[string]int)
	for body, n := range out.got {
		var req logspb.ExportLogsServiceRequest
		if err := proto.Unmarshal([]byte(body), &req); err != nil {
			t.Fatal(err)
		}
		for _, rl := range req.ResourceLogs {
			for _, sl := range rl.ScopeLogs {
				for _, r := range sl.LogRecords {
					seen[r.Body.GetStringValue()] += n
				}
			}
		}
	}
	for i := range 700 {
		if n := seen[fmt.Sprint("line ", i)]; n != 1 {
			t.Errorf("line %d arrived %d times", i, n)
		}
	}
}

func TestASourceThatFailsEndsTheAgentAndItsErrorIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openAgent(t, t.TempDir(), forward.ModeAlways)
		err := a.Run(t.Context(), []Source{numbers{0, 3}, broken{}}, newFar())
		if err == nil || !strings.Contains(err.Error(), "port gone") {
			t.Errorf("got %v", err)
		}
	})
}

type broken struct{}

func (broken) Run(context.Context, forward.Sink) error { return errors.New("port gone") }
