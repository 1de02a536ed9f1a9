package tail

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed says that Close was called.
var ErrClosed = errors.New("tail: closed")

// maxOpen bounds the open files, well under the usual limit of a service.
const maxOpen = 1024

// A Tailer reads the files that its configurations name.
type Tailer struct {
	configs []config
	pos     *Positions
	onMiss  func(Missed)
	clock   func() time.Time
	began   time.Time
	log     *slog.Logger
	budget  atomic.Int64 // bytes of unfinished lines that may still be kept
	maxOpen int

	lookEvery, scanEvery time.Duration

	wake    chan struct{} // somebody in Next may have something to do
	soon    chan struct{} // a scan is asked for
	closing chan struct{}
	running sync.WaitGroup
	watch   *watcher // nil: no notifications

	mu       sync.Mutex
	closed   bool
	files    map[inode]*file
	paths    map[string]*file // by name and by real name
	origins  map[string]*file // by root, the first of a list
	queue    queue
	buckets  map[string]*bucket // by source
	open     *list.List         // of *file: have a handle, the one that was read last first
	orphans  []*content         // contents whose heir is not found yet
	away     []*content         // contents with a position whose file was not there at the start
	copies   map[inode]twin     // files that hold what another one holds, too
	strays   map[*file]bool     // files of the last scan without a name, whose content may be in another one
	unclear  map[inode]glimpse  // files that cannot be told from others yet, as they were
	searches map[string]*search // by root, for files that nobody saw
	parted   []parting          // contents that nobody has, until Positions has caught up
	forget   []uint64           // keys that a cursor may say to forget now
	spare    []*Chunk
	stats    Stats
	newest   int64              // birth of the newest file with a position when the tailer began
	known    map[string]int64   // roots that had a position when the tailer began, with the birth of the oldest one
	missed   []Missed           // to be told
	failing  map[*file]bool     // those whose last turn ended in an error
	scanned  bool               // the first scan is over
	full     bool               // maxFiles was reached, and logged
	quiet    map[complaint]bool // logged, and not over
	cleared  time.Time          // when positions without a file were last looked for
}

// A config is a Config, taken apart.
type config struct {
	Config
	index   int
	include []glob
	join    *joining
}

// New starts to look for the files of cfg, of which the first that matches a path decides.
// What pos says is safe is not read again. What nobody will read is told to missed, one call at a
// time; nil is nobody. A nil log is silent.
func New(cfg []Config, pos *Positions, missed func(Missed), log *slog.Logger) (*Tailer, error) {
	t, err := newTailer(cfg, pos, missed, log)
	if err != nil {
		return nil, err
	}
	t.start()
	return t, nil
}

// newTailer does not look by itself yet.
func newTailer(cfgs []Config, pos *Positions, missed func(Missed), log *slog.Logger) (*Tailer, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Tailer{
		pos: pos, onMiss: missed, clock: time.Now, began: time.Now(), log: log, maxOpen: maxOpen,
		lookEvery: lookEvery, scanEvery: scanEvery,
		wake: make(chan struct{}, 1), soon: make(chan struct{}, 1), closing: make(chan struct{}),
		files: make(map[inode]*file), paths: make(map[string]*file), origins: make(map[string]*file), open: list.New(),
		buckets: make(map[string]*bucket), copies: make(map[inode]twin), unclear: make(map[inode]glimpse), strays: make(map[*file]bool),
		failing: make(map[*file]bool), known: make(map[string]int64), quiet: make(map[complaint]bool), searches: make(map[string]*search),
	}
	t.budget.Store(unfinishedBytes)
	for i, c := range cfgs {
		if err := c.Validate(); err != nil {
			return nil, fmt.Errorf("tail %d: %w", i, err)
		}
		parsed := config{Config: c, index: i, join: c.Multiline.joining()}
		for _, p := range c.Include {
			parsed.include = append(parsed.include, parseGlob(p))
		}
		t.configs = append(t.configs, parsed)
	}
	return t, nil
}

// Next waits for lines and returns them. Between two chunks of a file the other files that
// have something to read get their turn. The error is the cause of ctx, or ErrClosed.
//
// Next may be called by many at once. A file whose chunk is out is not read before its Done.
func (t *Tailer) Next(ctx context.Context) (*Chunk, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-t.closing:
			return nil, ErrClosed
		default:
		}
		c, waiting := t.poll()
		if c != nil {
			return c, nil
		}
		if waiting {
			continue
		}
		select {
		case <-ctx.Done():
		case <-t.closing:
		case <-t.wake:
		}
	}
}

// poll gives the file that waits longest its turn. It returns nil when that brought no line,
// and whether anything else waits.
func (t *Tailer) poll() (c *Chunk, waiting bool) {
	t.mu.Lock()
	if c := t.forgetChunk(); c != nil {
		defer t.mu.Unlock()
		t.signal()
		return c, true
	}
	f := t.queue.pop()
	if f == nil {
		t.mu.Unlock()
		return nil, false
	}
	if t.hold(f) {
		defer t.mu.Unlock()
		t.signal()
		return nil, t.queue.len() > 0
	}
	f.queued, f.busy, f.again = false, true, false
	c = t.chunk()
	t.signal()
	t.mu.Unlock()

	more, err := t.turn(f, c)

	t.mu.Lock()
	defer t.mu.Unlock()
	t.report(f, err)
	f.again = f.again || more
	if len(c.Lines) == 0 && len(c.done) == 0 {
		t.recycle(c)
		t.release(f)
		return nil, t.queue.len() > 0
	}
	c.seal(f)
	return c, true
}

// Done gives c back. With taken the chunk is safe, or will be offered again by nobody; else
// its lines are offered again. c and its bytes are not valid any more.
func (t *Tailer) Done(c *Chunk, taken bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !c.out {
		return
	}
	f := c.file
	switch {
	case f == nil && !taken:
		t.forget = append(t.forget, c.forget...)
		t.signal()
	case f == nil:
	case taken:
		f.taken = f.taken.addAll(c.done)
		f.skipped = false
		if c.seam.end > f.safe.end {
			f.safe = c.seam
		}
		f.bucket.spend(int64(c.Bytes))
		t.stats.add(c.tally)
	default:
		// It may be safe all the same, for instance when only the answer was lost.
		if done, ok := t.pos.done(f.key); ok {
			f.taken = f.taken.addAll(done)
		}
		f.rewind()
		f.again = true
	}
	t.recycle(c)
	if f != nil {
		t.release(f)
	}
}

// release puts f back, at the end of the queue if there is something to do. Needs mu.
func (t *Tailer) release(f *file) {
	f.busy = false
	if t.closed {
		t.detach(f)
		return
	}
	if f.again {
		t.push(f)
	}
}

// push queues f for a turn. Needs mu.
func (t *Tailer) push(f *file) {
	switch {
	case t.closed, t.files[f.id.inode] != f, f.gone && f.handle == nil, f.held, f.broken:
	case f.busy:
		f.again = true
	case !f.queued:
		f.queued = true
		t.queue.push(f)
		t.signal()
	}
}

// signal wakes one of those in Next if there is something to do. Needs mu.
func (t *Tailer) signal() {
	if t.queue.len() == 0 && len(t.forget) == 0 {
		return
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// chunk is an empty one. Needs mu.
func (t *Tailer) chunk() *Chunk {
	if n := len(t.spare); n > 0 {
		c := t.spare[n-1]
		t.spare = t.spare[:n-1]
		return c
	}
	return &Chunk{Config: -1}
}

// recycle takes c for use again. Needs mu.
func (t *Tailer) recycle(c *Chunk) {
	c.reset()
	if len(t.spare) < spareChunks {
		t.spare = append(t.spare, c)
	}
}

// report logs the first of the errors that f has in a row. The next look tries again. Needs mu.
func (t *Tailer) report(f *file, err error) {
	if err == nil {
		delete(t.failing, f)
		return
	}
	if errors.Is(err, fs.ErrNotExist) {
		t.log.Debug("log file has another name", "path", f.name, "err", err)
	} else if t.stats.ReadErrors++; !t.failing[f] {
		t.log.Warn("log file cannot be read, trying again at each look", "path", f.name, "err", err)
	}
	t.failing[f] = true
	if !f.gone {
		t.detach(f)
		t.scanSoon()
	}
}

// Close stops looking and closes the files. Chunks that are out stay valid until their Done.
func (t *Tailer) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	close(t.closing)
	t.mu.Unlock()
	t.running.Wait()
	err := t.watch.close()

	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.files {
		if !f.busy {
			t.detach(f)
		}
	}
	return err
}
