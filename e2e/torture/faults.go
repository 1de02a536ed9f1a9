package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// What befalls processes and the disk. faults_net.go has what befalls connections.

// between is a random time from least to most.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(r.Int64N(int64(most-least)))).Round(time.Millisecond)
}

// back starts p and waits until it answers. It is not to be given up when the schedule ends.
func (c *cluster) back(p *process) {
	if err := p.up(context.Background()); err != nil {
		c.found("%v", err)
	}
}

// kill is kill -9, and a start after a while.
func (c *cluster) kill(p *process, r *rand.Rand) func(context.Context) {
	away := between(r, 0, 3*time.Second)
	if !p.turn.TryLock() {
		return nil
	}
	return func(ctx context.Context) {
		defer p.turn.Unlock()
		c.event("kill %s for %s", p.name, away)
		c.kills.add(p.name)
		p.kill()
		kit.Pause(ctx, away)
		c.back(p)
	}
}

// killEvery is how often an agent is killed at most. A start delivers what it finds only when the
// fences of its predecessor are past, about 17 s later: killed more often, it would only collect.
const killEvery = 20 * time.Second

// killAgent also removes the agent's view of its log, on which nothing may depend, and sometimes
// damages the log.
func (c *cluster) killAgent(a *agent, r *rand.Rand) func(context.Context) {
	away, damage, own := between(r, 0, 3*time.Second), r.IntN(2) == 0, rand.New(rand.NewPCG(r.Uint64(), 2))
	if time.Since(a.lastKill) < killEvery || !a.turn.TryLock() {
		return nil
	}
	a.lastKill = time.Now()
	return func(ctx context.Context) {
		defer a.turn.Unlock()
		c.event("kill %s for %s", a.name, away)
		c.kills.add(a.name)
		a.kill()
		if err := os.RemoveAll(filepath.Join(a.wal, "view.db")); err != nil {
			c.found("%v", err)
		}
		then := func() {}
		if damage {
			then = c.damage(ctx, a, own)
		}
		kit.Pause(ctx, away)
		c.back(a.process)
		then()
	}
}

// suspend is SIGSTOP and SIGCONT. Most are short; one in three is longer than an attempt's fence.
func (c *cluster) suspend(p *process, r *rand.Rand) func(context.Context) {
	d := between(r, time.Second, 10*time.Second)
	if r.IntN(3) == 0 {
		d = between(r, 16*time.Second, 25*time.Second)
	}
	if !p.turn.TryLock() {
		return nil
	}
	return func(ctx context.Context) {
		defer p.turn.Unlock()
		c.event("suspend %s for %s", p.name, d)
		p.signal(syscall.SIGSTOP)
		kit.Pause(ctx, d)
		p.signal(syscall.SIGCONT)
	}
}

func (c *cluster) fillDisk(full *sync.Mutex, r *rand.Rand) func(context.Context) {
	d := between(r, 3*time.Second, 8*time.Second)
	if !full.TryLock() {
		return nil
	}
	return func(ctx context.Context) {
		defer full.Unlock()
		c.event("disk full for %s", d)
		if err := c.disk.fill(); err != nil {
			c.found("fill the disk: %v", err)
		}
		kit.Pause(ctx, d)
		if err := c.disk.empty(); err != nil {
			c.found("empty the disk: %v", err)
		}
	}
}
