package wal

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A pending is one call of Append that waits for its fsync.
type pending struct {
	recs  []Record
	crcs  []uint32
	bytes int64
	taken bool
	err   error
	done  chan struct{} // holds one answer
}

// answer lets the caller go. p is the caller's again.
func (p *pending) answer(err error) {
	p.err = err
	p.done <- struct{}{}
}

// release gives p back for another call; nobody else may hold it.
func (l *Log) release(p *pending) {
	p.recs, p.crcs, p.bytes, p.taken, p.err = nil, p.crcs[:0], 0, false, nil
	l.pendings.Put(p)
}

// Append stores recs, all of them or none, and returns nil once they are durable.
// Callers share fsyncs. The bytes are lent for the duration of the call.
//
// ErrFull: nothing was stored; wait and append again. ctx ends the wait only while the
// records are still queued; once their write has begun its outcome is waited for.
func (l *Log) Append(ctx context.Context, recs ...Record) error {
	p, err := l.newPending(recs)
	if err != nil {
		return err
	}
	defer l.release(p)
	if err := l.makeRoom(p.bytes); err != nil {
		return err
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		l.store.budget.give(l.name, p.bytes)
		return ErrClosed
	}
	l.queue = append(l.queue, p)
	l.mu.Unlock()
	signal(l.wake)

	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
	}
	if l.unqueue(p) {
		l.store.budget.give(l.name, p.bytes)
		return context.Cause(ctx)
	}
	<-p.done
	return p.err
}

// Defer takes recs without writing them: they are lost if the process dies before they are
// acknowledged or spilled. The bytes are copied. They count against the cap as if written.
func (l *Log) Defer(recs ...Record) error {
	p, err := l.newPending(recs)
	if err != nil {
		return err
	}
	defer l.release(p)
	if err := l.makeRoom(p.bytes); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.store.budget.give(l.name, p.bytes)
		return ErrClosed
	}
	for _, r := range p.recs {
		e := &Entry{Stream: l.stream, Seq: l.nextSeq, Items: r.Items, CumItems: l.cumItems + uint64(r.Items), Accepted: r.Accepted,
			Meta: slices.Clone(r.Meta), Data: slices.Clone(r.Data), size: int64(entrySize(len(r.Meta), len(r.Data)))}
		if named(e.Items, e.Data) {
			l.nextSeq++
		}
		l.cumItems = e.CumItems
		l.deferred = append(l.deferred, e)
		l.deferredSum += e.size
		if l.waiting == 0 {
			l.waiting = e.Accepted
		}
		l.stats.Appended += uint64(r.Items)
	}
	signal(l.readable)
	return nil
}

// Spill has what Defer took, and nobody acknowledged yet, written.
func (l *Log) Spill() {
	l.mu.Lock()
	l.spill = true
	l.mu.Unlock()
	signal(l.wake)
}

func (l *Log) newPending(recs []Record) (*pending, error) {
	p, ok := l.pendings.Get().(*pending)
	if !ok {
		p = &pending{done: make(chan struct{}, 1)}
	}
	p.recs = recs
	for i := range recs {
		r := &recs[i]
		if len(r.Meta)+len(r.Data) > MaxRecord {
			l.release(p)
			return nil, fmt.Errorf("wal: record of %d bytes is over the limit of %d", len(r.Meta)+len(r.Data), MaxRecord)
		}
		if r.Accepted == 0 {
			r.Accepted = time.Now().UnixNano()
		}
		p.crcs = append(p.crcs, payloadCRC(r.Meta, r.Data))
		p.bytes += int64(entrySize(len(r.Meta), len(r.Data)))
	}
	return p, nil
}

// makeRoom charges n bytes to the lane, evicting if that is the policy.
func (l *Log) makeRoom(n int64) error {
	for {
		short, err := l.store.budget.take(l.name, n)
		if err == nil || l.store.cfg.WhenFull != DropOldest || !l.evictOldest(short) {
			return err
		}
	}
}

func (l *Log) unqueue(p *pending) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.taken {
		return false
	}
	i := slices.Index(l.queue, p)
	if i < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	return true
}
