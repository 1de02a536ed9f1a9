package tee

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// A queue is what is read and not written yet, at one of the two places. One goroutine puts, one takes.
type queue struct {
	name     string
	max      int
	maxBlock time.Duration
	voice    *voice

	mu      sync.Mutex
	items   []item
	bytes   int           // in items, and taken but not done
	taken   int           // by next
	ended   bool          // nothing will be put any more
	closed  bool          // nobody takes any more: what is put is gone
	err     error         // why taking does not go on; nil: it does
	room    chan struct{} // for put: there may be some
	more    chan struct{} // for next: there may be something
	full    bool          // the budget of this stall is used up
	lineEnd bool          // what was put last ended a line
	skip    bool          // the rest of a line is left out

	dropped gap // in all
}

// An item is bytes, or the place where some are missing.
type item struct {
	data []byte
	gap  gap
}

// A gap is what was left out.
type gap struct {
	lines, bytes int
	torn         bool // the line before has no end
	reason       string
}

func newQueue(name string, max int, maxBlock time.Duration, v *voice) *queue {
	return &queue{name: name, max: max, maxBlock: maxBlock, voice: v, lineEnd: true,
		room: make(chan struct{}, 1), more: make(chan struct{}, 1)}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put takes a copy of p, or leaves it out when there has been no room for too long.
func (q *queue) put(p []byte) {
	if !q.skipped(&p) {
		return
	}
	fits := q.tryPut(p)
	if !fits && !q.full {
		stall := time.NewTimer(q.maxBlock)
		defer stall.Stop()
		for waiting := true; waiting && !fits; {
			select {
			case <-q.room:
			case <-stall.C:
				waiting = false
			}
			fits = q.tryPut(p)
		}
	}
	if q.full = !fits; q.full {
		q.drop(p)
	}
}

// skipped leaves out the rest of a line whose beginning was. It says whether there is more.
func (q *queue) skipped(p *[]byte) bool {
	if !q.skip {
		return true
	}
	i := bytes.IndexByte(*p, '\n')
	rest := *p
	if i >= 0 {
		rest, *p = rest[:i+1], (*p)[i+1:]
		q.skip = false
	}
	q.miss(0, len(rest), false)
	return i >= 0 && len(*p) > 0
}

func (q *queue) tryPut(p []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return true
	}
	if q.bytes+len(p) > q.max {
		return false
	}
	q.bytes += len(p)
	q.lineEnd = p[len(p)-1] == '\n'
	if n := len(q.items); n > 0 && q.items[n-1].data != nil && len(q.items[n-1].data)+len(p) <= chunk {
		q.items[n-1].data = append(q.items[n-1].data, p...)
	} else {
		q.items = append(q.items, item{data: append(make([]byte, 0, max(len(p), chunk/4)), p...)})
	}
	wake(q.more)
	return true
}

// drop leaves p out, the beginning of its first line if that still waits, and the rest of its last line.
func (q *queue) drop(p []byte) {
	lines := bytes.Count(p, []byte("\n"))
	if p[len(p)-1] != '\n' {
		lines++
		q.skip = true
	}
	begun := q.takeBack()
	q.miss(lines, begun+len(p), !q.lineEnd && begun == 0)
	q.lineEnd = true
}

// takeBack removes a line without an end from what waits, and returns its length.
func (q *queue) takeBack() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.items)
	if q.lineEnd || n == 0 {
		return 0
	}
	last := &q.items[n-1]
	end := bytes.LastIndexByte(last.data, '\n') + 1
	if end == 0 {
		return 0 // where it began is not known
	}
	begun := len(last.data) - end
	last.data = last.data[:end]
	q.bytes -= begun
	return begun
}

func (q *queue) miss(lines, bytes int, torn bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	reason := "it is too slow"
	if q.err != nil {
		reason = q.err.Error()
	}
	if n := len(q.items); n == 0 || q.items[n-1].data != nil {
		q.items = append(q.items, item{gap: gap{torn: torn}})
	}
	g := &q.items[len(q.items)-1].gap
	g.lines, g.bytes, g.reason = g.lines+lines, g.bytes+bytes, reason
	q.dropped.lines, q.dropped.bytes = q.dropped.lines+lines, q.dropped.bytes+bytes
	q.voice.seldom(q.name, func() string {
		return fmt.Sprintf("%s: %d lines (%d bytes) dropped so far: %s", q.name, q.dropped.lines, q.dropped.bytes, reason)
	})
	wake(q.more)
}

// next waits for an item; false: there will be none.
func (q *queue) next() (item, bool) {
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			it := q.items[0]
			q.items = q.items[1:]
			q.taken = len(it.data)
			q.mu.Unlock()
			return it, true
		}
		ended := q.ended
		q.mu.Unlock()
		if ended {
			return item{}, false
		}
		<-q.more
	}
}

// done says that n bytes of what was taken are written.
func (q *queue) done(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= n
	q.taken -= n
	wake(q.room)
}

// trouble says why taking does not go on; nil: it does.
func (q *queue) trouble(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = err
}

// end says that nothing will be put any more.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	wake(q.more)
}

// close says that nobody takes any more.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.items, q.bytes = true, nil, 0
	wake(q.room)
}

// sum says what was dropped in all.
func (q *queue) sum() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dropped.bytes > 0 {
		q.voice.say("%s: %d lines (%d bytes) were dropped in all", q.name, q.dropped.lines, q.dropped.bytes)
	}
}

// left is how many bytes are not written.
func (q *queue) left() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
