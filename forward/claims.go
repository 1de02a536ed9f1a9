package forward

import (
	"context"
	"sync"

	"github.com/spillway-io/spillway/wal"
)

// An identity names a record wherever it is.
type identity struct {
	stream wal.Key
	seq    uint64
}

// Claims see to it that no record is under way twice at once: each of two deliveries could look
// for it, find it missing, and store it. Only records that may have a copy need it: one that was
// relayed twice, or one that is parked and, after a crash, still in its lane. The zero Claims is
// ready for use.
type Claims struct {
	mu    sync.Mutex
	held  map[identity]struct{}
	freed chan struct{} // closed when some were given back
}

// take waits until none of ids is taken, and takes them all.
func (c *Claims) take(ctx context.Context, ids []identity) error {
	for len(ids) > 0 {
		freed := c.try(ids)
		if freed == nil {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (c *Claims) try(ids []identity) (wait chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held, c.freed = make(map[identity]struct{}), make(chan struct{})
	}
	for _, id := range ids {
		if _, taken := c.held[id]; taken {
			return c.freed
		}
	}
	for _, id := range ids {
		c.held[id] = struct{}{}
	}
	return nil
}

func (c *Claims) give(ids []identity) {
	if len(ids) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		delete(c.held, id)
	}
	close(c.freed)
	c.freed = make(chan struct{})
}
