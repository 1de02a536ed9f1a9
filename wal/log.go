package wal

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// String is the key in hex.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// newKey mints a stream. rand.Read does not fail.
func newKey() (k Key) {
	rand.Read(k[:])
	return k
}

// A Record is what a lane stores. The log does not look into Meta or Data.
type Record struct {
	Items    int   // how many items Data holds: for accounting only
	Accepted int64 // when it was taken in, unix nanoseconds; 0: now
	Meta     []byte
	Data     []byte
}

// named says whether records like this have a number of their own. One that only carries meta has
// none: it is never delivered, and its number would be missed where the others arrive.
func named(items int, data []byte) bool { return items > 0 || len(data) > 0 }

// An Entry is a record handed out by Next. Meta and Data are valid until the next call of Next.
// Every entry is given back with Ack, once.
type Entry struct {
	Stream   Key
	Seq      uint64
	Items    int
	CumItems uint64 // items of the stream up to and including this record
	Accepted int64
	Meta     []byte
	Data     []byte

	gen    *generation // nil while it is only in memory
	end    int64       // where it ends in its file
	inFile uint64      // items in its file up to and including it
	size   int64       // what it takes in a file
	out    bool        // handed out while only in memory
	taken  bool        // being written
	acked  bool
}

// A Log is one lane: many appenders, one reader.
type Log struct {
	store  *Store
	name   string
	dir    string
	stream Key
	fold   Fold

	wake     chan struct{} // to the committer: there is work
	readable chan struct{} // to the reader: there may be an entry
	sweep    chan struct{} // to the sweeper: there may be a generation to remove
	stop     chan struct{} // closed by close
	ended    chan struct{} // closed when the committer has returned
	running  sync.WaitGroup
	pendings sync.Pool // of *pending

	mu          sync.Mutex
	queue       []*pending
	deferred    []*Entry // in memory only, oldest first; overflow mode
	handedOut   int      // how many of deferred Next has given out
	deferredSum int64
	spill       bool     // the committer is to write deferred
	metaDue     [][]byte // of deferred entries that were delivered without being written
	closed      bool
	nextSeq     uint64
	cumItems    uint64
	gens        []*generation // oldest first; the last is the newest and never removed
	garbage     []*generation
	aside       []*generation // to be moved to quarantine/ whole
	holdBack    bool          // the reader passes over what an earlier process left
	blocked     bool          // the reader waits for a file that could not be read just now
	flying      []*Entry      // handed out, in order; acknowledged ones leave from the front
	waiting     int64         // accept time of the first record since the reader had caught up; 0: none
	stats       Stats

	// Only the committer uses these.
	unused     uint64 // the first number of a failed append since the last good one, see adr/0005
	hasUnused  bool
	out        Appender
	end        int64         // of the newest generation as written
	inFile     uint64        // items in it as written
	written    []*group      // beyond its committed end, oldest first
	toSync     chan Appender // to syncLoop: one for each group written
	synced     chan synced   // from it
	nextGen    uint64
	blanks     chan blank
	preparing  bool   // a blank is in blanks, or will be
	laneSynced bool   // the lane's own name is durable; only create uses it
	tag        uint32 // of the newest generation's frames

	rd reader // only the reader uses it; rd.skip is guarded by mu
}

// Stats counts items and bytes since Open; Recovered is what Open found.
// Recovered + Appended = Acked + Lost + Held.
type Stats struct {
	Recovered uint64 // items on disk at Open that were not known to be acknowledged
	Appended  uint64 // items taken
	Acked     uint64 // items acknowledged
	Lost      uint64 // items evicted or unreadable
	Held      uint64 // items in the log
	Bytes     int64  // on disk, and in memory when deferred
	Deferred  int64  // bytes only in memory
	Files     int
	Oldest    time.Time // accept time of the oldest unacknowledged record; zero when there is none
	Failures  uint64    // write and sync errors
}

func newLog(s *Store, name string) *Log {
	l := &Log{
		store: s, name: name, dir: filepath.Join(s.cfg.Dir, name), stream: newKey(),
		wake: make(chan struct{}, 1), readable: make(chan struct{}, 1), sweep: make(chan struct{}, 1),
		toSync: make(chan Appender, maxGroups), synced: make(chan synced, 1), blanks: make(chan blank, 1), stop: make(chan struct{}), ended: make(chan struct{}), rd: reader{skip: make(map[uint64]*Entry)},
	}
	if s.cfg.NewFold != nil {
		l.fold = s.cfg.NewFold(name)
	}
	return l
}

func (l *Log) open() error {
	if err := l.store.fs.MkdirAll("lane", l.dir); err != nil {
		return err
	}
	if err := l.recover(); err != nil {
		return err
	}
	if err := l.beginEmpty(); err != nil {
		// A full or failing disk does not keep the node from starting: Append tries again.
		l.store.log.Error("log cannot be written, taking nothing in until it can", "lane", l.name, "err", err)
	}
	l.running.Go(l.sweepLoop)
	go l.syncLoop()
	go l.commitLoop()
	return nil
}

// Stream is what this process's records are of.
func (l *Log) Stream() Key { return l.stream }

// Name is the lane's.
func (l *Log) Name() string { return l.name }

// Stats is a snapshot.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Held = s.Recovered + s.Appended - s.Acked - s.Lost
	s.Deferred = l.deferredSum
	s.Files = len(l.gens)
	s.Bytes = l.deferredSum
	for _, g := range l.gens {
		s.Bytes += g.charged
	}
	if oldest := l.oldestLocked(); s.Held > 0 && oldest != 0 {
		s.Oldest = time.Unix(0, oldest)
	}
	return s
}

// oldestLocked is when the oldest unacknowledged record was accepted, unix ns; 0 when not known.
func (l *Log) oldestLocked() int64 {
	if len(l.flying) > 0 {
		return l.flying[0].Accepted
	}
	if l.waiting != 0 {
		return l.waiting
	}
	for _, g := range l.gens {
		if g.oldest != 0 && !g.drained {
			return g.oldest
		}
	}
	return 0
}

// Progress is how far each generation is acknowledged, for Config.Done of a later process.
func (s *Store) Progress(visit func(stream Key, gen uint64, offset int64, items uint64)) {
	for _, l := range s.order {
		l.progress(visit)
	}
}

func (l *Log) progress(visit func(stream Key, gen uint64, offset int64, items uint64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.gens {
		if g.ackedTo > 0 {
			visit(g.stream, g.num, g.ackedTo, g.ackedIt)
		}
	}
}

// closeWrite ends intake and waits until what was accepted is on disk.
func (l *Log) closeWrite() error {
	l.mu.Lock()
	l.closed = true
	l.spill = true
	l.mu.Unlock()
	signal(l.wake)
	<-l.ended
	signal(l.readable)
	if left := l.Stats().Deferred; left > 0 {
		return fmt.Errorf("wal: lane %s: %d bytes that were held in memory could not be written and are lost if not delivered now", l.name, left)
	}
	return nil
}

func (l *Log) close() error {
	select {
	case <-l.stop:
		return nil
	default:
	}
	close(l.stop)
	l.running.Wait()
	l.sweepOnce()
	l.moveAside()
	l.rd.close()
	return nil
}

// signal wakes whoever waits on c, without waiting.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
