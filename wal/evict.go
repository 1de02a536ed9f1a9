package wal

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// sweepLoop removes generations that nobody needs, away from every lock.
func (l *Log) sweepLoop() {
	var expire <-chan time.Time
	if age := l.store.cfg.MaxAge; age > 0 {
		tick := time.NewTicker(max(time.Second, min(age/10, time.Minute)))
		defer tick.Stop()
		expire = tick.C
	}
	for {
		select {
		case <-l.stop:
			return
		case now := <-expire:
			l.expire(now)
		case <-l.sweep:
			l.sweepOnce()
		}
	}
}

func (l *Log) sweepOnce() {
	l.mu.Lock()
	list := l.garbage
	l.garbage = nil
	l.mu.Unlock()
	for _, g := range list {
		if err := l.store.fs.RemoveAll("sweep", g.dir); err != nil {
			l.store.log.Error("delivered generation cannot be removed, its records would come back after a restart", "lane", l.name, "generation", g.num, "err", err)
		}
		l.store.budget.give(l.name, g.charged)
	}
	if len(list) > 0 {
		if err := l.store.fs.SyncDir("sweep", l.dir); err != nil {
			l.store.log.Warn("removal may not survive power loss", "lane", l.name, "err", err)
		}
	}
}

// evictOldest makes room by the drop_oldest policy: of all lanes that use more than their
// reserve, the generation that is the oldest and has nothing in flight goes, and the ledger says
// what was in it. False: there is none, or it would not help.
func (l *Log) evictOldest() bool {
	s := l.store
	var victim *Log
	oldest, held := int64(0), int64(0)
	for _, other := range s.order {
		if other != l && !s.budget.overReserve(other.name) {
			continue
		}
		at, bytes := other.evictable()
		held += bytes
		if at != 0 && (victim == nil || at < oldest) {
			victim, oldest = other, at
		}
	}
	if victim == nil || s.budget.lacking() > held {
		return false
	}
	return victim.evict("evicted", "made room for new data (when_full: drop_oldest)")
}

// evictable is when the first record of the next victim came in, unix ns, and how many bytes
// could be evicted in all; zeros if nothing.
func (l *Log) evictable() (oldest, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.gens {
		if l.mayGoLocked(g) {
			if bytes == 0 {
				oldest = max(1, l.acceptedLocked(g))
			}
			bytes += g.charged
		}
	}
	return oldest, bytes
}

// mayGoLocked says that g may be removed although it is not delivered: nothing of it is in
// flight, and the truth about cursors is durable in a newer one.
func (l *Log) mayGoLocked(g *generation) bool {
	newest := l.gens[len(l.gens)-1]
	return g != newest && newest.end > 0 && g.sealed && g.inFlight == 0 && !g.drained
}

// acceptedLocked is when the first record of g came in, unix ns. It is read from the file if
// g is of an earlier process.
func (l *Log) acceptedLocked(g *generation) int64 {
	if g.oldest == 0 {
		l.survey(g, 0, func(fr frame) bool {
			g.oldest = fr.accepted
			return false
		})
	}
	return g.oldest
}

// evict removes the oldest generation that may go. What of it was not delivered is lost, and
// written down exactly.
func (l *Log) evict(reason, why string) bool {
	l.mu.Lock()
	at := slices.IndexFunc(l.gens, l.mayGoLocked)
	if at < 0 {
		l.mu.Unlock()
		return false
	}
	g := l.gens[at]
	l.gens = slices.Delete(l.gens, at, at+1)
	g.gone = true
	lost := l.loseLocked(g.items - min(g.items, l.readItemsLocked(g)))
	from := g.ackedTo
	for _, e := range l.flying {
		if e.gen == g {
			from = max(from, e.end)
		}
	}
	l.mu.Unlock()

	if lost > 0 {
		loss := Loss{Lane: l.name, Reason: reason, Stream: g.stream.String(), Items: lost, Bytes: g.end - from,
			Detail: fmt.Sprintf("generation %d, the oldest, %s", g.num, why)}
		first := true
		l.survey(g, from, func(fr frame) bool {
			if first {
				loss.FromSeq, loss.FromTime, first = fr.seq, time.Unix(0, fr.accepted).UTC(), false
			}
			loss.ToSeq, loss.ToTime = fr.seq, time.Unix(0, fr.accepted).UTC()
			return true
		})
		l.store.lost(loss)
	}
	if err := l.store.fs.RemoveAll("evict", g.dir); err != nil {
		l.store.log.Error("evicted generation cannot be removed", "lane", l.name, "generation", g.num, "err", err)
		return false
	}
	l.store.budget.give(l.name, g.charged)
	return true
}

// survey visits the records of g that end behind from, until visit says that it is enough.
// What cannot be read is passed over: the count of what is lost does not come from here.
func (l *Log) survey(g *generation, from int64, visit func(fr frame) bool) {
	f, err := l.store.fs.OpenFile("survey", g.file(), os.O_RDONLY)
	if err != nil {
		return
	}
	defer f.Close()
	r := reader{file: f}
	for {
		fr, n, err := parseEntry(r.buf)
		switch {
		case err == nil:
			r.step(n)
			if fr.typ == frameRecord && r.at > from && !visit(fr) {
				return
			}
		case errors.Is(err, errShort) && r.at+int64(len(r.buf)) < g.end:
			if r.fill(g.end) != nil {
				return
			}
		case len(r.buf) == 0:
			return
		default:
			r.step(min(resync(r.buf), len(r.buf)))
		}
	}
}

// expire removes generations whose newest record is older than the store keeps records.
func (l *Log) expire(now time.Time) {
	limit := now.Add(-l.store.cfg.MaxAge).UnixNano()
	for {
		l.mu.Lock()
		at := slices.IndexFunc(l.gens, l.mayGoLocked)
		if at < 0 || l.acceptedLocked(l.gens[at]) > limit {
			l.mu.Unlock()
			return
		}
		g := l.gens[at]
		l.mu.Unlock()
		newest := int64(0)
		l.survey(g, 0, func(fr frame) bool {
			newest = max(newest, fr.accepted)
			return true
		})
		if newest > limit || !l.evict("expired", fmt.Sprintf("is older than wal.max_age (%s)", l.store.cfg.MaxAge)) {
			return
		}
	}
}
