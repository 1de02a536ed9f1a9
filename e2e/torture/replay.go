package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// copyGeneration copies a generation to a log of its own, with the header of the next one, which
// states where it ends: what lies beyond was written again later, and is not for a replay.
func copyGeneration(from, to string, g generation) error {
	entries, err := os.ReadDir(filepath.Join(from, g.Lane))
	if err != nil {
		return err
	}
	for _, e := range entries { // in order
		next := generation{Lane: g.Lane, Number: e.Name()}
		if next.Number < g.Number {
			continue
		}
		content, err := os.ReadFile(next.file(from))
		if errors.Is(err, os.ErrNotExist) && next.Number > g.Number {
			continue // made and not used, or removed by us
		}
		if err != nil {
			return err
		}
		if next.Number > g.Number {
			size, n := binary.Uvarint(content) // of its first entry, the header
			if n <= 0 || size > uint64(len(content)-n) {
				continue // not used yet
			}
			content = content[:n+int(size)]
		}
		if err := os.MkdirAll(filepath.Dir(next.file(to)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(next.file(to), content, 0o644); err != nil {
			return err
		}
		if next.Number > g.Number {
			return nil
		}
	}
	return fmt.Errorf("no header behind %s states where it ends", g)
}

// replays send what was destroyed, from copies.
type replays struct {
	mu     sync.Mutex
	cancel []context.CancelFunc
	left   int
	under  sync.WaitGroup
}

const (
	// replayTries is how often a replay is started. One gives up by itself when nothing is taken.
	replayTries = 5
	replayPause = 2 * time.Second
)

// start replays a copy of g, through the proxy in front of both collectors.
func (r *replays) start(c *cluster, copied string, g generation) {
	ctx, cancel := context.WithCancel(context.Background())
	r.mu.Lock()
	r.cancel = append(r.cancel, cancel)
	r.left++
	r.mu.Unlock()
	r.under.Go(func() {
		defer cancel()
		err := c.replay(ctx, copied)
		if err == nil {
			err = os.RemoveAll(copied)
		}
		if err != nil && ctx.Err() == nil {
			c.found("replay of %s: %v; see %s.log", g, err, copied)
		}
		r.mu.Lock()
		r.left--
		r.mu.Unlock()
	})
}

func (c *cluster) replay(ctx context.Context, copied string) error {
	out, err := os.OpenFile(copied+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	for try := 1; ; try++ {
		c.event("replay %s, try %d", copied, try)
		said := &strings.Builder{}
		cmd := exec.CommandContext(ctx, c.spillway, "wal", "replay", copied, "--to", c.front.Addr(), "--insecure", "--give-up-after", "1m")
		cmd.Stdout, cmd.Stderr = io.MultiWriter(out, said), out
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err := cmd.Run()
		c.event("replay %s: %v, %s", copied, err, strings.TrimSpace(said.String()))
		if err == nil || try == replayTries || !kit.Pause(ctx, replayPause) {
			return err
		}
	}
}

func (r *replays) running() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left
}

// stop ends those that run.
func (r *replays) stop() {
	r.mu.Lock()
	for _, cancel := range r.cancel {
		cancel()
	}
	r.mu.Unlock()
	r.under.Wait()
}
