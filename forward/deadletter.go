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

// Put keeps a refused record, which begins with its marker, and writes the ledger. After an error
// the record is still the caller's.
func (d *DeadLetters) Put(s Signal, record []byte, why *RefusedError) error {
	m, _, err := ParseMarker(record)
	if err != nil {
		return err
	}
	stream := wal.Key(m.Stream)
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if len(d.recent) == deadLettersPerMinute && now.Sub(d.recent[0]) < time.Minute {
		return ErrStorm
	}
	name := fmt.Sprintf("%s-%s-%s-%d", now.UTC().Format("20060102T150405.000000000"), s, stream, m.Seq)
	about, err := json.Marshal(deadLetter{Time: now.UTC(), Signal: s.String(), Stream: stream.String(), Seq: m.Seq,
		Items: int(m.Items), Reason: why.Reason, Error: why.Error()})
	if err != nil {
		return err
	}
	if err := d.store.DeadLetters().Put(wal.AsideFile{Name: name + ".otlp", Data: record}, wal.AsideFile{Name: name + ".json", Data: append(about, '\n')}); err != nil {
		return err
	}
	d.recent = append(d.recent, now)
	if len(d.recent) > deadLettersPerMinute {
		d.recent = d.recent[1:]
	}
	d.store.Refused(s.String(), stream, m.Seq, m.Seq, int(m.Items), int64(len(record)), fmt.Sprintf("%s; kept as deadletter/%s.otlp", why.Error(), name))
	return nil
}

// Partial writes the ledger about items that are lost out of records that were taken. Which ones
// they are, only the far side's words say.
func (d *DeadLetters) Partial(s Signal, parts []parcelPart, items int, why *PartialError) {
	for len(parts) > 0 {
		n := 1
		for n < len(parts) && parts[n].id.stream == parts[0].id.stream {
			n++
		}
		from, to := parts[0].id.seq, parts[n-1].id.seq
		d.store.Refused(s.String(), parts[0].id.stream, min(from, to), max(from, to), items, 0, why.Error())
		items = 0 // counted once
		parts = parts[n:]
	}
}
