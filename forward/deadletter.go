package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spillway-io/spillway/wal"
)

// DeadLetters keeps records that the far side refused for good: one file of OTLP bytes with
// its marker, so that it can be looked at and sent again, and one line about it beside it.
type DeadLetters struct {
	dir   string
	store *wal.Store

	mu     sync.Mutex
	recent []time.Time
}

const (
	// deadLettersPerMinute: more than this is taken for a fault of configuration, and held.
	deadLettersPerMinute = 5
	// maxDeadLetters bounds the directory, in records; the oldest goes first.
	maxDeadLetters = 256
)

// ErrStorm says that too many records were refused lately to believe that the records are at fault.
var ErrStorm = errors.New("more than 5 records refused within a minute: looks like a fault of configuration, nothing is given up")

// NewDeadLetters keeps them below the store's directory.
func NewDeadLetters(store *wal.Store) *DeadLetters {
	return &DeadLetters{dir: filepath.Join(store.Dir(), "deadletter"), store: store}
}

type deadLetter struct {
	Time   time.Time `json:"time"`
	Signal string    `json:"signal"`
	Stream string    `json:"stream"`
	Seq    uint64    `json:"seq"`
	Items  int       `json:"items"`
	Reason string    `json:"reason"`
	Error  string    `json:"error"`
}

// Put keeps a refused record and writes the ledger. After an error the record is still the caller's.
func (d *DeadLetters) Put(s Signal, e *wal.Entry, body []byte, why *RefusedError) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if len(d.recent) == deadLettersPerMinute && now.Sub(d.recent[0]) < time.Minute {
		return ErrStorm
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	d.trim()
	name := filepath.Join(d.dir, fmt.Sprintf("%s-%s-%s-%d", now.UTC().Format("20060102T150405.000000000"), s, e.Stream, e.Seq))
	about, err := json.Marshal(deadLetter{Time: now.UTC(), Signal: s.String(), Stream: e.Stream.String(), Seq: e.Seq,
		Items: e.Items, Reason: why.Reason, Error: why.Error()})
	if err != nil {
		return err
	}
	if err := writeSynced(name+".otlp", body); err != nil {
		return err
	}
	if err := writeSynced(name+".json", append(about, '\n')); err != nil {
		return err
	}
	d.recent = append(d.recent, now)
	if len(d.recent) > deadLettersPerMinute {
		d.recent = d.recent[1:]
	}
	d.store.Refused(s.String(), e, fmt.Sprintf("%s; kept as deadletter/%s.otlp", why.Error(), filepath.Base(name)))
	return nil
}

// trim needs mu.
func (d *DeadLetters) trim() {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return
	}
	for i := 0; i < len(entries)-2*maxDeadLetters+2; i++ {
		os.Remove(filepath.Join(d.dir, entries[i].Name()))
	}
}

func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
