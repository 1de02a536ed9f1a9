package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// readAhead is how much is read from a file at a time, in bytes.
const readAhead = 256 << 10

// A reader walks the generations in order with pread, never beyond a committed end.
type reader struct {
	gen  *generation
	file File
	at   int64  // file offset of buf[0]
	buf  []byte // read and not yet parsed
	room []byte // backs buf
	last uint64 // CumItems of the last good record of the generation's stream
	bad  *damage
	skip map[uint64]bool // seqs that were handed out from memory before they were written
}

// A damage is a run of bytes that could not be read as frames.
type damage struct {
	from  int64
	bytes []byte // the first of them, for quarantine/
	err   error
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
	for {
		ended := l.committerDone() // asked first: nothing is published after it
		gen, end, more := l.position()
		if gen != nil {
			e, err := l.read(gen, end)
			switch {
			case err != nil:
				if !l.abandon(gen, end, err) {
					return nil, nil // tried again with the next record
				}
				continue
			case e != nil && !l.handOut(e):
				continue
			case e != nil && e.Items == 0 && len(e.Data) == 0:
				l.Ack(e) // it only carried meta
				continue
			case e != nil:
				return e, nil
			case more:
				l.passed(gen)
				continue
			}
		}
		if e := l.nextDeferred(); e != nil || !ended {
			return e, nil
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
		if !g.drained {
			return g, g.end, g.sealed && i < len(l.gens)-1
		}
	}
	return nil, 0, false
}

func (l *Log) openGeneration(gen *generation) error {
	l.rd.close()
	f, err := l.store.fs.OpenFile("read", gen.file(), os.O_RDONLY)
	if err != nil {
		return err
	}
	l.rd.gen, l.rd.file, l.rd.at, l.rd.buf, l.rd.last, l.rd.bad = gen, f, 0, nil, 0, nil
	if gen.stream != l.stream {
		l.mu.Lock()
		l.rd.at = gen.ackedTo // of an earlier process: what it had acknowledged is not handed out again
		l.mu.Unlock()
	}
	return nil
}

// parse returns the next record of gen, or nil at its end. What cannot be parsed is stepped over.
func (l *Log) parse(gen *generation, end int64) (*Entry, error) {
	r := &l.rd
	for {
		f, n, err := parseEntry(r.buf)
		switch {
		case err == nil:
			r.step(n)
			if f.typ != frameRecord {
				if f.typ == frameGeneration {
					r.last = f.cumItems
				}
				continue
			}
			l.mend(gen, f)
			r.last = f.cumItems
			return &Entry{Stream: gen.stream, Seq: f.seq, Items: int(f.items), CumItems: f.cumItems, Accepted: f.accepted,
				Meta: f.meta, Data: f.data, gen: gen, end: r.at, size: int64(n)}, nil
		case errors.Is(err, errShort) && r.at+int64(len(r.buf)) < end:
			if err := r.fill(end); err != nil {
				return nil, err
			}
		case len(r.buf) == 0:
			return nil, nil
		default:
			l.stepOver(err)
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
	if cap(r.room) < want {
		r.room = make([]byte, want)
	}
	have := copy(r.room[:cap(r.room)], r.buf)
	n, err := r.file.ReadAt(r.room[have:want], r.at+int64(have))
	if n == 0 && err != nil {
		return fmt.Errorf("read at %d: %w", r.at+int64(have), err)
	}
	r.buf = r.room[:have+n]
	return nil
}

// stepOver moves past bytes that are not a frame, to where one may begin.
func (l *Log) stepOver(err error) {
	r := &l.rd
	if r.bad == nil {
		r.bad = &damage{from: r.at, err: err}
	}
	n := min(resync(r.buf), len(r.buf))
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
	if e.Stream == l.stream && l.rd.skip[e.Seq] {
		delete(l.rd.skip, e.Seq)
		return false
	}
	e.gen.inFlight++
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
	l.mend(gen, frame{})
	l.rd.close()
	l.rd.gen = nil
	l.mu.Lock()
	gen.drained = true
	l.collectLocked(gen)
	l.mu.Unlock()
}

// abandon gives up on a generation that cannot be opened or read at all, unless it is still
// being written: then it is left to be tried again, and false returned.
func (l *Log) abandon(gen *generation, end int64, err error) bool {
	l.rd.close()
	l.rd.gen, l.rd.bad = nil, nil
	l.mu.Lock()
	if !gen.sealed {
		l.mu.Unlock()
		l.store.log.Error("the log cannot be read back, delivery waits", "lane", l.name, "generation", gen.num, "err", err)
		return false
	}
	wasGone := gen.gone
	gen.drained = true
	lost := uint64(0)
	if !wasGone {
		lost = l.loseLocked(gen.items - min(gen.items, l.readItemsLocked(gen)))
	}
	l.mu.Unlock()
	if wasGone {
		return true
	}
	l.store.lost(Loss{Lane: l.name, Reason: "corrupt", Stream: gen.stream.String(), Items: lost, Bytes: end,
		Detail: fmt.Sprintf("generation %d cannot be read: %v", gen.num, err)})
	l.quarantine(gen, nil)
	l.mu.Lock()
	l.collectLocked(gen)
	l.mu.Unlock()
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
		if f := l.flying[n]; f.gen != nil {
			f.gen.ackedTo = max(f.gen.ackedTo, f.end)
			f.gen.ackedIt += uint64(f.Items)
		}
		n++
	}
	clear(l.flying[:n])
	l.flying = l.flying[n:]
	if e.gen != nil {
		l.collectLocked(e.gen)
	}
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
			l.garbage = append(l.garbage, gen)
			signal(l.sweep)
			return
		}
	}
}
