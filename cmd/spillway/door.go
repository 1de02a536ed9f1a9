package main

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillway-io/spillway/agent"
	"github.com/spillway-io/spillway/forward"
)

// A door is one of the ways in: it counts what was taken there.
type door struct {
	name, address string

	items   [forward.Metrics + 1]atomic.Uint64
	bytes   atomic.Uint64
	told    atomic.Uint64 // to wait
	last    atomic.Int64  // unix ns
	mu      sync.Mutex
	waiting string
}

// put has next take b.
func (d *door) put(ctx context.Context, next forward.Sink, b forward.Batch) error {
	err := next.Put(ctx, b)
	d.note(b, err)
	return err
}

func (d *door) note(b forward.Batch, err error) {
	waiting := ""
	switch {
	case err == nil || forward.Partial(err) != nil:
		if b.Items == 0 {
			return // a question, or a position
		}
		d.items[b.Signal].Add(uint64(b.Items))
		d.bytes.Add(uint64(len(b.Body)))
		d.last.Store(time.Now().UnixNano())
	case forward.Busy(err) != nil:
		d.told.Add(1)
		waiting = err.Error()
	default:
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = waiting
}

func (d *door) status() sourceStatus {
	s := sourceStatus{Name: d.name, Address: d.address, Items: make(map[string]uint64), Bytes: d.bytes.Load(), Told: d.told.Load()}
	for _, sig := range forward.Signals {
		if n := d.items[sig].Load(); n > 0 {
			s.Items[sig.String()] = n
		}
	}
	if at := d.last.Load(); at != 0 {
		s.Last = orNull(time.Unix(0, at))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Waiting = d.waiting
	return s
}

// A doorway is a Sink behind a door.
type doorway struct {
	*door
	next forward.Sink
}

func (d doorway) Put(ctx context.Context, b forward.Batch) error { return d.put(ctx, d.next, b) }

// doors are the ports, of which those of OTLP share a server.
type doors struct{ grpc, http, loki door }

func newDoors() *doors {
	return &doors{grpc: door{name: "OTLP gRPC"}, http: door{name: "OTLP HTTP"}, loki: door{name: "Loki"}}
}

// otlp is a Sink that tells the ports apart: what net/http serves says so in its context.
func (d *doors) otlp(next forward.Sink) forward.Sink { return otlpDoors{d, next} }

type otlpDoors struct {
	*doors
	next forward.Sink
}

func (d otlpDoors) Put(ctx context.Context, b forward.Batch) error {
	if ctx.Value(http.LocalAddrContextKey) != nil {
		return d.http.put(ctx, d.next, b)
	}
	return d.grpc.put(ctx, d.next, b)
}

// status is that of the ports that are open.
func (d *doors) status() (all []sourceStatus) {
	for _, port := range []*door{&d.grpc, &d.http, &d.loki} {
		if port.address != "" {
			all = append(all, port.status())
		}
	}
	return all
}

// counted is a source behind a door.
type counted struct {
	agent.Source
	*door
}

func (c counted) Run(ctx context.Context, next forward.Sink) error {
	return c.Source.Run(ctx, doorway{c.door, next})
}
