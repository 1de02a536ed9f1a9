package wal

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The ledger is one JSON object a line, one line a loss: which records, how many, why.
// It is bounded: at its cap it moves to ledger.jsonl.1 and begins again. Its blocks are
// allocated when it is opened, so that a line can be written on a full disk.
type ledger struct {
	mu   sync.Mutex
	path string
	max  int64 // of one of the two files
	fs   FS
	log  *slog.Logger
	file File
	size int64
}

func newLedger(path string, cap int64, fs FS, log *slog.Logger) *ledger {
	g := &ledger{path: path, max: ledgerMax(cap), fs: fs, log: log}
	if err := g.open(); err != nil {
		log.Warn("the ledger cannot be opened, tried again with the first loss", "err", err)
	}
	return g
}

// write stamps l and stores it durably; a loss that cannot be written is still logged by the caller.
func (g *ledger) write(l Loss) Loss {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.Time = time.Now().UTC()
	line, err := json.Marshal(l)
	if err != nil {
		g.log.Error("ledger line", "err", err)
		return l
	}
	if err := g.append(append(line, '\n')); err != nil {
		g.log.Error("the ledger cannot be written; this log line is the only record of the loss", "err", err)
	}
	return l
}

// append needs mu.
func (g *ledger) append(line []byte) error {
	if g.file == nil {
		if err := g.open(); err != nil {
			return err
		}
	}
	if g.size+int64(len(line)) > g.max && g.size > 0 {
		g.file.Close()
		g.file = nil
		if err := g.fs.Rename("ledger", g.path, g.path+".1"); err != nil {
			return err
		}
		if err := g.open(); err != nil {
			return err
		}
	}
	if _, err := g.file.Write(line); err != nil {
		return err
	}
	g.size += int64(len(line))
	return g.file.Sync()
}

func (g *ledger) open() error {
	f, err := g.fs.OpenFile("ledger", g.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	if file, ok := f.(*os.File); ok {
		Allocate(file, g.max)
	}
	if st.Size() == 0 {
		if err := g.fs.SyncDir("ledger", filepath.Dir(g.path)); err != nil {
			f.Close()
			return err
		}
	}
	g.file, g.size = f, st.Size()
	return nil
}

func (g *ledger) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.file == nil {
		return nil
	}
	err := g.file.Close()
	g.file = nil
	return err
}
