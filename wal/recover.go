package wal

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
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
	headless := make(map[*generation]error)
	for _, num := range nums {
		g := &generation{num: num, dir: genDir(l.dir, num), sealed: true}
		l.nextGen = num + 1
		h, err := l.readHeader(g)
		if err == nil && (h.num != num || h.lane != l.name) {
			l.loseUnread(g, fmt.Errorf("it says that it is generation %d of lane %q: %w", h.num, h.lane, errForeign))
			continue
		}
		if err != nil {
			headless[g] = err
		}
		g.stream = h.stream
		for _, e := range h.ends {
			stated[e.gen] = e
		}
		l.gens = append(l.gens, g)
	}
	newest := len(l.gens) - 1
	l.gens = slices.DeleteFunc(l.gens, func(g *generation) bool {
		e, known := stated[g.num]
		return !l.identify(g, headless[g], e) || !l.settle(g, e, known, g == l.gens[newest])
	})
	for _, g := range l.gens {
		l.store.budget.force(l.name, g.charged)
		l.stats.Recovered += g.items
	}
	l.forgetDone()
	return nil
}

// identify gives g its stream when its header could not be read, and says whether g is to be
// kept. A header damaged on disk loses no record: a later one may state the stream, and if none
// does, the records get a stream of their own.
func (l *Log) identify(g *generation, err error, e ending) bool {
	switch {
	case err == nil:
		g.tag = fileTag(g.stream, g.num)
		return true
	case errors.Is(err, errBlank) && e.end == 0:
		l.removeBlank(g)
		return false
	case e.stream != Key{}:
		g.stream, g.tag = e.stream, fileTag(e.stream, g.num)
	case errors.Is(err, errFrame) || errors.Is(err, errShort) || errors.Is(err, errNewer):
		g.stream = newKey()
	default:
		l.loseUnread(g, err)
		return false
	}
	l.store.log.Warn("generation header cannot be read, keeping what follows it", "lane", l.name, "generation", g.num, "err", err)
	return true
}

// removeBlank removes a generation that was never used, unless somebody put something into it.
func (l *Log) removeBlank(g *generation) {
	entries, err := l.store.fs.ReadDir("undo", g.dir)
	switch {
	case err == nil && (len(entries) > 1 || len(entries) == 1 && entries[0].Name() != segmentName):
		err = errForeign
	case err == nil:
		err = l.store.fs.RemoveAll("undo", g.dir)
	}
	if err != nil {
		l.store.log.Warn("unused generation stays", "lane", l.name, "generation", g.num, "err", err)
	}
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
		if err != nil || len(e.Name()) != 16 || !e.IsDir() || num > maxGenerations {
			l.store.log.Warn("not a generation, left alone", "lane", l.name, "name", e.Name())
			continue
		}
		nums = append(nums, num)
	}
	slices.Sort(nums)
	return nums, nil
}

// maxGenerations keeps a directory that only looks like a generation from using up the numbers.
const maxGenerations = 1 << 48

var (
	// errBlank says that a generation was prepared and never used.
	errBlank = errors.New("empty")
	// errTag is a frame that was not written to this file.
	errTag = fmt.Errorf("of another file: %w", errFrame)
	// errForeign says that a generation was put here by somebody else: a copy, or another lane's.
	errForeign = errors.New("not of this place")
)

func (l *Log) readHeader(g *generation) (genHeader, error) {
	f, err := openTwice(l.store.fs, "header", g.file(), os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return genHeader{}, fmt.Errorf("%w: %w", errBlank, err) // made ahead, and not even its file
	}
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
	h, err := parseGenHeader(fr.data)
	h.num = fr.seq
	return h, err
}

// openTwice tries again at once: not every error is there to stay, and what cannot be opened is
// set aside.
func openTwice(fs FS, op, name string, flag int) (File, error) {
	f, err := fs.OpenFile(op, name, flag)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f, err = fs.OpenFile(op, name, flag)
	}
	return f, err
}

// passing says that err is about this process or this moment, and not about the file.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EINTR, syscall.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// settle finds where g ends and what is in it, and folds the newest one's meta. It says
// whether g is to be kept.
func (l *Log) settle(g *generation, e ending, known, newest bool) bool {
	known = known && e.stream == g.stream
	if known && !newest {
		g.end, g.records, g.items, g.charged = e.end, e.records, e.items, e.end
		return true
	}
	f, err := openTwice(l.store.fs, "recover", g.file(), os.O_RDWR)
	if errors.Is(err, syscall.EROFS) || errors.Is(err, os.ErrPermission) {
		f, err = openTwice(l.store.fs, "recover", g.file(), os.O_RDONLY)
	}
	var st os.FileInfo
	if err == nil {
		defer f.Close()
		st, err = f.Stat()
	}
	if err != nil {
		l.loseUnread(g, err)
		return false
	}
	// What survived a kill -9 may be in the page cache only; it is served from here on, so make it
	// durable first. What was acknowledged is durable already: an error costs nothing of that.
	if err := f.Sync(); err != nil {
		g.unsure = true
		l.store.log.Warn("what the last process left cannot be synced", "lane", l.name, "generation", g.num, "err", err)
	}
	limit := st.Size()
	if known {
		limit = min(limit, e.end)
	}
	if err := l.scan(g, f, limit); err != nil {
		// What is beyond may come to light when this file is read by the next process, or by hand.
		g.keep, g.charged = true, limit
		l.store.lost(Loss{Lane: l.name, Reason: "corrupt", Stream: g.stream.String(), Bytes: limit - g.end,
			Detail: fmt.Sprintf("generation %d cannot be read from %d on, how many items are there is not known: %v", g.num, g.end, err)})
	}
	return true
}

// loseUnread gives up on a generation of which nothing is known.
func (l *Log) loseUnread(g *generation, err error) {
	if passing(err) {
		l.store.log.Error("generation left for the next start", "lane", l.name, "generation", g.num, "err", err)
		return
	}
	name := l.quarantine(g, nil)
	l.store.lost(Loss{Lane: l.name, Reason: "corrupt", Stream: g.stream.String(),
		Detail: fmt.Sprintf("generation %d, how many items are in it is not known: %v; moved to %s", g.num, err, name)})
}

// scan reads a whole generation. The end is where the last good frame ends: a torn tail
// was never acknowledged. Damage before that is left to the reader, which accounts for it.
func (l *Log) scan(g *generation, f File, limit int64) error {
	r := reader{file: f}
	for {
		fr, n, err := parseEntry(r.buf)
		switch {
		case err == nil && !g.tagged(fr):
			r.step(n)
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
		case errors.Is(err, errNewer):
			r.step(n)
			g.end = r.at // whole, and so it was written on purpose
			g.items = max(g.items, fr.inFile)
		default:
			r.step(min(max(n, resync(r.buf)), len(r.buf)))
		}
	}
}

// tagged says that fr was written to g. When g's stream is not known, the first frame tells.
func (g *generation) tagged(fr frame) bool {
	if g.tag == 0 {
		g.tag = fr.tag
	}
	return g.tag == fr.tag
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
		g.items = fr.inFile // what is damaged before it counts: the reader will say that it is lost
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
			g.ackedTo, g.ackedIt, g.handed = off, items, items
			l.stats.Recovered -= items
		}
	}
}

// mend accounts for damage that the reader stepped over, once the next good record says how
// many items were before it, or the end of the generation does. seq is that record's number; 0
// at the end.
func (l *Log) mend(gen *generation, before uint64, at int64, seq uint64) {
	bad := l.rd.bad
	if bad == nil {
		return
	}
	l.rd.bad = nil
	lost := before - min(before, l.rd.last)
	l.mu.Lock()
	for seq, e := range l.rd.skip { // handed out from memory: nobody needs them from here
		if e.gen == gen && e.end > bad.from && e.end <= at {
			lost -= min(lost, uint64(e.Items))
			delete(l.rd.skip, seq)
		}
	}
	gen.handed += lost
	gen.keep = gen.keep || bad.newer
	lost = l.loseLocked(lost)
	l.mu.Unlock()
	name := l.quarantine(gen, bad)
	loss := Loss{Lane: l.name, Reason: "corrupt", Stream: gen.stream.String(), Items: lost, Bytes: at - bad.from}
	if l.rd.next > 0 && seq > l.rd.next {
		loss.FromSeq, loss.ToSeq = l.rd.next, seq-1
	}
	loss.Detail = fmt.Sprintf("generation %d at %d: %v; bytes kept in %s", gen.num, bad.from, bad.err, name)
	l.store.lost(loss)
}

// loseLocked books n items as lost, and never more than are held.
func (l *Log) loseLocked(n uint64) uint64 {
	n = min(n, l.stats.Recovered+l.stats.Appended-l.stats.Acked-l.stats.Lost)
	l.stats.Lost += n
	return n
}

// moveAside moves generations that hold what this process could not read to quarantine/, once
// everything else in them is acknowledged. A newer spillway, or somebody, may read them.
func (l *Log) moveAside() {
	l.mu.Lock()
	list := l.aside
	l.aside = nil
	l.mu.Unlock()
	for _, g := range list {
		l.quarantine(g, nil)
		l.store.budget.give(l.name, g.charged)
	}
}

// quarantineSample bounds what is kept of one damaged run, in bytes.
const quarantineSample = 1 << 20

// quarantine keeps a copy of what could not be read, so that somebody can look. With bad nil
// the whole generation directory is moved. It returns the name under quarantine/.
func (l *Log) quarantine(gen *generation, bad *damage) string {
	name := fmt.Sprintf("%s-%s-%016x", time.Now().UTC().Format("20060102T150405.000000000"), l.name, gen.num)
	if bad == nil {
		if err := l.store.quarantine.Take(gen.dir, name); err != nil {
			l.store.log.Error("unreadable generation stays where it is", "generation", gen.num, "err", err)
		}
		return name
	}
	name = fmt.Sprintf("%s-%d", name, bad.from)
	sample := bad.bytes[:min(int64(len(bad.bytes)), l.store.quarantine.max)]
	if err := l.store.quarantine.Put(AsideFile{Name: name, Data: sample}); err != nil {
		l.store.log.Error("damaged bytes could not be kept", "err", err)
	}
	return name
}
