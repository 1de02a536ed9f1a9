package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// readAhead is how much is read from a file at a time, in bytes.
const readAhead = 256 << 10

// A reader walks the generations in order with pread, never beyond a committed end.
type reader struct {
	gen  *generation
	file File
	place
	buf  []byte            // read and not yet parsed
	room *[]byte           // backs buf; nil: none is needed now
	skip map[uint64]*Entry // by seq: handed out from memory before they were written
}

// A place is how far a file was read.
type place struct {
	at   int64  // file offset of the next byte to parse
	last uint64 // items of the file up to and including the last good record
	next uint64 // the number after that of the last good record; 0: there was none
	bad  *damage
}

// A damage is a run of bytes that could not be read as frames.
type damage struct {
	from  int64
	bytes []byte // the first of them, for quarantine/
	err   error
	newer bool // a newer version's frames are among them
}

// readRooms are shared by the lanes: one that has caught up needs none.
var readRooms = sync.Pool{New: func() any { return new([]byte) }}

// rest gives the room back when nothing in it is still to be parsed. What was handed out of it is no longer valid.
func (r *reader) rest() {
	if r.room != nil && len(r.buf) == 0 {
		readRooms.Put(r.room)
		r.room, r.buf = nil, nil
	}
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// Next waits for the next record, in the order of the log: first what is on disk, then what
// is only in memory. It returns io.EOF after CloseWrite once everything was handed out, and
// the cause of ctx. One goroutine at a time may call it.
func (l *Log) Next(ctx context.Context) (*Entry, error) {
	for {
		e, err := l.TryNext()
		if e != nil || err != nil {
			return e, err
		}
		select {
		case <-l.readable:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// TryNext is Next without the wait: nil, nil says that there is nothing now.
func (l *Log) TryNext() (*Entry, error) {
	l.moveAside()
	for {
		ended := l.committerDone() // asked first: nothing is published after it
		gen, end, more := l.position()
		if gen != nil {
			e, err := l.read(gen, end)
			switch {
			case err != nil && l.abandon(gen, end, err):
				continue
			case err != nil && ended:
				return nil, fmt.Errorf("wal: lane %s: generation %d is left for the next start: %w", l.name, gen.num, err)
			case err != nil:
				return nil, nil // tried again in a moment
			case e != nil && !l.handOut(e):
				continue
			case e != nil && !named(e.Items, e.Data):
				l.Ack(e) // it only carried meta
				continue
			case e != nil:
				return e, nil
			case more:
				l.passed(gen)
				continue
			}
		}
		e := l.nextDeferred()
		if e != nil && !named(e.Items, e.Data) {
			l.Ack(e)
			continue
		}
		if e != nil {
			return e, nil
		}
		l.rd.rest()
		if !ended {
			return nil, nil
		}
		return nil, io.EOF
	}
}

func (l *Log) read(gen *generation, end int64) (*Entry, error) {
	if l.rd.gen != gen {
		if err := l.openGeneration(gen); err != nil {
			return nil, err
		}
	}
	return l.parse(gen, end)
}

func (l *Log) committerDone() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// position is the generation to read, up to where, and whether another follows it.
func (l *Log) position() (gen *generation, end int64, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, g := range l.gens {
		if !g.drained && (!l.holdBack || g.stream == l.stream) {
			return g, g.end, g.sealed && i < len(l.gens)-1
		}
	}
	return nil, 0, false
}

func (l *Log) openGeneration(gen *generation) error {
	l.rd.close()
	if was := l.rd.gen; was != nil {
		left := l.rd.place
		was.left = &left // for others first; it goes on from there
		l.rd.gen = nil
	}
	f, err := openTwice(l.store.fs, "read", gen.file(), os.O_RDONLY)
	if err != nil {
		return err
	}
	from := place{}
	switch {
	case gen.left != nil:
		from = *gen.left
	case gen.stream != l.stream:
		l.mu.Lock()
		from = place{at: gen.ackedTo, last: gen.ackedIt} // of an earlier process: what it had acknowledged is not handed out again
		l.mu.Unlock()
	}
	l.rd.gen, l.rd.file, l.rd.buf, l.rd.place = gen, f, nil, from
	return nil
}

// HoldBack has Next hand out only what this process appended, or no longer so: what an earlier
// process left may have to wait, and what is new need not wait for it.
func (l *Log) HoldBack(on bool) {
	l.mu.Lock()
	l.holdBack = on
	l.mu.Unlock()
	signal(l.readable)
}

// parse returns the next record of gen, or nil at its end. What cannot be parsed is stepped over.
func (l *Log) parse(gen *generation, end int64) (*Entry, error) {
	r := &l.rd
	for {
		f, n, err := parseEntry(r.buf)
		if err == nil && f.tag != gen.tag {
			err = errTag
		}
		switch {
		case err == nil:
			from := r.at
			r.step(n)
			if f.typ != frameRecord {
				continue
			}
			l.mend(gen, f.inFile-uint64(f.items), from, f.seq)
			r.last, r.next = f.inFile, f.seq
			if named(int(f.items), f.data) {
				r.next++
			}
			return &Entry{Stream: gen.stream, Seq: f.seq, Items: int(f.items), CumItems: f.cumItems, Accepted: f.accepted,
				Meta: f.meta, Data: f.data, gen: gen, end: r.at, inFile: f.inFile, size: int64(n)}, nil
		case errors.Is(err, errShort) && r.at+int64(len(r.buf)) < end:
			if err := r.fill(end); errors.Is(err, io.EOF) {
				r.stepOver(len(r.buf), fmt.Errorf("the file ends at %d, before its stated end: %w", r.at+int64(len(r.buf)), err))
				r.at = end
			} else if err != nil {
				return nil, err
			}
		case len(r.buf) == 0:
			return nil, nil
		case n > 0:
			r.stepOver(n, err)
		default:
			r.stepOver(min(resync(r.buf), len(r.buf)), err)
		}
	}
}

func (r *reader) step(n int) {
	r.buf = r.buf[n:]
	r.at += int64(n)
}

// fill reads on, at least as far as the entry at the front of buf needs.
func (r *reader) fill(end int64) error {
	want := max(readAhead, len(r.buf)+1)
	if size, k := binary.Uvarint(r.buf); k > 0 && size <= maxFrame {
		want = max(want, k+int(size))
	}
	want = int(min(int64(want), end-r.at))
	if r.room == nil {
		r.room = readRooms.Get().(*[]byte)
	}
	if cap(*r.room) < want {
		*r.room = make([]byte, want)
	}
	room := (*r.room)[:cap(*r.room)]
	have := copy(room, r.buf)
	n, err := r.file.ReadAt(room[have:want], r.at+int64(have))
	if n == 0 && err != nil && err != io.EOF {
		n, err = r.file.ReadAt(room[have:want], r.at+int64(have)) // not every error is there to stay
	}
	if n == 0 && err != nil {
		return fmt.Errorf("read at %d: %w", r.at+int64(have), err)
	}
	r.buf = room[:have+n]
	return nil
}

// stepOver moves past n bytes that are not a frame.
func (r *reader) stepOver(n int, err error) {
	if r.bad == nil {
		r.bad = &damage{from: r.at, err: err}
	}
	r.bad.newer = r.bad.newer || errors.Is(err, errNewer)
	if room := quarantineSample - len(r.bad.bytes); room > 0 {
		r.bad.bytes = append(r.bad.bytes, r.buf[:min(n, room)]...)
	}
	r.step(n)
}

// handOut books e as in flight, or says that it was handed out before it was written.
func (l *Log) handOut(e *Entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.gen.gone {
		return false
	}
	if was := l.rd.skip[e.Seq]; e.Stream == l.stream && was != nil && named(e.Items, e.Data) {
		delete(l.rd.skip, e.Seq)
		e.gen.read = append(e.gen.read, was)
		e.gen.advance()
		return false
	}
	e.gen.inFlight++
	e.gen.handed += uint64(e.Items)
	e.gen.read = append(e.gen.read, e)
	l.flying = append(l.flying, e)
	return true
}

func (l *Log) nextDeferred() *Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handedOut == len(l.deferred) {
		l.waiting = 0 // caught up
		return nil
	}
	e := l.deferred[l.handedOut]
	if e.gen != nil {
		return nil // written meanwhile: it comes from disk
	}
	l.handedOut++
	e.out = true
	l.flying = append(l.flying, e)
	return e
}

// passed notes that the reader is through with gen.
func (l *Log) passed(gen *generation) {
	l.mu.Lock()
	items := gen.items
	l.mu.Unlock()
	l.mend(gen, items, l.rd.at, 0)
	l.rd.close()
	l.rd.gen = nil
	l.mu.Lock()
	gen.drained = true
	l.collectLocked(gen)
	l.mu.Unlock()
}

// abandon gives up on the rest of a generation that cannot be opened or read. False: it is
// to be tried again, for it is still being written, or the error is not about the file.
func (l *Log) abandon(gen *generation, end int64, err error) bool {
	at := int64(0)
	switch {
	case l.rd.gen == gen:
		at = l.rd.at
	case gen.left != nil:
		at = gen.left.at
	}
	l.mu.Lock()
	if l.blocked = !gen.gone && (!gen.sealed || passing(err)); l.blocked {
		l.mu.Unlock()
		l.store.log.Error("the log cannot be read back, delivery waits", "lane", l.name, "generation", gen.num, "err", err)
		return false
	}
	gen.drained = true
	l.rd.close()
	l.rd.gen, l.rd.bad = nil, nil
	if gen.gone {
		l.mu.Unlock()
		return true
	}
	left := gen.unread()
	gen.handed += left
	lost := l.loseLocked(left)
	gen.keep = true
	l.mu.Unlock()
	l.store.lost(Loss{Lane: l.name, Reason: "corrupt", Stream: gen.stream.String(), Items: lost, Bytes: end - at,
		Detail: fmt.Sprintf("generation %d cannot be read from %d on: %v; it goes to quarantine", gen.num, at, err)})
	l.mu.Lock()
	l.collectLocked(gen)
	l.mu.Unlock()
	l.moveAside()
	return true
}

// Ack says that e is done: delivered, or refused for good. Any order; once.
func (l *Log) Ack(e *Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.acked {
		panic("BUG: wal: entry acknowledged twice")
	}
	e.acked = true
	l.stats.Acked += uint64(e.Items)
	if e.gen != nil {
		e.gen.inFlight--
	} else {
		l.deferredSum -= e.size
		l.store.budget.give(l.name, e.size)
		if len(e.Meta) > 0 {
			l.metaDue = append(l.metaDue, e.Meta)
		}
		l.popDeferredLocked()
	}
	n := 0
	for n < len(l.flying) && l.flying[n].acked {
		n++
	}
	l.flying = dropFront(l.flying, n)
	if e.gen != nil {
		e.gen.advance()
		l.collectLocked(e.gen)
	}
}

// advance moves ackedTo over what is acknowledged without a gap, in the order of the file:
// records that were handed out from memory lie in it behind others that were handed out later.
// It needs Log.mu.
func (g *generation) advance() {
	n := 0
	for n < len(g.read) && g.read[n].acked {
		g.ackedTo, g.ackedIt = g.read[n].end, g.read[n].inFile
		n++
	}
	g.read = dropFront(g.read, n)
}

// dropFront takes n from the front. What is empty then begins at the front of its memory again.
func dropFront(list []*Entry, n int) []*Entry {
	clear(list[:n])
	if n == len(list) {
		return list[:0]
	}
	return list[n:]
}

// collectLocked puts gen into the garbage when nothing in it is needed any more. The newest
// generation stays: its snapshot is the truth about what the folded meta covers. While that is
// not durable, the older ones stay too.
func (l *Log) collectLocked(gen *generation) {
	newest := l.gens[len(l.gens)-1]
	if !gen.drained || gen.inFlight > 0 || gen == newest || newest.end == 0 {
		return
	}
	for i, g := range l.gens {
		if g == gen {
			l.gens = append(l.gens[:i:i], l.gens[i+1:]...)
			if gen.keep {
				l.aside = append(l.aside, gen)
				signal(l.readable)
				return
			}
			l.garbage = append(l.garbage, gen)
			signal(l.sweep)
			return
		}
	}
}
