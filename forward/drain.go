package forward

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/spillway-io/spillway/wal"
)

// A Drain delivers what is in one lane of the log to the next hop, several batches at a time,
// until the hop has taken them, refused them for good, or the context ends. What is not
// delivered stays in the log.
//
// A record that may have been taken before is redelivered: its marker says so, and until when
// the earlier attempts may still be stored. Nothing is written down before a send, so that is
// all that an earlier process left, too. See docs/adr/0012.
type Drain struct {
	Log         *wal.Log
	Signal      Signal
	Next        Sink
	Batch       BatchConfig
	Retry       RetryConfig
	Parallel    int // batches in flight
	Circuit     *Circuit
	Limiter     *Limiter
	Metrics     *Counters
	DeadLetters *DeadLetters
	Parked      *wal.Log               // where records go that fail while others pass; nil: they hold their place
	Woken       func() <-chan struct{} // closed when the next hop has just become reachable; nil: never
	OnFailure   func()                 // a delivery failed; overflow mode writes to disk then
	Logger      *slog.Logger

	Fences Fences
	Claims *Claims // shared by all that send to Next

	outage outage
	places chan struct{} // one for each batch that is sent
	aside  atomic.Int32  // batches that wait without a place
}

// parkAfter is how many tries a batch gets that fails while others pass.
const parkAfter = 3

// Run delivers until the log has ended and everything was handed over (nil), or ctx is done.
func (d *Drain) Run(ctx context.Context) error {
	b := NewBatcher(d.Batch, d.Log.Next)
	d.places = make(chan struct{}, d.Parallel)
	defer d.holdBack()()
	var sending sync.WaitGroup
	defer sending.Wait()
	for {
		p, err := b.Next(ctx)
		if p != nil {
			d.Limiter.Charge(int64(cap(p.body)))
			done, err := d.enter(ctx, p)
			if err != nil {
				d.Limiter.Give(int64(cap(p.body)))
				return err
			}
			sending.Go(func() {
				d.deliver(ctx, p, p.parts)
				done()
				d.Limiter.Give(int64(cap(p.body)))
				p.free()
			})
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// enter waits until p may be sent; done is due when it was. Nobody has a place while waiting for
// anything else, for one that stepped aside needs it to come back.
func (d *Drain) enter(ctx context.Context, p *parcel) (done func(), err error) {
	var copied []identity // or may be
	for _, part := range p.parts {
		if part.entry.Stream != d.Log.Stream() || part.after > 0 {
			copied = append(copied, part.id)
		}
	}
	if err := d.Claims.take(ctx, copied); err != nil {
		return nil, err
	}
	select {
	case d.places <- struct{}{}:
		return func() { <-d.places; d.Claims.give(copied) }, nil
	case <-ctx.Done():
		d.Claims.give(copied)
		return nil, context.Cause(ctx)
	}
}

// deliver hands over parts of p, which are contiguous, and acknowledges them in the log.
func (d *Drain) deliver(ctx context.Context, p *parcel, parts []parcelPart) {
	back, passed, tries := NewBackoff(d.Retry), d.Circuit.Successes(), 0
	for ctx.Err() == nil {
		woken := d.wokenChan()
		probe, err := d.Circuit.Enter(ctx)
		if err != nil {
			return
		}
		now := parts
		if probe {
			now = parts[:1] // the circuit is open: one small batch
		}
		err = d.put(ctx, p, now)
		d.Circuit.Leave(probe, delivered(err) || Refused(err) != nil)
		d.note(err, now)
		switch {
		case delivered(err):
			d.done(now, err)
			if parts = parts[len(now):]; len(parts) == 0 {
				return
			}
			tries, passed = 0, d.Circuit.Successes()
			continue
		case Refused(err) != nil:
			if d.refused(ctx, p, now, Refused(err)) {
				if parts = parts[len(now):]; len(parts) == 0 {
					return
				}
				continue
			}
		case d.OnFailure != nil:
			d.OnFailure()
		}
		if !errors.Is(err, ErrNotSent) && !d.tooSoon(err, parts) {
			tries++ // else it is not about the records
		}
		if tries > parkAfter && d.Circuit.Successes() > passed && d.isolate(ctx, p, parts) {
			return
		}
		if d.wait(ctx, d.pause(back, err, parts), woken, parts) {
			back.Reset()
		}
	}
}

// delivered says that the next hop has taken over.
func delivered(err error) bool { return err == nil || Partial(err) != nil }

func (d *Drain) wokenChan() <-chan struct{} {
	if d.Woken == nil {
		return nil
	}
	return d.Woken()
}

func (d *Drain) put(ctx context.Context, p *parcel, parts []parcelPart) error {
	b := Batch{Signal: d.Signal, Body: p.bytes(parts)}
	until := d.stamp(p, parts)
	for _, part := range parts {
		b.Items += part.items
	}
	err := d.Next.Put(ctx, b)
	if errors.Is(err, ErrUnfenced) {
		until = d.stamp(p, parts)
		err = d.Next.Put(ctx, b)
	}
	d.Metrics.Attempts.WithLabelValues(d.Signal.String(), outcome(err)).Inc()
	if !delivered(err) && !NotTaken(err) {
		for i := range parts {
			parts[i].after = max(parts[i].after, until, 1)
		}
	}
	return err
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "taken"
	case Partial(err) != nil:
		return "partial"
	case Refused(err) != nil:
		return "refused"
	case Busy(err) != nil:
		return "busy"
	}
	return "failed"
}

// done acknowledges what was taken.
func (d *Drain) done(parts []parcelPart, err error) {
	items := 0
	for _, part := range parts {
		items += part.items
		d.Log.Ack(part.entry)
	}
	if partial := Partial(err); partial != nil {
		lost := min(items, partial.Items)
		d.Metrics.Lost.WithLabelValues(d.Signal.String(), partial.Reason).Add(float64(lost))
		d.DeadLetters.Partial(d.Signal, parts, lost, partial)
		d.Logger.Error("the next hop took a batch but cannot store all of it", "signal", d.Signal.String(), "lost_items", lost, "reason", partial.Reason, "err", partial.Err)
		items -= lost
	}
	d.Metrics.Out.WithLabelValues(d.Signal.String(), "delivered").Add(float64(items))
}

// refused finds the culprit in a batch by halving, and sets it aside. False: not now; a storm
// of refusals is a fault of configuration, not of records, and everything is kept.
func (d *Drain) refused(ctx context.Context, p *parcel, parts []parcelPart, why *RefusedError) bool {
	if len(parts) > 1 {
		half := len(parts) / 2
		d.deliver(ctx, p, parts[:half])
		d.deliver(ctx, p, parts[half:])
		return true
	}
	part := parts[0]
	if err := d.DeadLetters.Put(d.Signal, p.bytes(parts), why); err != nil {
		d.Logger.Warn("refused record is kept in the log", "signal", d.Signal.String(), "items", part.items, "reason", why.Reason, "err", err)
		return false
	}
	d.Metrics.Lost.WithLabelValues(d.Signal.String(), why.Reason).Add(float64(part.items))
	d.Log.Ack(part.entry)
	return true
}

// isolate deals with records that keep failing while others pass: they are moved out of the
// way of their lane, and where there is no further to move them, they are parted from each
// other. They keep their identity: what is parked is the marker and the bytes.
func (d *Drain) isolate(ctx context.Context, p *parcel, parts []parcelPart) bool {
	if d.Parked == nil {
		if len(parts) == 1 {
			return false
		}
		half := len(parts) / 2
		d.deliver(ctx, p, parts[:half])
		d.deliver(ctx, p, parts[half:])
		return true
	}
	recs := make([]wal.Record, len(parts))
	d.stamp(p, parts)
	for i, part := range parts {
		recs[i] = wal.Record{Items: part.items, Accepted: part.entry.Accepted, Data: p.body[part.start:part.end]}
	}
	if err := d.Parked.Append(ctx, recs...); err != nil {
		return false
	}
	for _, part := range parts {
		d.Log.Ack(part.entry)
	}
	d.Logger.Warn("records that keep failing are parked and tried again slowly", "signal", d.Signal.String(), "records", len(parts))
	return true
}
