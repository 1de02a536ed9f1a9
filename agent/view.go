package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"github.com/spillway-io/spillway/wal"
)

// A view is a small database beside the log: how far each generation was acknowledged, and
// where each file stands. Nothing depends on it. Without it a restart delivers a little more
// again, so it may be deleted at any time; one that cannot be opened is moved away.
type view struct {
	db  *bolt.DB // nil: none
	log *slog.Logger
	old map[hintKey]hint // as the earlier process left it
}

type hintKey struct {
	stream wal.Key
	gen    uint64
}

type hint struct {
	offset int64
	items  uint64
}

var hintBucket = []byte("acknowledged")

// viewEvery is how often the view is written: one commit for everything.
const viewEvery = time.Second

func openView(path string, log *slog.Logger) *view {
	v := &view{log: log, old: make(map[hintKey]hint)}
	for range 2 {
		err := v.open(path)
		if err == nil {
			return v
		}
		v.db = nil
		if errors.Is(err, os.ErrNotExist) {
			return v // the directory is made by the log; the first commit tries again
		}
		log.Warn("view cannot be read, beginning a new one; nothing is lost by that", "path", path, "err", err)
		if err := os.Rename(path, path+".bad"); err != nil {
			break
		}
	}
	log.Warn("going on without a view", "path", path)
	return v
}

// open reads everything at once; a damaged file makes bbolt panic, which is caught here.
func (v *view) open(path string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged: %v", p)
		}
	}()
	if err := os.MkdirAll(dirOf(path), 0o700); err != nil {
		return err
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(hintBucket)
		if err != nil {
			return err
		}
		return b.ForEach(func(k, value []byte) error {
			if len(k) == 24 && len(value) == 16 {
				v.old[hintKey{wal.Key(k[:16]), binary.BigEndian.Uint64(k[16:])}] =
					hint{int64(binary.BigEndian.Uint64(value)), binary.BigEndian.Uint64(value[8:])}
			}
			return nil
		})
	})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	allocate(path)
	v.db = db
	return nil
}

// viewRoom is what the view's file may grow to on a full disk, in bytes: some ten thousand generations.
const viewRoom = 1 << 20

// allocate sets blocks aside, so that the view can be written when the disk is full. Where that
// cannot be done, a full disk costs hints and nothing else.
func allocate(path string) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	defer f.Close()
	wal.Allocate(f, viewRoom)
}

func dirOf(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return "."
}

// done is wal.Config.Done.
func (v *view) done(stream wal.Key, gen uint64) (int64, uint64) {
	h := v.old[hintKey{stream, gen}]
	return h.offset, h.items
}

// run commits until ctx is done.
func (v *view) run(ctx context.Context, store *wal.Store) {
	tick := time.NewTicker(viewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := v.commit(store); err != nil {
				v.log.Warn("view cannot be written; a crash now would deliver more again", "err", err)
			}
		}
	}
}

// commit replaces the hints by the present ones, when they have moved.
func (v *view) commit(store *wal.Store) error {
	if v.db == nil {
		return nil
	}
	now := make(map[hintKey]hint)
	store.Progress(func(stream wal.Key, gen uint64, offset int64, items uint64) {
		now[hintKey{stream, gen}] = hint{offset, items}
	})
	same := len(now) == len(v.old)
	for k, h := range now {
		same = same && v.old[k] == h
	}
	if same {
		return nil
	}
	err := v.db.Update(func(tx *bolt.Tx) error {
		if err := tx.DeleteBucket(hintBucket); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
			return err
		}
		b, err := tx.CreateBucket(hintBucket)
		if err != nil {
			return err
		}
		for k, h := range now {
			key := binary.BigEndian.AppendUint64(append([]byte(nil), k.stream[:]...), k.gen)
			value := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(h.offset)), h.items)
			if err := b.Put(key, value); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		v.old = now
	}
	return err
}

func (v *view) close() error {
	if v.db == nil {
		return nil
	}
	return v.db.Close()
}
