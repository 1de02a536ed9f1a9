package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// A generation is one file.
type generation struct {
	num    uint64
	dir    string
	stream Key
	tag    uint32 // of its frames
	left   *place // where the reader left off to read others; only the reader uses it

	// Guarded by Log.mu.
	head     int64    // length of header and snapshot
	end      int64    // committed: nothing beyond it is read; 0: not even the header
	records  uint64   // committed
	items    uint64   // committed
	charged  int64    // bytes in the budget
	sealed   bool     // end is final
	ragged   bool     // bytes may lie beyond end that nobody may take for durable
	unsure   bool     // found, and could not be synced: no header states its end
	drained  bool     // the reader has passed its end
	gone     bool     // evicted
	keep     bool     // holds what this process could not read: it is moved to quarantine/, not removed
	inFlight int      // handed out and not acknowledged
	handed   uint64   // items that the reader will not bring any more: handed out, or booked as lost
	read     []*Entry // read and not known to be acknowledged, in the order of the file
	ackedTo  int64    // everything before this offset is acknowledged
	ackedIt  uint64   // items before ackedTo
	oldest   int64    // accept time of its first record, unix ns; 0 when not known
}

func (g *generation) file() string { return filepath.Join(g.dir, segmentName) }

// unread is how many items the reader has still to bring. It needs Log.mu.
func (g *generation) unread() uint64 { return g.items - min(g.items, g.handed) }

func genDir(laneDir string, num uint64) string {
	return filepath.Join(laneDir, fmt.Sprintf("%016x", num))
}

// A blank is a generation that exists, names and all, and holds nothing yet.
type blank struct {
	num uint64
	dir string
	out Appender
	err error
}

// prepare makes the next generation's directory and file in the background, so that a roll
// does not wait for it.
func (l *Log) prepare() {
	if l.preparing {
		return
	}
	l.preparing = true
	num := l.nextGen
	l.nextGen++
	go func() {
		b := blank{num: num, dir: genDir(l.dir, num)}
		b.out, b.err = l.create(b.dir)
		l.blanks <- b
	}()
}

// create fsyncs the directories, so that the names are there before anything is put behind them.
func (l *Log) create(dir string) (Appender, error) {
	fs := l.store.fs
	if err := fs.MkdirAll("generation", dir); err != nil {
		return nil, err
	}
	out, err := fs.NewAppender("generation", dir)
	if err != nil {
		return nil, err
	}
	if err := fs.SyncDir("generation", dir); err != nil {
		return out, err
	}
	if err := fs.SyncDir("lane", l.dir); err != nil || l.laneSynced {
		return out, err
	}
	err = fs.SyncDir("lane", l.store.cfg.Dir)
	l.laneSynced = err == nil
	return out, err
}

// discardBlank removes what was prepared and not used.
func (l *Log) discardBlank() {
	if !l.preparing {
		return
	}
	b := <-l.blanks
	l.preparing = false
	if err := l.undo(b); err != nil {
		l.store.log.Warn("unused generation stays, the next start removes it", "lane", l.name, "generation", b.num, "err", err)
	}
}

// begin starts a generation whose first record comes after items: header and snapshot are
// written, and become durable with the first group. Until then it is not committed, and
// nothing older is removed. Nothing may be written and unsynced.
func (l *Log) begin(items uint64) error {
	l.mu.Lock()
	if l.out != nil {
		l.gens[len(l.gens)-1].sealed = true
		go l.out.Close() // synced by its last group; an error costs nothing
		l.out = nil
	}
	l.mu.Unlock()
	l.prepare()
	b := <-l.blanks
	l.preparing = false
	var size int64
	if b.err == nil {
		size, b.err = l.head(b, items)
	}
	if b.err != nil {
		return errors.Join(fmt.Errorf("begin generation %d: %w", b.num, b.err), l.undo(b))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out, l.end, l.inFile, l.tag = b.out, size, 0, fileTag(l.stream, b.num)
	l.store.budget.force(l.name, size)
	l.gens = append(l.gens, &generation{num: b.num, dir: b.dir, stream: l.stream, tag: l.tag, head: size, charged: size})
	return nil
}

// undo removes a generation that nothing was put into.
func (l *Log) undo(b blank) error {
	if b.out != nil {
		b.out.Close() // the file goes
	}
	return l.store.fs.RemoveAll("undo", b.dir)
}

// head writes the header and the snapshot, and returns their length.
func (l *Log) head(to blank, items uint64) (int64, error) {
	b := frameBuffer{tag: fileTag(l.stream, to.num)}
	now := time.Now().UnixNano()
	header := genHeader{stream: l.stream, lane: l.name, ends: l.endings()}.append(nil)
	b.add(frame{typ: frameGeneration, seq: to.num, cumItems: items, accepted: now, data: header}, payloadCRC(nil, header))
	if l.fold != nil {
		snapshot := l.fold.Snapshot(nil)
		b.add(frame{typ: frameSnapshot, seq: to.num, accepted: now, data: snapshot}, payloadCRC(nil, snapshot))
	}
	return b.size(), to.out.Append(b.slices())
}

// beginEmpty starts a generation that is durable before it holds anything.
func (l *Log) beginEmpty() error {
	if err := l.begin(0); err != nil {
		return err
	}
	if err := l.out.Sync(); err != nil {
		l.failed(err)
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.committedLocked(0)
	return nil
}

// committedLocked moves the committed end of the newest generation by n bytes.
func (l *Log) committedLocked(n int64) {
	gen := l.gens[len(l.gens)-1]
	first := gen.end == 0
	if first {
		gen.end = gen.head
	}
	gen.end += n
	if first { // its header states where the older ones end, and what it made superfluous may go now
		for _, g := range slices.Clone(l.gens) {
			g.ragged = false
			l.collectLocked(g)
		}
	}
}

// endings states where every earlier generation ends: each header holds them all, so that
// the newest is enough whichever older ones are gone.
func (l *Log) endings() (ends []ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.gens {
		if g.unsure {
			continue // a power cut may move it; the next start looks for itself
		}
		ends = append(ends, ending{gen: g.num, end: g.end, records: g.records, items: g.items, stream: g.stream})
	}
	return ends
}
