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
// what was in it. short is what is lacking of the file system's reserve. False: there is none,
// or all of them would not cover that.
func (l *Log) evictOldest(short int64) bool {
	s := l.store
	var victim *Log
	oldest, held := int64(0), int64(0)
	for _, other := range s.order {
		if other != l && !s.budget.overReserve(other.name) {
			continue
		}
		g, bytes := other.evictable()
		held += bytes
		if g == nil {
			continue
		}
		if at := other.accepted(g); victim == nil || at < oldest {
			victim, oldest = other, at
		}
	}
	if victim == nil || short > held {
		return false
	}
	return victim.evict("evicted", "made room for new data (when_full: drop_oldest)")
}

// evictable is the next victim, or nil, and how many bytes could be evicted in all.
func (l *Log) evictable() (next *generation, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.gens {
		if l.mayGoLocked(g) {
			if next == nil {
				next = g
			}
			bytes += g.charged
		}
	}
	return next, bytes
}

// mayGoLocked says that g may be removed although it is not delivered: nothing of it is in
// flight, and the truth about cursors is durable in a newer one.
func (l *Log) mayGoLocked(g *generation) bool {
	newest := l.gens[len(l.gens)-1]
	return g != newest && newest.end > 0 && g.sealed && g.inFlight == 0 && !g.drained
}

// accepted is when the first record of g came in, unix ns. It is read from the file if g is of
// an earlier process, with no lock held; 0 when it cannot be.
func (l *Log) accepted(g *generation) int64 {
	l.mu.Lock()
	at := g.oldest
	l.mu.Unlock()
	if at != 0 {
		return at
	}
	if l.survey(g, 0, func(fr frame) bool {
		at = fr.accepted
		return false
	}) != nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	g.oldest = at
	return at
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
	lost := l.loseLocked(g.unread())
	from := g.ackedTo // nothing is in flight: so far it was delivered
	l.mu.Unlock()

	if lost > 0 {
		loss := Loss{Lane: l.name, Reason: reason, Stream: g.stream.String(), Items: lost, Bytes: g.end - from,
			Detail: fmt.Sprintf("generation %d, the oldest, %s", g.num, why)}
		first := true
		_ = l.survey(g, from, func(fr frame) bool { // what cannot be read leaves the range shorter, not the count
			if !named(int(fr.items), fr.data) {
				return true
			}
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
// Damage is passed over: the count of what is lost does not come from here. An error says that
// not all could be read.
func (l *Log) survey(g *generation, from int64, visit func(fr frame) bool) error {
	f, err := l.store.fs.OpenFile("survey", g.file(), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	r := reader{file: f}
	for {
		fr, n, err := parseEntry(r.buf)
		switch {
		case err == nil:
			r.step(n)
			if fr.typ == frameRecord && fr.tag == g.tag && r.at > from && !visit(fr) {
				return nil
			}
		case errors.Is(err, errShort) && r.at+int64(len(r.buf)) < g.end:
			if err := r.fill(g.end); err != nil {
				return err
			}
		case len(r.buf) == 0:
			return nil
		default:
			r.step(min(max(n, resync(r.buf)), len(r.buf)))
		}
	}
}

// expire removes generations whose newest record is older than the store keeps records.
func (l *Log) expire(now time.Time) {
	limit := now.Add(-l.store.cfg.MaxAge).UnixNano()
	for {
		g, _ := l.evictable()
		if g == nil || l.accepted(g) > limit {
			return
		}
		newest := int64(0)
		err := l.survey(g, 0, func(fr frame) bool {
			newest = max(newest, fr.accepted)
			return true
		})
		if err != nil || newest > limit || // what cannot be read is the reader's to judge
			!l.evict("expired", fmt.Sprintf("is older than wal.max_age (%s)", l.store.cfg.MaxAge)) {
			return
		}
	}
}
