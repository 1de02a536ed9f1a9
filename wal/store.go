package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

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

	quarantine, deadLetters *Aside

	lanes map[string]*Log
	order []*Log
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
	if err := s.fs.SyncDir("store", filepath.Dir(cfg.Dir)); err != nil { // else power loss can take a new store, name and all
		s.log.Warn("the name of the log's directory may not survive power loss", "dir", cfg.Dir, "err", err)
	}
	if err := s.takeLock(); err != nil {
		return nil, err
	}
	if err := s.limits(); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	s.ledger = newLedger(filepath.Join(cfg.Dir, "ledger.jsonl"), s.cfg.MaxBytes, s.fs, s.log)
	s.quarantine = s.newAside("quarantine")
	s.deadLetters = s.newAside("deadletter")
	for _, name := range cfg.Lanes {
		if err := noLink(filepath.Join(cfg.Dir, name)); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		l := newLog(s, name)
		if err := l.open(); err != nil {
			return nil, errors.Join(fmt.Errorf("wal: lane %s: %w", name, err), s.Close())
		}
		s.lanes[name] = l
		s.order = append(s.order, l)
	}
	return s, nil
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

// DeadLetters is the bounded directory for records that the far side refused for good.
func (s *Store) DeadLetters() *Aside { return s.deadLetters }

// Dir is where the store lives.
func (s *Store) Dir() string { return s.cfg.Dir }

// Usage is the bytes that records take and the cap for them, which is what Config.MaxBytes
// leaves beside the ledger, quarantine and dead letters.
func (s *Store) Usage() (used, limit int64) { return s.budget.usage() }

// Refused books items that the far side will never take: the ledger line that promise 3 of the
// design asks for. They are in the records from one number to another of a stream, which need not
// be of this log. The records themselves are still to be acknowledged.
func (s *Store) Refused(lane string, stream Key, from, to uint64, items int, bytes int64, detail string) {
	s.lost(Loss{Lane: lane, Reason: "refused", Stream: stream.String(), FromSeq: from, ToSeq: to, Items: uint64(items), Bytes: bytes, Detail: detail})
}

// Missed writes down what never came to be a record: bytes of a source that nobody will read.
func (s *Store) Missed(lane string, bytes int64, reason, source string) {
	s.ledger.write(Loss{Lane: lane, Reason: "missed", Bytes: bytes, Detail: source + ": " + reason})
}

// unused writes down numbers that no record got, so that nobody misses them.
func (s *Store) unused(l *Log, from, to uint64) {
	s.ledger.write(Loss{Lane: l.name, Reason: "unused", Stream: l.stream.String(), FromSeq: from, ToSeq: to,
		Detail: "the numbers of records that could not be written, and whose senders were told so"})
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
