package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// A proxy stands between two processes.
type proxy struct {
	*kit.Proxy
	name string
	turn sync.Mutex // held by the fault that has the proxy
}

// during has weather w for d, or until ctx is done.
func (p *proxy) during(ctx context.Context, w kit.Weather, d time.Duration) {
	p.Set(w)
	kit.Pause(ctx, d)
	p.Set(kit.Weather{})
}

// onProxy has do befall one of the proxies, unless something does already.
func (c *cluster) onProxy(r *rand.Rand, what string, do func(ctx context.Context, p *proxy)) func(context.Context) {
	p := c.proxies[r.IntN(len(c.proxies))]
	if !p.turn.TryLock() {
		return nil
	}
	return func(ctx context.Context) {
		defer p.turn.Unlock()
		c.event("%s %s", p.name, what)
		do(ctx, p)
	}
}

// loseAnswers lets requests through and holds the answers back, until all connections are cut:
// what was asked for is done, and who asked does not know.
func (c *cluster) loseAnswers(r *rand.Rand) func(context.Context) {
	d := between(r, time.Second, 6*time.Second)
	return c.onProxy(r, fmt.Sprintf("loses answers for %s", d), func(ctx context.Context, p *proxy) {
		p.Set(kit.Weather{Deaf: true})
		kit.Pause(ctx, d)
		p.Cut()
		p.Set(kit.Weather{})
	})
}

// cutAfterRequest cuts all connections when so many bytes of requests were passed on, and before
// any answer.
func (c *cluster) cutAfterRequest(r *rand.Rand) func(context.Context) {
	budget := 1 + r.IntN(200_000)
	return c.onProxy(r, fmt.Sprintf("cuts after %d bytes of requests", budget), func(ctx context.Context, p *proxy) {
		p.during(ctx, kit.Weather{Cutting: true, Budget: budget}, 10*time.Second)
	})
}

func (c *cluster) cut(r *rand.Rand) func(context.Context) {
	return c.onProxy(r, "cuts", func(_ context.Context, p *proxy) { p.Cut() })
}

func (c *cluster) stall(r *rand.Rand) func(context.Context) {
	d := between(r, time.Second, 20*time.Second)
	return c.onProxy(r, fmt.Sprintf("stalls for %s", d), func(ctx context.Context, p *proxy) {
		p.during(ctx, kit.Weather{Stalled: true}, d)
	})
}

func (c *cluster) delay(r *rand.Rand) func(context.Context) {
	by, d := between(r, 50*time.Millisecond, 500*time.Millisecond), between(r, 2*time.Second, 15*time.Second)
	return c.onProxy(r, fmt.Sprintf("delays by %s for %s", by, d), func(ctx context.Context, p *proxy) {
		p.during(ctx, kit.Weather{Delay: by}, d)
	})
}

func (c *cluster) halfClose(r *rand.Rand) func(context.Context) {
	towardsClient := r.IntN(2) == 0
	return c.onProxy(r, fmt.Sprintf("half-closes, towards clients: %t", towardsClient), func(_ context.Context, p *proxy) {
		p.HalfClose(towardsClient)
	})
}
