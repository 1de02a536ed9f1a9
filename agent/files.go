package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
)

// Files is the Source of log files: chunks of lines become OTLP log records. A file's cursor
// rides in the log record of its chunk, so a line is in the log exactly when its cursor says so.
type Files struct {
	tailer  *tail.Tailer
	options lines.Options
	attrs   []lines.Attr
	log     *slog.Logger
}

// fileWorkers chunks are on their way into the log at a time, so that they share fsyncs.
const fileWorkers = 4

// NewFiles tails what configs name, from the positions that the agent's log holds.
func NewFiles(configs []tail.Config, positions *tail.Positions, options lines.Options, attrs []lines.Attr, log *slog.Logger) (*Files, error) {
	t, err := tail.New(configs, positions, log)
	if err != nil {
		return nil, err
	}
	return &Files{tailer: t, options: options, attrs: attrs, log: log}, nil
}

// Stats is the tailer's account, in bytes and lines.
func (f *Files) Stats() tail.Stats { return f.tailer.Stats() }

// Run reads until ctx is done. When the log is full or memory is short it waits: the data is
// safe in the files meanwhile.
func (f *Files) Run(ctx context.Context, next forward.Sink) error {
	var (
		workers sync.WaitGroup
		errs    [fileWorkers]error
	)
	for i := range fileWorkers {
		workers.Go(func() { errs[i] = f.work(ctx, next) })
	}
	workers.Wait()
	return errors.Join(append(errs[:], f.tailer.Close())...)
}

func (f *Files) work(ctx context.Context, next forward.Sink) error {
	encoder := lines.NewEncoder(f.options)
	resources := make(map[string]*lines.Resource)
	for {
		chunk, err := f.tailer.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		r := resources[chunk.Path]
		if r == nil {
			if len(resources) >= maxResources {
				clear(resources)
			}
			r = lines.NewResource(chunk.Path, f.attrs)
			resources[chunk.Path] = r
		}
		f.tailer.Done(chunk, f.put(ctx, next, encode(encoder, r, chunk)) == nil)
	}
}

// maxResources bounds what a worker remembers of paths; it is cheap to make again.
const maxResources = 4096

func encode(e *lines.Encoder, r *lines.Resource, c *tail.Chunk) forward.Batch {
	e.Begin(r)
	now := time.Now()
	for _, l := range c.Lines {
		e.Add(l.Text, l.Time, now, l.Stream, l.Truncated, l.Partial)
	}
	body, items := e.Finish()
	return forward.Batch{Signal: forward.Logs, Items: items, Body: body, Cursor: c.Cursor}
}

// put offers b until the log has it. A source that can wait has no reason to give up.
func (f *Files) put(ctx context.Context, next forward.Sink, b forward.Batch) error {
	back := forward.NewBackoff(forward.RetryConfig{InitialInterval: 100 * time.Millisecond, MaxInterval: 5 * time.Second})
	var waiting time.Time
	for {
		err := next.Put(ctx, b)
		if err == nil {
			if !waiting.IsZero() {
				f.log.Info("tailing goes on", "after", time.Since(waiting).Round(time.Millisecond))
			}
			return nil
		}
		if waiting.IsZero() {
			waiting = time.Now()
			f.log.Warn("tailing pauses, the lines stay in their files", "err", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(back.After(err)):
		}
	}
}
