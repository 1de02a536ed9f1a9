package tail

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
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
	log     *slog.Logger
	budget  atomic.Int64 // bytes of unfinished lines that may still be kept
	maxOpen int

	lookEvery, scanEvery time.Duration

	wake    chan struct{} // somebody in Next may have something to do
	soon    chan struct{} // a scan is asked for
	closing chan struct{}
	running sync.WaitGroup
	watch   *watcher // nil: no notifications

	mu      sync.Mutex
	closed  bool
	files   map[inode]*file
	paths   map[string]*file // by name and by real name
	queue   []*file          // have something to read, the longest waiting first
	open    *list.List       // of *file: have a handle, the one that was read last first
	parted  []parting        // files that are gone, until Positions has caught up
	forget  []uint64         // keys that a cursor may say to forget now
	spare   []*Chunk
	stats   Stats
	known   map[string]bool    // paths with a position when the tailer began
	scanned bool               // the first scan is over
	full    bool               // maxFiles was reached, and logged
	quiet   map[complaint]bool // logged, and not over
	orphans time.Time          // when positions without a file were last looked for
}

// A config is a Config, taken apart.
type config struct {
	Config
	include []glob
}

// New starts to look for the files of cfg, of which the first that matches a path decides.
// What pos says is safe is not read again. A nil log is silent.
func New(cfg []Config, pos *Positions, log *slog.Logger) (*Tailer, error) {
	t, err := newTailer(cfg, pos, log)
	if err != nil {
		return nil, err
	}
	t.start()
	return t, nil
}

// newTailer does not look by itself yet.
func newTailer(cfgs []Config, pos *Positions, log *slog.Logger) (*Tailer, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &Tailer{
		pos: pos, log: log, maxOpen: maxOpen,
		lookEvery: lookEvery, scanEvery: scanEvery,
		wake: make(chan struct{}, 1), soon: make(chan struct{}, 1), closing: make(chan struct{}),
		files: make(map[inode]*file), paths: make(map[string]*file), open: list.New(),
		known: make(map[string]bool), quiet: make(map[complaint]bool),
	}
	t.budget.Store(unfinishedBytes)
	for i, c := range cfgs {
		if err := c.Validate(); err != nil {
			return nil, fmt.Errorf("tail %d: %w", i, err)
		}
		parsed := config{Config: c}
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
	if len(t.queue) == 0 {
		t.mu.Unlock()
		return nil, false
	}
	f := t.queue[0]
	t.queue[0] = nil
	t.queue = t.queue[1:]
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
		return nil, len(t.queue) > 0
	}
	c.seal(f)
	return c, true
}

// turn reads one window of f, which this goroutine has for itself.
func (t *Tailer) turn(f *file, c *Chunk) (more bool, err error) {
	t.mu.Lock()
	err = t.reopen(f)
	h, last, skipped, replaced := f.handle, f.last, f.skipped, f.replaced
	t.mu.Unlock()
	if err != nil {
		return false, err
	}
	st, err := look(h)
	if err != nil {
		return false, err
	}
	head, err := readHead(h, c.head[:])
	if err != nil {
		return false, err
	}
	extended, same := f.id.head.extend(head)
	if !same || replaced || st.size < max(f.split.pos, f.taken.end()) {
		t.startOver(f, st.size)
		extended, _ = fingerprint{}.extend(head)
		last, skipped = false, false
	}
	f.id.head = extended

	t.mu.Lock()
	f.moved = f.moved || st.size != f.size
	f.size, f.links = st.size, st.links
	t.mu.Unlock()
	if skipped {
		c.done = c.done.addAll(f.taken)
		return true, nil
	}
	if !f.decide(head, last) {
		return false, nil
	}
	began := f.split.pos
	if more, err = f.read(h, st.size, c); err != nil || more {
		return more, err
	}
	if last && f.split.pos == began {
		f.finish(c)
	}
	return false, nil
}

// reopen makes sure that f has a handle: that of the same inode. What is in it the turn finds
// out. Needs mu.
func (t *Tailer) reopen(f *file) error {
	if f.handle != nil {
		t.open.MoveToFront(f.open)
		return nil
	}
	h, st, err := openFile(f.name)
	if err != nil {
		return err
	}
	if st.inode != f.id.inode {
		h.Close()
		return fmt.Errorf("%s is another file now", f.name)
	}
	if b := birth(h); b != f.id.birth {
		f.id.birth, f.replaced = b, true // the inode was used again, for a file of the same name
	}
	t.attach(f, h)
	return nil
}

// attach gives f its handle. If there are too many, the files that were read least lately lose
// theirs; those that could not be opened again only if the others are not enough. Needs mu.
func (t *Tailer) attach(f *file, h *os.File) {
	f.handle = h
	f.open = t.open.PushFront(f)
	for _, all := range []bool{false, true} {
		for e := t.open.Back(); e != nil && t.open.Len() > t.maxOpen; {
			old := e.Value.(*file)
			e = e.Prev()
			if !old.busy && old != f && (all || !old.gone) {
				t.detach(old)
			}
		}
	}
}

// detach closes the handle of f. Needs mu.
func (t *Tailer) detach(f *file) {
	if f.handle == nil {
		return
	}
	t.open.Remove(f.open)
	// Nothing was written to it, so that closing has nothing to say.
	f.handle.Close()
	f.handle, f.open = nil, nil
}

// startOver makes f the file of its new content, which has this size.
func (t *Tailer) startOver(f *file, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	missed := f.unread()
	t.stats.Restarts++
	t.stats.BytesMissed += uint64(missed)
	t.log.Warn("log file was truncated or overwritten, reading it from the start",
		"path", f.path, "size", size, "read", f.taken.size(), "missed_bytes", missed)
	t.part(f)
	f.startOver(rand.Uint64(), identity{inode: f.id.inode, birth: f.id.birth})
	f.skipped, f.last, f.replaced = false, false, false
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
	case t.closed, t.files[f.id.inode] != f, f.gone && f.handle == nil:
	case f.busy:
		f.again = true
	case !f.queued:
		f.queued = true
		t.queue = append(t.queue, f)
		t.signal()
	}
}

// signal wakes one of those in Next if there is something to do. Needs mu.
func (t *Tailer) signal() {
	if len(t.queue) == 0 && len(t.forget) == 0 {
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
	return &Chunk{}
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
		f.failing = false
		return
	}
	t.stats.ReadErrors++
	if !f.failing {
		t.log.Warn("log file cannot be read, trying again at each look", "path", f.name, "err", err)
	}
	f.failing = true
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
