package forward

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/spillway-io/spillway/wal"
)

// BatchConfig has the keys of the OpenTelemetry Collector's batch processor. A batch leaves
// when it holds send_batch_size items, when the next record would take it over
// send_batch_max_size_mib, or when its oldest record has waited timeout.
type BatchConfig struct {
	SendBatchSize       int           `yaml:"send_batch_size"`         // records, spans or data points at which a batch leaves
	SendBatchMaxSizeMiB int           `yaml:"send_batch_max_size_mib"` // of protobuf, before compression, at which a batch leaves; a single larger record goes alone
	Timeout             time.Duration `yaml:"timeout"`                 // how long the first of a batch waits for company
}

// DefaultBatchConfig is the agent's: 8192 items, 3 MiB (so that the message passes a peer's
// default limit of 4 MiB), 5 s.
func DefaultBatchConfig() BatchConfig {
	return BatchConfig{SendBatchSize: 8192, SendBatchMaxSizeMiB: 3, Timeout: 5 * time.Second}
}

// Validate names everything that is wrong.
func (c BatchConfig) Validate() error {
	var errs []error
	if c.SendBatchSize <= 0 {
		errs = append(errs, errors.New("send_batch_size must be positive, for instance 8192"))
	}
	if c.SendBatchMaxSizeMiB < 0 {
		errs = append(errs, errors.New("send_batch_max_size_mib cannot be negative"))
	}
	if c.Timeout <= 0 {
		errs = append(errs, errors.New("timeout must be positive, for instance 5s"))
	}
	return errors.Join(errs...)
}

// A Batcher joins the records of a log into batches. It waits only while a batch is neither
// full nor old, and never when the log has ended.
type Batcher struct {
	cfg  BatchConfig
	next func(context.Context) (*wal.Entry, error) // what it returns is valid until the next call
	held *wal.Entry                                // did not fit into the last batch
}

// NewBatcher reads from next, which is a log's Next.
func NewBatcher(cfg BatchConfig, next func(context.Context) (*wal.Entry, error)) *Batcher {
	return &Batcher{cfg: cfg, next: next}
}

// A parcel is a batch on its way: one contiguous body, cut into the records it was made of.
type parcel struct {
	body  []byte
	room  *[]byte // that body came with
	parts []parcelPart
}

type parcelPart struct {
	start, end int // start is where its marker is
	items      int
	entry      *wal.Entry
	id         identity
	after      uint32 // as in Marker: of all attempts so far
}

// bodies are megabytes that would be garbage after each batch. Who waits for a batch has none, so that
// they are garbage some time after the last one.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// free gives the body back. Nobody may have a part of it.
func (p *parcel) free() {
	*p.room = p.body
	bodies.Put(p.room)
	p.room, p.body = nil, nil
}

// Next returns the next batch, or io.EOF after the last one, or the cause of ctx.
func (b *Batcher) Next(ctx context.Context) (*parcel, error) {
	first := b.held
	b.held = nil
	if first == nil {
		var err error
		if first, err = b.next(ctx); err != nil {
			return nil, err
		}
	}
	p := &parcel{room: bodies.Get().(*[]byte)}
	p.body = (*p.room)[:0]
	items := p.add(first)
	due, cancel := context.WithTimeoutCause(ctx, b.cfg.Timeout, errDue)
	defer cancel()
	for items < b.cfg.SendBatchSize {
		e, err := b.next(due)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, errDue) || ctx.Err() != nil {
				return p, nil // an end, or a cancelled ctx, is met again by the next call
			}
			return p, err
		}
		if limit := b.cfg.SendBatchMaxSizeMiB << 20; limit > 0 && len(p.body)+MarkerSize+len(e.Data) > limit {
			b.held = e
			return p, nil
		}
		items += p.add(e)
	}
	return p, nil
}

var errDue = errors.New("batch timeout")

// add copies e into the body, behind a marker unless it brought one, and returns its items. A
// record that brought one came from another log: nobody knows where else it is.
func (p *parcel) add(e *wal.Entry) int {
	part := parcelPart{start: len(p.body), items: e.Items, entry: e, id: identity{e.Stream, e.Seq}}
	if m, _, err := ParseMarker(e.Data); err == nil {
		part.id, part.after = identity{m.Stream, m.Seq}, max(m.After, 1)
	} else {
		p.body = Marker{Stream: e.Stream, Seq: e.Seq, Length: uint32(len(e.Data)), Accepted: e.Accepted,
			Items: uint32(e.Items), CumItems: e.CumItems}.Append(p.body)
	}
	p.body = append(p.body, e.Data...)
	part.end = len(p.body)
	p.parts = append(p.parts, part)
	return e.Items
}

// bytes of a run of parts.
func (p *parcel) bytes(parts []parcelPart) []byte {
	return p.body[parts[0].start:parts[len(parts)-1].end]
}
