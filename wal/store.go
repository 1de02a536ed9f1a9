package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// A Store is a directory of logs that share one disk budget. One process has it open at a time.
type Store struct {
	cfg    Config
	fs     FS
	log    *slog.Logger
	lock   *os.File
	ledger *ledger
	budget budget
	lanes  map[string]*Log
	order  []*Log
}

// Open opens or makes the directory and every lane in it. It fails only when the directory
// cannot be made, locked or written; damaged files are set aside, not refused.
func Open(cfg Config) (*Store, error) {
	if cfg.FS == nil {
		cfg.FS = OS{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.WhenFull == "" {
		cfg.WhenFull = Refuse
	}
	s := &Store{cfg: cfg, fs: cfg.FS, log: cfg.Log, lanes: make(map[string]*Log)}
	if err := s.fs.MkdirAll("store", cfg.Dir); err != nil {
		return nil, fmt.Errorf("wal: directory: %w", err)
	}
	if err := s.takeLock(); err != nil {
		return nil, err
	}
	if err := s.limits(); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	s.ledger = newLedger(filepath.Join(cfg.Dir, "ledger.jsonl"), s.fs, s.log)
	for _, name := range cfg.Lanes {
		l := newLog(s, name)
		if err := l.open(); err != nil {
			return nil, errors.Join(fmt.Errorf("wal: lane %s: %w", name, err), s.Close())
		}
		s.lanes[name] = l
		s.order = append(s.order, l)
	}
	return s, nil
}

// limits settles the cap and the reserve, which by default depend on the file system.
func (s *Store) limits() error {
	space, err := s.fs.Space(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	size := space.Size
	if s.cfg.MaxBytes == 0 {
		s.cfg.MaxBytes = min(defaultMaxBytes, size/2)
	}
	if s.cfg.MinFreeBytes == 0 {
		s.cfg.MinFreeBytes = min(defaultMinFree, size/10)
	}
	if s.cfg.GenerationBytes == 0 {
		// Room is given back a generation at a time, so a small cap needs small ones.
		s.cfg.GenerationBytes = min(defaultGeneration, s.cfg.MaxBytes/16)
	}
	s.budget.init(s.fs, s.cfg)
	return nil
}

func (s *Store) takeLock() error {
	f, err := os.OpenFile(filepath.Join(s.cfg.Dir, "LOCK"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, filePerm)
	if err != nil {
		return fmt.Errorf("wal: lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("wal: %s is in use by another process: stop it, or give this one its own wal.dir", s.cfg.Dir)
		}
		return fmt.Errorf("wal: lock: %w", err)
	}
	s.lock = f
	return nil
}

// Lane is the log of that name, or nil when it was not in Config.Lanes.
func (s *Store) Lane(name string) *Log { return s.lanes[name] }

// Dir is where the store lives.
func (s *Store) Dir() string { return s.cfg.Dir }

// Usage is the bytes taken and the cap.
func (s *Store) Usage() (used, limit int64) { return s.budget.usage() }

// Refused books records that the far side will never take: the ledger line that promise 3 of
// the design asks for. The record itself is still to be acknowledged.
func (s *Store) Refused(lane string, e *Entry, detail string) {
	s.lost(Loss{Lane: lane, Reason: "refused", Stream: e.Stream.String(), FromSeq: e.Seq, ToSeq: e.Seq,
		Items: uint64(e.Items), Bytes: int64(len(e.Data)), Detail: detail})
}

func (s *Store) lost(l Loss) {
	l = s.ledger.write(l)
	s.log.Error("records lost", "lane", l.Lane, "reason", l.Reason, "stream", l.Stream,
		"from_seq", l.FromSeq, "to_seq", l.ToSeq, "items", l.Items, "bytes", l.Bytes, "detail", l.Detail)
	if s.cfg.OnLoss != nil {
		s.cfg.OnLoss(l)
	}
}

// CloseWrite ends intake on every lane: what was deferred is written, Append fails from
// here on, and Next returns io.EOF once it has caught up.
func (s *Store) CloseWrite() error {
	var errs []error
	for _, l := range s.order {
		errs = append(errs, l.closeWrite())
	}
	return errors.Join(errs...)
}

// Close lets go of the directory. What was not acknowledged is handed out again by the next Open.
func (s *Store) Close() error {
	errs := []error{s.CloseWrite()}
	for _, l := range s.order {
		errs = append(errs, l.close())
	}
	return errors.Join(append(errs, s.ledger.close(), s.lock.Close())...)
}

// A budget keeps all lanes together below the cap and the file system above its reserve.
// Each lane may always use its reserved share, so that one signal cannot starve another.
type budget struct {
	mu       sync.Mutex
	fs       FS
	dir      string
	max      int64
	minFree  int64
	reserved int64 // for each lane
	lanes    int64
	byLane   map[string]int64
	total    int64
	free     int64 // of the file system when last asked, less what was taken since
}

// freeRecheck is how much may be written between two looks at the file system.
const freeRecheck = 4 << 20

func (b *budget) init(fs FS, cfg Config) {
	b.fs, b.dir, b.max, b.minFree = fs, cfg.Dir, cfg.MaxBytes, cfg.MinFreeBytes
	b.lanes = int64(max(1, len(cfg.Lanes)))
	b.reserved = b.max / (8 * b.lanes)
	b.byLane = make(map[string]int64)
	b.free = -1
}

// take charges n bytes to the lane, or says ErrFull.
func (b *budget) take(lane string, n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byLane[lane]+n > b.reserved && b.shared(lane, n) > b.max-b.reserved*b.lanes {
		return fmt.Errorf("%w: %d of %d MiB used: raise wal.max_size_mib or look why delivery is behind", ErrFull, b.total>>20, b.max>>20)
	}
	if b.free-n < b.minFree+freeRecheck {
		space, err := b.fs.Space(b.dir)
		if err != nil {
			return err
		}
		if b.free = space.Free; b.free-n < b.minFree {
			return fmt.Errorf("%w: %d MiB of the file system left, %d MiB are kept free (wal.min_free_mib)", ErrFull, b.free>>20, b.minFree>>20)
		}
	}
	b.charge(lane, n)
	return nil
}

// shared is what all lanes use beyond their reserves, with n more for lane.
func (b *budget) shared(lane string, n int64) (sum int64) {
	for name, used := range b.byLane {
		if name == lane {
			continue
		}
		sum += max(0, used-b.reserved)
	}
	return sum + max(0, b.byLane[lane]+n-b.reserved)
}

// force charges without asking: for what is on disk already, and for headers.
func (b *budget) force(lane string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.charge(lane, n)
}

func (b *budget) charge(lane string, n int64) {
	b.byLane[lane] += n
	b.total += n
	b.free -= n
}

func (b *budget) give(lane string, n int64) { b.force(lane, -n) }

func (b *budget) usage() (used, limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total, b.max
}
