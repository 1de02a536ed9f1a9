package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spillway-io/spillway/wal"
)

// DeadLetters keeps records that the far side refused for good: one file of OTLP bytes with
// its marker, so that it can be looked at and sent again, and one line about it beside it.
type DeadLetters struct {
	store *wal.Store

	mu     sync.Mutex
	recent []time.Time
}

// deadLettersPerMinute: more than this is taken for a fault of configuration, and held.
const deadLettersPerMinute = 5

// ErrStorm says that too many records were refused lately to believe that the records are at fault.
var ErrStorm = errors.New("more than 5 records refused within a minute: looks like a fault of configuration, nothing is given up")

// NewDeadLetters keeps them below the store's directory.
func NewDeadLetters(store *wal.Store) *DeadLetters {
	return &DeadLetters{store: store}
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
	name := fmt.Sprintf("%s-%s-%s-%d", now.UTC().Format("20060102T150405.000000000"), s, e.Stream, e.Seq)
	about, err := json.Marshal(deadLetter{Time: now.UTC(), Signal: s.String(), Stream: e.Stream.String(), Seq: e.Seq,
		Items: e.Items, Reason: why.Reason, Error: why.Error()})
	if err != nil {
		return err
	}
	if err := d.store.DeadLetters().Put(wal.AsideFile{Name: name + ".otlp", Data: body}, wal.AsideFile{Name: name + ".json", Data: append(about, '\n')}); err != nil {
		return err
	}
	d.recent = append(d.recent, now)
	if len(d.recent) > deadLettersPerMinute {
		d.recent = d.recent[1:]
	}
	d.store.Refused(s.String(), e, fmt.Sprintf("%s; kept as deadletter/%s.otlp", why.Error(), name))
	return nil
}
