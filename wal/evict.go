package wal

import "fmt"

// sweepLoop removes generations that nobody needs, away from every lock.
func (l *Log) sweepLoop() {
	for {
		select {
		case <-l.stop:
			return
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

// evictOldest makes room by the drop_oldest policy: the oldest generation with nothing in
// flight goes, and the ledger says what was in it. False: there is none.
func (l *Log) evictOldest() bool {
	l.mu.Lock()
	var victim *generation
	for i, g := range l.gens[:max(0, len(l.gens)-1)] {
		if g.sealed && g.inFlight == 0 && !g.drained && l.gens[len(l.gens)-1].end > 0 {
			victim = g
			l.gens = append(l.gens[:i:i], l.gens[i+1:]...)
			break
		}
	}
	if victim == nil {
		l.mu.Unlock()
		return false
	}
	victim.gone = true
	lost := l.loseLocked(victim.items - min(victim.items, l.readItemsLocked(victim)))
	l.mu.Unlock()

	if lost > 0 {
		l.store.lost(Loss{Lane: l.name, Reason: "evicted", Stream: victim.stream.String(), Items: lost, Bytes: victim.charged,
			Detail: fmt.Sprintf("generation %d, the oldest, made room for new data (when_full: drop_oldest)", victim.num)})
	}
	if err := l.store.fs.RemoveAll("evict", victim.dir); err != nil {
		l.store.log.Error("evicted generation cannot be removed", "lane", l.name, "generation", victim.num, "err", err)
		return false
	}
	l.store.budget.give(l.name, victim.charged)
	return true
}
