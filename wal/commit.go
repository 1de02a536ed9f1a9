package wal

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// A group is what one write and one fsync make durable.
type group struct {
	entries []*Entry   // spilled from memory
	calls   []*pending // appended
	metas   [][]byte   // of deferred entries that were delivered unwritten
	bytes   int64

	firstSeq, firstItems uint64 // of the appended records; their numbers are never given out again
	items                uint64
}

func (g *group) empty() bool { return len(g.entries)+len(g.calls)+len(g.metas) == 0 }

// frameBuffer holds the encoded frames of one group; it is reused.
type frameBuffer struct {
	bytes []byte
	ends  []int
	list  [][]byte
}

func (b *frameBuffer) reset() { b.bytes, b.ends, b.list = b.bytes[:0], b.ends[:0], b.list[:0] }

func (b *frameBuffer) add(f frame, crc uint32) {
	b.bytes = appendFrame(b.bytes, f, crc)
	b.ends = append(b.ends, len(b.bytes))
}

func (b *frameBuffer) slices() [][]byte {
	from := 0
	for _, end := range b.ends {
		b.list = append(b.list, b.bytes[from:end])
		from = end
	}
	return b.list
}

// metaEvery bounds how long the cursor of a delivered, never written record stays in memory only.
const metaEvery = time.Second

// commitLoop is the only writer of the lane.
func (l *Log) commitLoop() {
	defer close(l.ended)
	tick := time.NewTicker(metaEvery)
	defer tick.Stop()
	for {
		withMetas := false
		select {
		case <-l.wake:
		case <-tick.C:
			withMetas = true
		}
		for {
			g, last := l.take(withMetas)
			if !g.empty() {
				l.commit(g)
			}
			if last {
				if l.out != nil {
					l.out.Close() // everything acknowledged is synced; nothing depends on it
				}
				return
			}
			if g.empty() {
				break
			}
		}
	}
}

// take removes the next group from what waits, and gives its records their numbers.
// last says that nothing can follow.
func (l *Log) take(withMetas bool) (g group, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spill {
		for _, e := range l.deferred {
			if e.gen == nil && !e.acked {
				g.entries = append(g.entries, e)
				if g.bytes += e.size; g.bytes >= maxGroup {
					break
				}
			}
		}
		if len(g.entries) == 0 {
			l.spill = false
		}
	}
	if withMetas || l.closed {
		g.metas, l.metaDue = l.metaDue, nil
	}
	n := 0
	for n < len(l.queue) && (g.bytes == 0 || g.bytes+l.queue[n].bytes <= maxGroup) && (len(g.entries) == 0 || !l.spill) {
		p := l.queue[n]
		p.taken = true
		g.bytes += p.bytes
		g.calls = append(g.calls, p)
		n++
	}
	l.queue = l.queue[:copy(l.queue, l.queue[n:])]
	l.numberLocked(&g)
	return g, l.closed && g.empty() && len(l.queue) == 0
}

// numberLocked gives the group its place in the stream.
func (l *Log) numberLocked(g *group) {
	g.firstSeq, g.firstItems = l.nextSeq, l.cumItems
	l.nextSeq += uint64(len(g.metas))
	for _, p := range g.calls {
		l.nextSeq += uint64(len(p.recs))
		for _, r := range p.recs {
			g.items += uint64(r.Items)
		}
	}
	l.cumItems += g.items
}

// commit makes g durable, or tells its callers why not. A failed write is tried once more
// in a new generation: the records are still in hand.
func (l *Log) commit(g group) {
	err := l.write(&g)
	if err != nil {
		l.failed(err)
		err = l.write(&g)
	}
	if err != nil {
		l.failed(err)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fmt.Errorf("%w: %w", ErrFull, err)
		}
		l.giveUp(&g, err)
	}
	for _, p := range g.calls {
		p.err = err
		close(p.done)
	}
	if err == nil {
		signal(l.readable)
	}
}

// giveUp returns the budget of callers that are told no. Their numbers stay unused, for a
// torn frame may carry them. Deferred entries stay in memory and are tried again at the next spill.
func (l *Log) giveUp(g *group, err error) {
	for _, p := range g.calls {
		l.store.budget.give(l.name, p.bytes)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spill = false
	if l.cumItems == g.firstItems+g.items {
		l.cumItems = g.firstItems // else the next reader would count them as lost
	}
	l.metaDue = append(g.metas, l.metaDue...)
	l.store.log.Error("log cannot be written, senders are told to wait", "lane", l.name, "err", err)
}

// failed ends the generation being written at its committed end. Its handle is not asked
// for anything again, not even to close: tidwall's Close would sync what failed.
func (l *Log) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Failures++
	if l.out == nil {
		return
	}
	l.out = nil
	g := l.gens[len(l.gens)-1]
	g.sealed = true
	l.store.log.Warn("write to the log failed, going on in a new file", "lane", l.name, "generation", g.num, "committed_end", g.end, "err", err)
}

// endings states where every earlier generation ends: each header holds them all, so that
// the newest is enough whichever older ones are gone.
func (l *Log) endings() (ends []ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.gens {
		ends = append(ends, ending{gen: g.num, end: g.end, records: g.records, items: g.items})
	}
	return ends
}

// write puts g into the newest generation, rolling first when that one is long enough.
func (l *Log) write(g *group) error {
	if l.out == nil || l.newest().end >= l.store.cfg.GenerationBytes {
		if err := l.begin(); err != nil {
			return err
		}
	}
	l.encode(g)
	if err := l.out.Append(l.frames.slices()); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if err := l.out.Sync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	l.publish(g)
	return nil
}

// encode lays the group's frames into l.frames. A retry encodes the same numbers again.
func (l *Log) encode(g *group) {
	l.frames.reset()
	for _, e := range g.entries {
		l.frames.add(frame{typ: frameRecord, seq: e.Seq, cumItems: e.CumItems, accepted: e.Accepted, items: uint32(e.Items), meta: e.Meta, data: e.Data},
			payloadCRC(e.Meta, e.Data))
	}
	seq, items := g.firstSeq, g.firstItems
	for _, p := range g.calls {
		for i, r := range p.recs {
			items += uint64(r.Items)
			l.frames.add(frame{typ: frameRecord, seq: seq, cumItems: items, accepted: r.Accepted, items: uint32(r.Items), meta: r.Meta, data: r.Data}, p.crcs[i])
			seq++
		}
	}
	for _, m := range g.metas {
		l.frames.add(frame{typ: frameRecord, seq: seq, cumItems: items, accepted: time.Now().UnixNano(), meta: m}, payloadCRC(m, nil))
		seq++
	}
}

// publish shows the group to the reader.
func (l *Log) publish(g *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gen := l.gens[len(l.gens)-1]
	at := gen.end
	for _, e := range g.entries {
		at += e.size
		l.spilledLocked(e, gen, at)
	}
	l.popDeferredLocked()
	for _, p := range g.calls {
		for _, r := range p.recs {
			l.recordLocked(gen, r.Items, r.Accepted, r.Meta)
			l.stats.Appended += uint64(r.Items)
		}
		gen.charged += p.bytes
	}
	for _, m := range g.metas {
		l.recordLocked(gen, 0, 0, m)
		n := int64(entrySize(len(m), 0))
		gen.charged += n
		l.store.budget.force(l.name, n)
	}
	for _, f := range l.frames.list {
		gen.end += int64(uvarintLen(uint64(len(f))) + len(f))
	}
}

// recordLocked books one durable record to gen and folds its meta.
func (l *Log) recordLocked(gen *generation, items int, accepted int64, meta []byte) {
	gen.records++
	gen.items += uint64(items)
	if gen.oldest == 0 {
		gen.oldest = accepted
	}
	if l.waiting == 0 && items > 0 {
		l.waiting = accepted
	}
	if l.fold != nil && len(meta) > 0 {
		l.fold.Apply(meta)
	}
}

// spilledLocked moves a deferred entry's place from memory to the file. The reader is told
// to skip it there if it was handed out already.
func (l *Log) spilledLocked(e *Entry, gen *generation, end int64) {
	e.gen, e.end = gen, end
	gen.charged += e.size
	l.recordLocked(gen, e.Items, e.Accepted, e.Meta)
	l.deferredSum -= e.size
	switch {
	case e.acked: // while it was being written: it has left the budget and the sum already
		l.deferredSum += e.size
		l.store.budget.force(l.name, e.size)
	case e.out:
		gen.inFlight++
	}
	if e.out {
		l.rd.skip[e.Seq] = true
	}
}

// popDeferredLocked drops from the front what is written or acknowledged.
func (l *Log) popDeferredLocked() {
	n := 0
	for n < len(l.deferred) && (l.deferred[n].gen != nil || l.deferred[n].acked) {
		n++
	}
	clear(l.deferred[:n])
	l.deferred = l.deferred[n:]
	l.handedOut = max(0, l.handedOut-n)
}

func (l *Log) newest() *generation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gens[len(l.gens)-1]
}

// begin starts a generation: directory, file, header and snapshot, fsync of the file, fsync
// of both directories; only then is it used.
func (l *Log) begin() error {
	l.mu.Lock()
	if l.out != nil {
		l.gens[len(l.gens)-1].sealed = true
	}
	old := l.out
	l.out = nil
	l.mu.Unlock()
	if old != nil {
		old.Close() // synced by the last group; an error here costs nothing
	}
	num := l.nextGen
	l.nextGen++
	dir := genDir(l.dir, num)
	out, size, err := l.createGeneration(dir, num)
	if err != nil {
		return errors.Join(fmt.Errorf("begin generation %d: %w", num, err), l.store.fs.RemoveAll("undo", dir))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = out
	l.store.budget.force(l.name, size)
	l.gens = append(l.gens, &generation{num: num, dir: dir, stream: l.stream, end: size, charged: size})
	signal(l.readable)
	return nil
}

func (l *Log) createGeneration(dir string, num uint64) (Appender, int64, error) {
	fs := l.store.fs
	if err := fs.MkdirAll("generation", dir); err != nil {
		return nil, 0, err
	}
	out, err := fs.NewAppender("generation", dir)
	if err != nil {
		return nil, 0, err
	}
	var b frameBuffer
	now := time.Now().UnixNano()
	header := genHeader{stream: l.stream, lane: l.name, ends: l.endings()}.append(nil)
	b.add(frame{typ: frameGeneration, seq: num, cumItems: l.cumItems, accepted: now, data: header}, payloadCRC(nil, header))
	if l.fold != nil {
		snapshot := l.fold.Snapshot(nil)
		b.add(frame{typ: frameSnapshot, seq: num, accepted: now, data: snapshot}, payloadCRC(nil, snapshot))
	}
	size := int64(0)
	for _, f := range b.slices() {
		size += int64(uvarintLen(uint64(len(f))) + len(f))
	}
	if err := out.Append(b.list); err != nil {
		return nil, 0, err
	}
	if err := out.Sync(); err != nil {
		return nil, 0, err
	}
	if err := fs.SyncDir("generation", dir); err != nil {
		return nil, 0, err
	}
	return out, size, fs.SyncDir("lane", l.dir)
}
