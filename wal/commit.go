package wal

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A group is what one write and one fsync make durable.
type group struct {
	entries []*Entry   // spilled from memory
	calls   []*pending // appended
	metas   [][]byte   // of deferred entries that were delivered unwritten
	bytes   int64      // charged to the budget
	size    int64      // in the file; known once it is encoded
	closing bool       // taken after intake had ended

	firstSeq, firstItems uint64 // of the appended records; their numbers are never given out again
}

func (g *group) empty() bool { return len(g.entries)+len(g.calls)+len(g.metas) == 0 }

// frameBuffer holds the encoded frames of one group; it is reused.
type frameBuffer struct {
	tag   uint32
	bytes []byte
	ends  []int
	list  [][]byte
}

var frameBuffers = sync.Pool{New: func() any { return new(frameBuffer) }}

func (b *frameBuffer) reset(tag uint32) {
	b.tag, b.bytes, b.ends, b.list = tag, b.bytes[:0], b.ends[:0], b.list[:0]
}

func (b *frameBuffer) add(f frame, crc uint32) {
	f.tag = b.tag
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

// size is what the frames take in the file, each with its length in front.
func (b *frameBuffer) size() (n int64) {
	from := 0
	for _, end := range b.ends {
		n += int64(uvarintLen(uint64(end-from)) + end - from)
		from = end
	}
	return n
}

// metaEvery bounds how long the cursor of a delivered, never written record stays in memory only.
const metaEvery = time.Second

// commitLoop is the only writer of the lane. While the disk syncs what is written, it writes the next groups.
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
			l.tryAgain()
		case s := <-l.synced:
			l.finish(s)
		}
		for len(l.written) < maxGroups && l.unsynced() < maxUnsynced {
			runtime.Gosched() // callers that were just answered come back; a group of many costs little more than a group of one
			g, last := l.take(withMetas)
			if last && len(l.written) == 0 {
				l.endWriting()
				return
			}
			if g.empty() {
				break
			}
			l.commit(g)
		}
	}
}

func (l *Log) endWriting() {
	close(l.toSync)
	if l.out != nil {
		l.out.Close() // everything acknowledged is synced; nothing depends on it
	}
	l.discardBlank()
	if err := l.cutBack(); err != nil {
		l.store.log.Error("what was refused may come back after a restart", "lane", l.name, "err", err)
	}
}

// unsynced is how many bytes are written and not known to be durable.
func (l *Log) unsynced() (n int64) {
	for _, g := range l.written {
		n += g.size
	}
	return n
}

// take removes the next group from what waits, and gives its records their numbers.
// last says that nothing can follow.
func (l *Log) take(withMetas bool) (g *group, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g = &group{closing: l.closed}
	if l.spill {
		for _, e := range l.deferred {
			if e.gen == nil && !e.acked && !e.taken {
				e.taken = true
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
	l.numberLocked(g)
	return g, l.closed && g.empty() && len(l.queue) == 0
}

// numberLocked gives the group its place in the stream.
func (l *Log) numberLocked(g *group) {
	g.firstSeq, g.firstItems = l.nextSeq, l.cumItems
	for _, p := range g.calls {
		for _, r := range p.recs {
			if named(r.Items, r.Data) {
				l.nextSeq++
			}
			l.cumItems += uint64(r.Items)
		}
	}
}

// commit writes g; its callers are answered once it is synced.
func (l *Log) commit(g *group) {
	err := l.roll(g)
	if err == nil {
		err = l.write(g)
	}
	if err != nil {
		l.quiesce()
		l.rewrite([]*group{g}, err)
		return
	}
	l.written = append(l.written, g)
	l.toSync <- l.out
}

// A synced says that one sync made that many groups durable, or failed to.
type synced struct {
	groups int
	err    error
}

// syncLoop syncs whatever is written, all of it at once, and then what was written meanwhile.
// It does not wait for the writer in between, which may be busy with the next group.
func (l *Log) syncLoop() {
	var failed Appender
	var err error
	for out := range l.toSync {
		n := 1 + len(l.toSync)
		for range n - 1 {
			<-l.toSync // the same: another generation is begun only when nothing is unsynced
		}
		if out != failed { // a second sync would not bring back what the first one lost
			err = out.Sync()
		}
		if err != nil {
			failed = out
		}
		l.synced <- synced{groups: n, err: err}
	}
}

// finish answers the callers of what was synced.
func (l *Log) finish(s synced) {
	if s.err == nil {
		l.succeed(l.written[:s.groups])
		l.written = slices.Delete(l.written, 0, s.groups)
		return
	}
	for n := s.groups; n < len(l.written); {
		n += (<-l.synced).groups // written behind it, and not durable either
	}
	groups := l.written
	l.written = nil
	l.rewrite(groups, fmt.Errorf("sync: %w", s.err))
}

// quiesce waits until nothing is written and unsynced.
func (l *Log) quiesce() {
	for len(l.written) > 0 {
		l.finish(<-l.synced)
	}
}

// rewrite answers a failed write or sync. The generation ends at its committed end, and all
// that was written beyond it, which is still in hand, goes into a new one. If that fails too,
// the callers are told. Nothing else may be unsynced.
func (l *Log) rewrite(groups []*group, err error) {
	l.failed(err)
	if err = l.begin(groups[0].firstItems); err == nil {
		for _, g := range groups {
			err = errors.Join(err, l.write(g))
		}
	}
	if err == nil {
		err = l.out.Sync()
	}
	if err == nil {
		l.succeed(groups)
		return
	}
	l.failed(err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	l.giveUp(groups, err)
}

// succeed shows durable groups to the reader and answers their callers.
func (l *Log) succeed(groups []*group) {
	for _, g := range groups {
		l.publish(g)
		for _, p := range g.calls {
			p.answer(nil)
		}
	}
	signal(l.readable)
	if l.hasUnused { // the ledger is synced, too: nobody waits for that
		l.hasUnused = false
		if next := groups[0].firstSeq; next > l.unused { // else what failed was only meta
			l.store.unused(l, l.unused, next-1)
		}
	}
}

// giveUp tells the callers no and returns their budget, after what was written of their records
// is off the disk, as far as the disk lets us. Their numbers stay unused. Deferred entries stay
// in memory and are tried again at the next spill.
func (l *Log) giveUp(groups []*group, err error) {
	if !l.hasUnused {
		l.unused, l.hasUnused = groups[0].firstSeq, true
	}
	if cut := l.cutBack(); cut != nil {
		err = fmt.Errorf("%w; what was written may come back if this process dies before the disk works again: %w", err, cut)
	}
	l.mu.Lock()
	l.spill = l.closed && !groups[len(groups)-1].closing // what was under way when intake ended is tried once more
	for _, g := range slices.Backward(groups) {
		for _, e := range g.entries {
			e.taken = false
		}
		if !l.closed { // else nobody would write them, and taking them again would never end
			l.metaDue = append(g.metas, l.metaDue...)
		}
		for _, p := range g.calls {
			l.store.budget.give(l.name, p.bytes)
			p.answer(err)
		}
	}
	l.mu.Unlock()
	l.store.log.Error("log cannot be written, senders are told to wait", "lane", l.name, "err", err)
}

// failed ends the generation being written at its committed end. Nothing is written to it again.
func (l *Log) failed(err error) {
	l.mu.Lock()
	l.stats.Failures++
	if l.out == nil {
		l.mu.Unlock()
		return
	}
	go l.out.Close() // this may sync once more: what that says is of no interest
	l.out = nil
	g := l.gens[len(l.gens)-1]
	g.sealed, g.ragged = true, true
	l.mu.Unlock()
	l.store.log.Warn("write to the log failed, going on in a new file", "lane", l.name, "generation", g.num, "committed_end", g.end, "err", err)
}

// cutBack shortens what a failure ended to its committed end, so that a restart does not take
// for durable what its callers were refused. A durable header of a later generation, which
// states that end, does the same.
func (l *Log) cutBack() error {
	l.mu.Lock()
	var ragged []*generation
	for _, g := range l.gens {
		if g.ragged {
			ragged = append(ragged, g)
		}
	}
	l.mu.Unlock()
	var errs []error
	for _, g := range ragged {
		if err := l.truncate(g); err != nil {
			errs = append(errs, fmt.Errorf("cut generation %d back to %d: %w", g.num, g.end, err))
			continue
		}
		l.mu.Lock()
		g.ragged = false
		l.mu.Unlock()
	}
	return errors.Join(errs...)
}

// truncate uses a handle of its own: the appender's is not asked for anything again.
func (l *Log) truncate(g *generation) error {
	f, err := l.store.fs.OpenFile("cut", g.file(), os.O_WRONLY)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(g.end), f.Sync(), f.Close())
}

// tryAgain does what failed earlier and is not asked for by anybody.
func (l *Log) tryAgain() {
	if err := l.cutBack(); err != nil {
		l.store.log.Warn("what was refused may come back after a restart", "lane", l.name, "err", err)
	}
	l.mu.Lock()
	blocked := l.blocked
	l.mu.Unlock()
	if blocked {
		signal(l.readable)
	}
}

// roll begins a generation for g when there is none or the newest is long enough.
func (l *Log) roll(g *group) error {
	limit := l.store.cfg.GenerationBytes
	if l.out != nil && l.end < limit {
		if l.end > limit/2 {
			l.prepare()
		}
		return nil
	}
	l.quiesce() // a header states where the generation before it ends
	return l.begin(g.firstItems)
}

// write puts g into the newest generation.
func (l *Log) write(g *group) error {
	b := frameBuffers.Get().(*frameBuffer)
	defer frameBuffers.Put(b)
	b.reset(l.tag)
	inFile := l.encode(g, b)
	if err := l.out.Append(b.slices()); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	l.end += g.size
	l.inFile = inFile
	return nil
}

// encode lays the group's frames into b and returns how many items the file holds with
// them. A retry encodes the same numbers again.
func (l *Log) encode(g *group, b *frameBuffer) (inFile uint64) {
	inFile = l.inFile
	add := func(f frame, crc uint32) {
		inFile += uint64(f.items)
		f.typ, f.inFile = frameRecord, inFile
		b.add(f, crc)
	}
	for _, e := range g.entries {
		e.inFile = inFile + uint64(e.Items)
		add(frame{seq: e.Seq, cumItems: e.CumItems, accepted: e.Accepted, items: uint32(e.Items), meta: e.Meta, data: e.Data}, payloadCRC(e.Meta, e.Data))
	}
	seq, items := g.firstSeq, g.firstItems
	for _, p := range g.calls {
		for i, r := range p.recs {
			items += uint64(r.Items)
			add(frame{seq: seq, cumItems: items, accepted: r.Accepted, items: uint32(r.Items), meta: r.Meta, data: r.Data}, p.crcs[i])
			if named(r.Items, r.Data) {
				seq++
			}
		}
	}
	for _, m := range g.metas {
		add(frame{seq: seq, cumItems: items, accepted: time.Now().UnixNano(), meta: m}, payloadCRC(m, nil))
	}
	g.size = b.size()
	return inFile
}

// publish shows the group to the reader.
func (l *Log) publish(g *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gen := l.gens[len(l.gens)-1]
	at := max(gen.end, gen.head)
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
	l.committedLocked(g.size)
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
	if e.out && named(e.Items, e.Data) {
		gen.handed += uint64(e.Items)
		l.rd.skip[e.Seq] = e
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
