package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// What Open does with what it finds. It never fails because of a file's content.

// recover lists the lane's generations, reads their headers, and scans only those whose end
// no later header states: normally one.
func (l *Log) recover() error {
	nums, err := l.list()
	if err != nil {
		return err
	}
	stated := make(map[uint64]ending)
	for _, num := range nums {
		g := &generation{num: num, dir: genDir(l.dir, num), sealed: true}
		l.nextGen = num + 1
		h, err := l.readHeader(g)
		if errors.Is(err, errBlank) {
			if err := l.store.fs.RemoveAll("undo", g.dir); err != nil {
				l.store.log.Warn("unused generation cannot be removed", "lane", l.name, "generation", num, "err", err)
			}
			continue
		}
		if err != nil {
			// Its records may still be good. They get a stream of their own, for theirs is not known.
			g.stream = newKey()
			l.store.log.Warn("generation header cannot be read, keeping what follows it", "lane", l.name, "generation", num, "err", err)
		} else {
			g.stream = h.stream
		}
		for _, e := range h.ends {
			stated[e.gen] = e
		}
		l.gens = append(l.gens, g)
	}
	for i, g := range l.gens {
		if err := l.settle(g, stated, i == len(l.gens)-1); err != nil {
			l.store.log.Error("generation cannot be read", "lane", l.name, "generation", g.num, "err", err)
		}
		l.store.budget.force(l.name, g.charged)
		l.stats.Recovered += g.items
	}
	l.forgetDone()
	return nil
}

// list returns the generation numbers in order; anything else in the directory is left alone.
func (l *Log) list() ([]uint64, error) {
	entries, err := l.store.fs.ReadDir("lane", l.dir)
	if err != nil {
		return nil, err
	}
	var nums []uint64
	for _, e := range entries {
		num, err := strconv.ParseUint(e.Name(), 16, 64)
		if err != nil || len(e.Name()) != 16 || !e.IsDir() {
			l.store.log.Warn("not a generation, left alone", "lane", l.name, "name", e.Name())
			continue
		}
		nums = append(nums, num)
	}
	slices.Sort(nums)
	return nums, nil
}

// errBlank says that a generation was prepared and never used.
var errBlank = errors.New("empty")

func (l *Log) readHeader(g *generation) (genHeader, error) {
	f, err := l.store.fs.OpenFile("header", g.file(), os.O_RDONLY)
	if err != nil {
		return genHeader{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return genHeader{}, err
	}
	if st.Size() == 0 {
		return genHeader{}, errBlank
	}
	r := reader{file: f}
	fr, _, err := parseEntry(r.buf)
	for errors.Is(err, errShort) && int64(len(r.buf)) < st.Size() {
		if err := r.fill(st.Size()); err != nil {
			return genHeader{}, err
		}
		fr, _, err = parseEntry(r.buf)
	}
	if err != nil {
		return genHeader{}, err
	}
	if fr.typ != frameGeneration {
		return genHeader{}, fmt.Errorf("first frame is of type %d: %w", fr.typ, errFrame)
	}
	return parseGenHeader(fr.data)
}

// settle finds where g ends and what is in it, and folds the newest one's meta.
func (l *Log) settle(g *generation, stated map[uint64]ending, newest bool) error {
	if e, ok := stated[g.num]; ok && !newest {
		g.end, g.records, g.items, g.charged = e.end, e.records, e.items, e.end
		return nil
	}
	f, err := l.store.fs.OpenFile("recover", g.file(), os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	// What survived a kill -9 may be in the page cache only; it is served from here on, so make it durable first.
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	limit := st.Size()
	if e, ok := stated[g.num]; ok {
		limit = min(limit, e.end)
	}
	return l.scan(g, f, limit)
}

// scan reads a whole generation. The end is where the last good frame ends: a torn tail
// was never acknowledged. Damage before that is left to the reader, which accounts for it.
func (l *Log) scan(g *generation, f File, limit int64) error {
	r := reader{file: f}
	for {
		fr, n, err := parseEntry(r.buf)
		switch {
		case err == nil:
			r.step(n)
			g.end = r.at
			l.scanned(g, fr)
		case errors.Is(err, errShort) && r.at+int64(len(r.buf)) < limit:
			if err := r.fill(limit); err != nil {
				return err
			}
		case len(r.buf) == 0:
			g.charged = limit
			if torn := limit - g.end; torn > 0 {
				l.store.log.Info("unfinished write at the end of the log ignored", "lane", l.name, "generation", g.num, "bytes", torn)
			}
			return nil
		default:
			r.step(min(resync(r.buf), len(r.buf)))
		}
	}
}

func (l *Log) scanned(g *generation, fr frame) {
	switch fr.typ {
	case frameSnapshot:
		if l.fold != nil {
			if err := l.fold.Restore(fr.data); err != nil {
				l.store.log.Error("snapshot cannot be used", "lane", l.name, "generation", g.num, "err", err)
			}
		}
	case frameRecord:
		g.records++
		g.items += uint64(fr.items)
		if g.oldest == 0 {
			g.oldest = fr.accepted
		}
		if l.fold != nil && len(fr.meta) > 0 {
			l.fold.Apply(fr.meta)
		}
	}
}

// forgetDone takes out of the account what an earlier process had acknowledged already.
func (l *Log) forgetDone() {
	if l.store.cfg.Done == nil {
		return
	}
	for _, g := range l.gens {
		if off, items := l.store.cfg.Done(g.stream, g.num); off > 0 && off <= g.end && items <= g.items {
			g.ackedTo, g.ackedIt = off, items
			l.stats.Recovered -= items
		}
	}
}

// mend accounts for damage that the reader stepped over, once the next good frame says how
// many items were in it.
func (l *Log) mend(gen *generation, next frame) {
	bad := l.rd.bad
	if bad == nil {
		return
	}
	l.rd.bad = nil
	var lost uint64
	if next.typ == frameRecord {
		lost = next.cumItems - uint64(next.items) - l.rd.last
	} else {
		l.mu.Lock()
		lost = gen.items - min(gen.items, l.readItemsLocked(gen))
		l.mu.Unlock()
	}
	l.mu.Lock()
	lost = l.loseLocked(lost)
	l.mu.Unlock()
	name := l.quarantine(gen, bad)
	l.store.lost(Loss{Lane: l.name, Reason: "corrupt", Stream: gen.stream.String(), Items: lost, Bytes: l.rd.at - bad.from,
		Detail: fmt.Sprintf("generation %d at %d: %v; bytes kept in %s", gen.num, bad.from, bad.err, name)})
}

// loseLocked books n items as lost, and never more than are held.
func (l *Log) loseLocked(n uint64) uint64 {
	n = min(n, l.stats.Recovered+l.stats.Appended-l.stats.Acked-l.stats.Lost)
	l.stats.Lost += n
	return n
}

// readItemsLocked is how many items of gen were handed out.
func (l *Log) readItemsLocked(gen *generation) uint64 {
	n := gen.ackedIt
	for _, e := range l.flying {
		if e.gen == gen {
			n += uint64(e.Items)
		}
	}
	return n
}

const (
	// quarantineSample bounds what is kept of one damaged run, in bytes.
	quarantineSample = 1 << 20
	// quarantineMax bounds the directory, in files; the oldest goes first.
	quarantineMax = 64
)

// quarantine keeps a copy of what could not be read, so that somebody can look. With bad nil
// the whole generation directory is moved. It returns the name under quarantine/.
func (l *Log) quarantine(gen *generation, bad *damage) string {
	fs, dir := l.store.fs, filepath.Join(l.store.cfg.Dir, "quarantine")
	name := fmt.Sprintf("%s-%s-%016x", time.Now().UTC().Format("20060102T150405.000000000"), l.name, gen.num)
	if err := fs.MkdirAll("quarantine", dir); err != nil {
		l.store.log.Error("no quarantine directory", "err", err)
		return ""
	}
	l.trimQuarantine(dir)
	if bad == nil {
		if err := fs.Rename("quarantine", gen.dir, filepath.Join(dir, name)); err != nil {
			l.store.log.Error("unreadable generation stays where it is", "generation", gen.num, "err", err)
		}
		return name
	}
	name = fmt.Sprintf("%s-%d", name, bad.from)
	f, err := fs.OpenFile("quarantine", filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err == nil {
		_, err = f.Write(bad.bytes)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		l.store.log.Error("damaged bytes could not be kept", "err", err)
	}
	return name
}

func (l *Log) trimQuarantine(dir string) {
	entries, err := l.store.fs.ReadDir("quarantine", dir)
	if err != nil {
		return
	}
	for i := 0; i < len(entries)-quarantineMax+1; i++ {
		if err := l.store.fs.RemoveAll("quarantine", filepath.Join(dir, entries[i].Name())); err != nil {
			return
		}
	}
}
