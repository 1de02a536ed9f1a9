package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// A schedule does harm. What it does, to whom and for how long follows from the seed; what that
// meets does not.
type schedule struct {
	c      *cluster
	r      *rand.Rand
	faults []fault
	gap    [2]time.Duration // least and greatest time between two faults
	under  sync.WaitGroup
}

// A fault is a kind of harm. begin draws what it needs from r and returns what to do; nil: not now.
// What it does heals itself before it returns, early when ctx is done.
type fault struct {
	name   string
	weight int
	begin  func(r *rand.Rand) func(ctx context.Context)
}

func newSchedule(c *cluster, seed uint64, onlyRepeats bool) *schedule {
	s := &schedule{c: c, r: rand.New(rand.NewPCG(seed, 1)), gap: [2]time.Duration{2 * time.Second, 5 * time.Second}}
	for _, a := range c.agents {
		s.add("kill", 8, func(r *rand.Rand) func(context.Context) { return c.killAgent(a, r) })
	}
	for _, n := range c.collectors {
		s.add("kill", 11, func(r *rand.Rand) func(context.Context) { return c.kill(n.process, r) })
	}
	s.add("lose answers", 8, c.loseAnswers)
	s.add("cut after request", 5, c.cutAfterRequest)
	if onlyRepeats {
		s.gap = [2]time.Duration{time.Second, 3 * time.Second}
		return s
	}
	s.add("kill", 4, func(r *rand.Rand) func(context.Context) { return c.kill(c.engine.process, r) })
	for _, p := range c.processes() {
		s.add("suspend", 3, func(r *rand.Rand) func(context.Context) { return c.suspend(p, r) })
	}
	s.add("cut", 3, c.cut)
	s.add("stall", 4, c.stall)
	s.add("delay", 3, c.delay)
	s.add("half-close", 3, c.halfClose)
	if c.disk.canFill() {
		var full sync.Mutex // it is only once full at a time
		s.add("full disk", 5, func(r *rand.Rand) func(context.Context) { return c.fillDisk(&full, r) })
	}
	return s
}

func (s *schedule) add(name string, weight int, begin func(*rand.Rand) func(context.Context)) {
	s.faults = append(s.faults, fault{name, weight, begin})
}

// run does one thing after the other, some overlapping, until ctx is done and all is healed.
func (s *schedule) run(ctx context.Context) {
	defer s.under.Wait()
	for kit.Pause(ctx, between(s.r, s.gap[0], s.gap[1])) {
		f, do := s.pick()
		if do == nil {
			continue
		}
		s.c.faults.add(f.name)
		s.under.Go(func() { do(ctx) })
	}
}

// pick draws a fault by weight. One that cannot be now is drawn again, a few times.
func (s *schedule) pick() (fault, func(context.Context)) {
	sum := 0
	for _, f := range s.faults {
		sum += f.weight
	}
	for range 10 {
		n, i := s.r.IntN(sum), 0
		for n >= s.faults[i].weight {
			n -= s.faults[i].weight
			i++
		}
		if do := s.faults[i].begin(s.r); do != nil {
			return s.faults[i], do
		}
	}
	return fault{}, nil
}
