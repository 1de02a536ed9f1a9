package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// A KeptFile is something below quarantine/ or deadletter/ that Purge is to remove, and what
// the ledger is to say about it.
type KeptFile struct {
	Names []string // below the directory
	Loss  Loss
}

// Purge removes data that must go: every generation of cfg.Lanes that pick names, and files.
// Each is in the ledger, with reason "purged", before it is removed. It opens the log, so it
// fails while another process has it open; and since every open begins a generation with
// the folded meta at its head, what was the newest generation may go as well. It returns what it removed.
func Purge(cfg Config, pick func(*GenerationInfo) bool, files []KeptFile) (purged []*GenerationInfo, err error) {
	s, err := Open(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	in := &Inspector{path: cfg.Dir}
	for _, l := range s.order {
		infos, err := in.readLane(l.name, nil)
		if err != nil {
			return purged, err
		}
		for _, g := range infos {
			if g.State == Empty || g.Stream == l.stream || !pick(g) {
				continue
			}
			if !l.begun() {
				return purged, fmt.Errorf("wal: lane %s: generation %016x stays, since no new one could be begun to keep what is known of files: see that the disk has room and can be written", l.name, g.Number)
			}
			if err := l.purge(g); err != nil {
				return purged, err
			}
			purged = append(purged, g)
		}
	}
	for _, f := range files {
		f.Loss.Reason = reasonPurged
		s.lost(f.Loss)
		for _, name := range f.Names {
			path := filepath.Join(cfg.Dir, name)
			err = errors.Join(err, s.fs.RemoveAll("purge", path), s.fs.SyncDir("purge", filepath.Dir(path)))
		}
	}
	return purged, err
}

const reasonPurged = "purged"

// begun says that this process's first generation is durable.
func (l *Log) begun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.gens) == 0 {
		return false
	}
	newest := l.gens[len(l.gens)-1]
	return newest.stream == l.stream && newest.end > 0
}

// purge removes one generation of an earlier process; the reader has not begun.
func (l *Log) purge(g *GenerationInfo) error {
	lost := Loss{Lane: l.name, Reason: reasonPurged, FromSeq: g.FirstSeq, ToSeq: g.ToSeq, Items: g.Items, Bytes: g.Bytes,
		Detail: fmt.Sprintf("generation %d, records %d, removed by hand; some may have been delivered before", g.Number, g.Records)}
	if g.Records > 0 {
		lost.FromTime, lost.ToTime = time.Unix(0, g.Oldest).UTC(), time.Unix(0, g.Newest).UTC()
	}
	if g.StreamKnown {
		lost.Stream = g.Stream.String()
	}
	l.store.lost(lost)
	if err := l.store.fs.RemoveAll("purge", genDir(l.dir, g.Number)); err != nil {
		return err
	}
	return l.store.fs.SyncDir("purge", l.dir)
}
