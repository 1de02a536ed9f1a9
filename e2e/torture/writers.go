package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// A writer sends its own numbers, one request after the other.
type writer struct {
	mark
	signal signal
	agent  string // its name
	r      *rand.Rand
	rate   int // records a second when nothing hurts
	most   int // records of a request
	out    outlet
	book   book
}

// An outlet is a way for records to an agent.
type outlet interface {
	send(w *writer, first uint64, count int) outcome
	close()
}

// writers are all those of a run.
type writers struct {
	id    string // of the run
	began time.Time
	list  []*writer
}

const (
	// otlpRate makes more than 5,000 records a second of twelve writers, of which some always wait.
	otlpRate, otlpMost = 650, 200
	fileRate, fileMost = 150, 60
)

// newWriters makes one for each agent, signal and protocol, and one for each agent's files.
func newWriters(c *cluster, seed uint64) (*writers, error) {
	all := &writers{id: fmt.Sprintf("%d-%d", seed, c.began.Unix()), began: c.began}
	add := func(a *agent, way string, s signal, rate, most int, out outlet) {
		name := fmt.Sprintf("%s.%s.%s", a.name, s.name, way)
		all.list = append(all.list, &writer{mark: mark{all.id, name}, signal: s, agent: a.name, rate: rate, most: most, out: out,
			r: rand.New(rand.NewPCG(seed, 100+uint64(len(all.list))))})
	}
	for _, a := range c.agents {
		for _, s := range signals {
			out, err := newGRPC(a.grpc, s)
			if err != nil {
				return nil, err
			}
			add(a, "grpc", s, otlpRate, otlpMost, out)
			add(a, "http", s, otlpRate, otlpMost, newHTTP(a.http, s))
		}
		add(a, "file", signals[0], fileRate, fileMost, newFileLog(a))
	}
	return all, nil
}

// write returns when ctx is done and every number that was sent has its outcome.
func (all *writers) write(ctx context.Context) {
	var writing sync.WaitGroup
	for _, w := range all.list {
		writing.Go(func() { w.write(ctx, all.began) })
	}
	writing.Wait()
}

// afterFailure is how long a writer waits when its numbers were not taken.
const afterFailure = 300 * time.Millisecond

// write sends one request after the other until ctx is done.
func (w *writer) write(ctx context.Context, start time.Time) {
	defer w.out.close()
	for ctx.Err() == nil {
		count := 1 + w.r.IntN(w.most)
		began := time.Now()
		s := send{first: w.book.next, count: uint32(count), began: uint32(began.Sub(start).Milliseconds())}
		s.outcome = w.out.send(w, s.first, count)
		took := time.Since(began)
		s.took = uint32(took.Milliseconds())
		w.book.note(s)
		pause := time.Duration(count)*time.Second/time.Duration(w.rate) - took
		if s.outcome != acked {
			pause = max(pause, afterFailure)
		}
		if pause > 0 {
			kit.Pause(ctx, pause)
		}
	}
}

// sent counts numbers by their outcome.
func (all *writers) sent() (n [outcomes]uint64) {
	for _, w := range all.list {
		for o := range outcomes {
			n[o] += w.book.total[o].Load()
		}
	}
	return n
}
