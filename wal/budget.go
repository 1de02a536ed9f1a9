package wal

import (
	"fmt"
	"math"
	"sync"
	"time"
)

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

	free   int64 // of the file system when last asked, less what was taken since
	unseen int64 // taken since then

	growth float64 // of total, in bytes a second, over about the last minute
	grown  time.Time
}

const (
	// freeRecheck is how much may be written between two looks at the file system.
	freeRecheck = 4 << 20
	// minInodes is what is left to others; a generation takes two.
	minInodes = 64
	// growthOver is how far back the growth of the log is averaged.
	growthOver = time.Minute
)

func (b *budget) init(fs FS, cfg Config) {
	b.fs, b.dir, b.minFree = fs, cfg.Dir, cfg.MinFreeBytes
	b.max = forRecords(cfg.MaxBytes)
	b.lanes = int64(max(1, len(cfg.Lanes)))
	b.reserved = b.max / (8 * b.lanes)
	b.byLane = make(map[string]int64)
	b.unseen = freeRecheck
	b.grown = time.Now()
}

// take charges n bytes to the lane, or says ErrFull. short is what was lacking of the file
// system then; 0: it was not that.
func (b *budget) take(lane string, n int64) (short int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byLane[lane]+n > b.reserved && b.shared(lane, n) > b.max-b.reserved*b.lanes {
		return 0, fmt.Errorf("%w: %d of %d MiB used: raise wal.max_size_mib or look why delivery is behind", ErrFull, b.total>>20, b.max>>20)
	}
	if b.unseen+n > freeRecheck || b.free-n < b.minFree+freeRecheck {
		if short, err = b.look(n); err != nil {
			return short, err
		}
	}
	b.charge(lane, n)
	return 0, nil
}

// look asks the file system whether n more bytes leave its reserve alone.
func (b *budget) look(n int64) (short int64, err error) {
	space, err := b.fs.Space(b.dir)
	if err != nil {
		return 0, err
	}
	b.free, b.unseen = space.Free, 0
	if space.Inodes >= 0 && space.Inodes < minInodes {
		return math.MaxInt64, fmt.Errorf("%w: %d inodes of the file system left, %d are left to others: remove files, or make the file system with more inodes", ErrFull, space.Inodes, minInodes)
	}
	if short = b.minFree + n - b.free; short > 0 {
		return short, fmt.Errorf("%w: %d MiB of the file system left, %d MiB are kept free (wal.min_free_mib)", ErrFull, b.free>>20, b.minFree>>20)
	}
	return 0, nil
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
	b.unseen += max(0, n)
	b.decay()
	b.growth += float64(n) / growthOver.Seconds()
}

// decay lets the growth of the past count less by the second.
func (b *budget) decay() {
	now := time.Now()
	b.growth *= math.Exp(-now.Sub(b.grown).Seconds() / growthOver.Seconds())
	b.grown = now
}

func (b *budget) give(lane string, n int64) { b.force(lane, -n) }

func (b *budget) usage() (used, limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total, b.max
}

// overReserve says whether the lane uses more than is set aside for it.
func (b *budget) overReserve(lane string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byLane[lane] > b.reserved
}

// untilFull is when the log refuses if it goes on growing as it did over the last minute;
// infinite if it does not grow.
func (b *budget) untilFull() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.decay()
	room := b.max - b.total
	if b.unseen < freeRecheck { // else free is not known
		room = min(room, b.free-b.minFree)
	}
	if b.growth < 1 {
		return math.Inf(1)
	}
	return float64(max(0, room)) / b.growth
}
