package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
)

// Files is the Source of log files: chunks of lines become OTLP log records. A file's cursor
// rides in the log record of its chunk, so a line is in the log exactly when its cursor says so.
type Files struct {
	tailer *tail.Tailer
	groups []FileGroup
	log    *slog.Logger

	encodings []sync.Pool // of *encoding, by group: megabytes that nobody has while no lines come

	invalid atomic.Uint64 // lines with bytes that are not UTF-8, in the log
	missed  missedFiles
}

// A FileGroup is files that are found, read and described alike.
type FileGroup struct {
	Tail  tail.Config
	Lines lines.Options
	Rules []lines.ResourceRule
	Attrs []lines.Attr // of the resource, behind what the path and the rules tell
}

// fileWorkers chunks are on their way into the log at a time, so that they share fsyncs.
const fileWorkers = 4

// NewFiles tails what groups name, from the positions that the agent's log holds. The first group
// that matches a path decides. What nobody will read is told to missed.
func NewFiles(groups []FileGroup, positions *tail.Positions, missed func(tail.Missed), log *slog.Logger) (*Files, error) {
	configs := make([]tail.Config, len(groups))
	for i, g := range groups {
		configs[i] = g.Tail
	}
	f := &Files{groups: groups, log: log, encodings: make([]sync.Pool, len(groups))}
	t, err := tail.New(configs, positions, func(m tail.Missed) {
		f.missed.add(m)
		missed(m)
	}, log)
	f.tailer = t
	return f, err
}

// Stats is the tailer's account, in bytes and lines.
func (f *Files) Stats() tail.Stats { return f.tailer.Stats() }

// List are the most files, the one with most unread first, and how many are known.
func (f *Files) List(most int) (list []tail.FileStatus, known int) { return f.tailer.Files(most) }

// Invalid is how many lines had bytes that are not UTF-8, in place of which the log has U+FFFD.
func (f *Files) Invalid() uint64 { return f.invalid.Load() }

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
	for {
		chunk, err := f.tailer.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		f.tailer.Done(chunk, f.put(ctx, next, chunk))
	}
}

// put says whether the chunk is in the log.
func (f *Files) put(ctx context.Context, next forward.Sink, c *tail.Chunk) (stored bool) {
	batch := forward.Batch{Signal: forward.Logs, Cursor: c.Cursor}
	if len(c.Lines) == 0 {
		return offer(ctx, next, batch, "tail", f.log) == nil
	}
	e := f.encoding(c.Config)
	defer f.encodings[c.Config].Put(e)
	batch.Body, batch.Items = e.encode(c)
	if stored = offer(ctx, next, batch, "tail", f.log) == nil; stored {
		f.invalid.Add(uint64(e.encoder.Invalid()))
	}
	return stored
}

func (f *Files) encoding(group int) *encoding {
	if e, ok := f.encodings[group].Get().(*encoding); ok {
		return e
	}
	g := f.groups[group]
	return &encoding{encoder: lines.NewEncoder(g.Lines), rules: g.Rules, attrs: g.Attrs}
}

// An encoding is what one worker needs to encode the lines of one group.
type encoding struct {
	encoder   *lines.Encoder
	rules     []lines.ResourceRule
	attrs     []lines.Attr
	resources map[string]*lines.Resource // by path
}

// maxResources bounds what a worker remembers of paths; it is cheap to make again.
const maxResources = 1024

func (g *encoding) resource(path string) *lines.Resource {
	r := g.resources[path]
	if r == nil {
		if g.resources == nil || len(g.resources) >= maxResources {
			g.resources = make(map[string]*lines.Resource)
		}
		r = lines.NewResource(path, append(lines.Attrs(g.rules, path), g.attrs...))
		g.resources[path] = r
	}
	return r
}

// encode returns a body that is valid until the next one.
func (g *encoding) encode(c *tail.Chunk) (body []byte, items int) {
	g.encoder.Begin(g.resource(c.Path))
	now := time.Now()
	for _, l := range c.Lines {
		g.encoder.Add(l.Text, l.Time, now, l.Stream, l.Truncated, l.Partial)
	}
	return g.encoder.Finish()
}
