package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// limits settles the cap and the reserve, which by default depend on the file system, and
// refuses one on which the promises cannot be kept.
func (s *Store) limits() error {
	space, err := s.fs.Space(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	switch space.Kind {
	case "nfs", "smb", "smb2", "cifs", "9p", "afs", "ceph":
		return fmt.Errorf("wal: %s is on a network file system (%s), whose locks and fsync do not promise what the log promises: name a directory on a local disk in wal.dir", s.cfg.Dir, space.Kind)
	case "tmpfs", "ramfs":
		s.log.Warn("the log is in memory: what is not delivered is lost with this machine's power or a restart of it; name a directory on a disk in wal.dir", "dir", s.cfg.Dir, "file_system", space.Kind)
	case "overlay":
		s.log.Warn("the log is in a container's own layer: what is not delivered is lost with the container; mount a volume at wal.dir", "dir", s.cfg.Dir)
	case "fuse":
		s.log.Warn("the log is on a FUSE file system: whether its fsync makes anything durable depends on that program", "dir", s.cfg.Dir)
	}
	s.cfg.MaxBytes, s.cfg.MinFreeBytes = defaultLimits(space, s.cfg.MaxBytes, s.cfg.MinFreeBytes)
	if s.cfg.GenerationBytes == 0 {
		// Room is given back a generation at a time, so a small cap needs small ones.
		s.cfg.GenerationBytes = min(defaultGeneration, s.cfg.MaxBytes/16)
	}
	s.budget.init(s.fs, s.cfg)
	return nil
}

// defaultLimits are the cap and the reserve on that file system, where they are not set.
func defaultLimits(space Space, maxBytes, minFree int64) (cap, reserve int64) {
	if maxBytes == 0 {
		maxBytes = min(defaultMaxBytes, space.Size/2)
	}
	if minFree == 0 {
		minFree = min(defaultMinFree, space.Size/10)
	}
	return maxBytes, minFree
}

// Limits are what Usage and Disk of a Store there say: what records may take, and what is left to others. Zeros are not set.
func Limits(space Space, maxBytes, minFree int64) (limit, reserve int64) {
	maxBytes, minFree = defaultLimits(space, maxBytes, minFree)
	return forRecords(maxBytes), minFree
}

// forRecords is what of the cap is for records.
func forRecords(maxBytes int64) int64 { return maxBytes - 2*asideMax(maxBytes) - 2*ledgerMax(maxBytes) }

// asideMax is the sub-cap of quarantine and of dead letters, in bytes.
func asideMax(total int64) int64 { return min(64<<20, total/16) }

// ledgerMax bounds one of the ledger's two files, in bytes.
func ledgerMax(total int64) int64 { return min(4<<20, total/64) }

// Allocate has the file system set blocks aside for the first n bytes of f, without making it
// longer, so that they can be written when the disk is full. Where that cannot be done it is not needed to go on.
func Allocate(f *os.File, n int64) {
	unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, n)
}

// noLink refuses a symbolic link where a directory of ours should be.
func noLink(path string) error {
	st, err := os.Lstat(path)
	if err == nil && st.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("wal: %s is a symbolic link: remove it, or set wal.dir to where it leads", path)
	}
	return nil
}

// SecondsUntilFull is how long the log takes to its cap, or to the reserve of the file system,
// if it goes on growing as over about the last minute. Infinite when it does not grow.
func (s *Store) SecondsUntilFull() float64 { return s.budget.untilFull() }

// Disk is what the file system of the log has free, asked now, and how much of it is left to others:
// below that the log refuses, whatever it may take itself.
func (s *Store) Disk() (free, reserve int64, err error) {
	space, err := s.fs.Space(s.cfg.Dir)
	return space.Free, s.cfg.MinFreeBytes, err
}

// Troubles says in plain words what keeps the store from doing all it should; empty when nothing does.
func (s *Store) Troubles() (list []string) {
	for _, l := range s.order {
		l.mu.Lock()
		broken := l.out == nil && !l.closed
		l.mu.Unlock()
		if broken {
			list = append(list, fmt.Sprintf("lane %s cannot be written: senders are told to wait; see the log for the error", l.name))
		}
		if st := l.Stats(); st.Lost > 0 {
			list = append(list, fmt.Sprintf("lane %s lost %d items since the start: see ledger.jsonl", l.name, st.Lost))
		}
	}
	if wait := s.SecondsUntilFull(); wait < 3600 {
		list = append(list, fmt.Sprintf("the log is full in %s at the rate of the last minute", time.Duration(wait)*time.Second))
	}
	return list
}

var errTooLarge = errors.New("larger than the directory's cap")
