package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
	"weak"

	"github.com/prometheus/client_golang/prometheus"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
)

// sinkOf is a Sink that keeps the last body and ends the run.
type sinkOf struct {
	body []byte
	end  context.CancelFunc
}

func (s *sinkOf) Put(_ context.Context, b forward.Batch) error {
	s.body = append(s.body[:0], b.Body...)
	s.end()
	return nil
}

func TestFilesAreDescribedByRulesAndBadBytesCounted(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cart.log"), []byte("caf\xe9\nfine\n{\"msg\": \"\xff\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := openAgent(t, filepath.Join(dir, "wal"), forward.ModeAlways)
	defer a.Close()
	c := tail.DefaultConfig()
	c.Include = []string{filepath.Join(dir, "*.log")}
	rules := []lines.ResourceRule{{Path: regexp.MustCompile(`/(\w+)\.log$`), Attributes: map[string]string{"service.name": "${1}-service"}}}
	files, err := NewFiles([]FileGroup{{Tail: c, Rules: rules, Attrs: []lines.Attr{{Key: "service.name", Value: "svc"}}}}, a.Cursors(), a.Missed, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sink := &sinkOf{end: cancel}
	if err := files.Run(ctx, sink); err != nil {
		t.Fatal(err)
	}
	var request logspb.ExportLogsServiceRequest
	if err := proto.Unmarshal(sink.body, &request); err != nil {
		t.Fatal(err)
	}
	service := ""
	for _, kv := range request.ResourceLogs[0].Resource.Attributes {
		if kv.Key == "service.name" {
			service = kv.Value.GetStringValue()
		}
	}
	if service != "cart-service" {
		t.Errorf("the service is %q", service)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(NewFilesCollector(func() *Files { return files }))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == "spillway_tail_lines_total" && m.Label[0].GetValue() == "invalid_utf8" {
				if got := m.Counter.GetValue(); got != 2 {
					t.Errorf("%v lines were counted, want 2", got)
				}
				return
			}
		}
	}
	t.Error("the lines were not counted")
}

// A bodySink notes where the last body was.
type bodySink struct{ body chan weak.Pointer[byte] }

func (s bodySink) Put(_ context.Context, b forward.Batch) error {
	if len(b.Body) > 0 {
		s.body <- weak.Make(&b.Body[0])
	}
	return nil
}

func TestQuietFilesKeepNoEncoder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.log"), []byte("a line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := tail.DefaultConfig()
	c.Include = []string{filepath.Join(dir, "*.log")}
	files, err := NewFiles([]FileGroup{{Tail: c}}, tail.NewPositions(), func(tail.Missed) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sink, done := bodySink{make(chan weak.Pointer[byte], 1)}, make(chan error)
	go func() { done <- files.Run(ctx, sink) }()
	body := <-sink.body
	for n := 0; body.Value() != nil; n++ { // Put is about to return, and what pools hold goes with the second collection after it
		if runtime.GC(); n > 1000 {
			t.Fatal("the body of the last chunk is still in memory")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
