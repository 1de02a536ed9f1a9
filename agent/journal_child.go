package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spillway-io/spillway/forward"
)

// A journalctl is a running one. Its pipe is what holds it back when we do not read.
type journalctl struct {
	ctx      context.Context
	cmd      *exec.Cmd
	kill     context.CancelFunc
	unblock  func() bool
	out      *os.File
	in       *bufio.Reader
	deadline time.Time // of out
	begun    []byte    // a line whose end has not come
	long     bool      // it is too long, and its rest is skipped
	ended    bool      // there are no more lines
	said     *remarks
}

// maxEntry bounds a line of journalctl, in bytes. Its entries have at most 64 MiB, those of normal
// programs some KiB; a binary field takes four bytes for one.
const maxEntry = 16 << 20

var passed = time.Unix(1, 0)

var errLongEntry = errors.New("entry too long")

// startJournalctl runs it until it ends by itself, stop or the end of ctx.
func startJournalctl(ctx context.Context, program string, args []string, log *slog.Logger) (*journalctl, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ctx, kill := context.WithCancel(ctx)
	c := &journalctl{ctx: ctx, cmd: exec.CommandContext(ctx, program, args...), kill: kill,
		out: out, in: bufio.NewReaderSize(out, 64<<10), said: &remarks{log: log}}
	c.cmd.Stdout, c.cmd.Stderr = in, c.said
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is ours, and a wrapper's children are its
	c.cmd.Cancel = func() error { return syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) }
	c.cmd.WaitDelay = time.Second // for what escaped its group
	err = c.cmd.Start()
	in.Close()
	if err != nil {
		kill()
		return nil, errors.Join(fmt.Errorf("%w: install systemd's journalctl, or name it in journalctl_path", err), out.Close())
	}
	c.unblock = context.AfterFunc(ctx, func() { out.SetReadDeadline(passed) })
	return c, nil
}

// line is the next line without its end, lent until the next call. It waits until deadline; the
// zero one is never.
func (c *journalctl) line(deadline time.Time) ([]byte, error) {
	if len(c.begun) > 0 && c.begun[len(c.begun)-1] == '\n' {
		c.begun = c.begun[:0]
		if cap(c.begun) > 1<<20 {
			c.begun = nil
		}
	}
	if !deadline.Equal(c.deadline) {
		c.deadline = deadline
		c.out.SetReadDeadline(deadline)
		if c.ctx.Err() != nil { // unblock came first
			c.out.SetReadDeadline(passed)
		}
	}
	for {
		part, err := c.in.ReadSlice('\n')
		if !c.long {
			c.begun = append(c.begun, part...)
		}
		if len(c.begun) > maxEntry {
			c.begun, c.long = nil, true
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			c.ended = err == io.EOF
			return nil, err
		case c.long:
			c.long = false
			return nil, errLongEntry
		default:
			return bytes.TrimSuffix(c.begun, []byte("\n")), nil
		}
	}
}

// stop ends it, and says why it ended if it did so before.
func (c *journalctl) stop() error {
	if c.ended {
		grace := time.AfterFunc(time.Second, c.kill) // it closed its output, and mostly is about to exit
		defer grace.Stop()
	} else {
		c.kill()
	}
	err := c.cmd.Wait()
	c.kill()
	c.unblock()
	return errors.Join(fmt.Errorf("journalctl ended: %v%s", err, c.said.last()), c.out.Close())
}

// peekJournal runs journalctl without filters, and returns the cursor of the first entry it shows; "" if there is none.
func peekJournal(ctx context.Context, cfg JournalConfig, args ...string) (cursor string, err error) {
	ctx, cancel := context.WithTimeout(ctx, peekTimeout)
	defer cancel()
	c, err := startJournalctl(ctx, cfg.program(), append(append(cfg.arguments(), "--output-fields=_BOOT_ID"), args...), nil)
	if err != nil {
		return "", err
	}
	line, err := c.line(time.Time{})
	if err != nil {
		ended := c.stop()
		if err == io.EOF && c.cmd.ProcessState.Success() {
			return "", nil
		}
		return "", errors.Join(ended, ctx.Err())
	}
	e, err := parseEntry(line)
	c.stop()
	if err != nil {
		return "", fmt.Errorf("journalctl wrote what is no entry: %w", err)
	}
	return e.one("__CURSOR"), nil
}

// peekTimeout is for disks that are slow, or asleep.
const peekTimeout = time.Minute

// remarks are what journalctl writes to stderr: the first lines go to our log, the last one into the error.
type remarks struct {
	log *slog.Logger // nil: only the last counts

	mu    sync.Mutex
	text  []byte
	lines int
}

const (
	maxRemarks = 3   // that are logged of one run
	maxRemark  = 300 // bytes
)

func (r *remarks) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range bytes.Lines(p) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		r.text = append(r.text[:0], line[:min(len(line), maxRemark)]...)
		if r.lines++; r.log != nil && r.lines <= maxRemarks {
			r.log.Warn("journalctl says", "text", string(r.text))
		}
	}
	return len(p), nil
}

func (r *remarks) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.text) == 0 {
		return ""
	}
	return ": " + strings.ToValidUTF8(string(r.text), "\uFFFD")
}

// A trouble is a time in which journalctl does not run as it should. It is said when it begins and when it is over.
type trouble struct {
	log      *slog.Logger
	restarts *atomic.Uint64
	back     *forward.Backoff

	mu    sync.Mutex
	since time.Time // zero: none
	times int
}

// healthyAfter is how long a journalctl without entries must run to count as one that works.
const healthyAfter = 5 * time.Second

func newTrouble(log *slog.Logger, restarts *atomic.Uint64) *trouble {
	return &trouble{log: log, restarts: restarts,
		back: forward.NewBackoff(forward.RetryConfig{InitialInterval: 500 * time.Millisecond, MaxInterval: 30 * time.Second})}
}

// wait is called when journalctl ended with err. It waits, and says whether to go on.
func (t *trouble) wait(ctx context.Context, err error) bool {
	t.mu.Lock()
	if t.since.IsZero() {
		t.since, t.times = time.Now(), 0
		t.back.Reset()
		t.log.Warn("journalctl does not run, starting it again and again; entries wait in the journal", "err", err)
	}
	t.times++
	t.mu.Unlock()
	select {
	case <-ctx.Done():
		return false
	case <-time.After(t.back.After(nil)):
	}
	t.restarts.Add(1)
	return true
}

// over is called when journalctl works.
func (t *trouble) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() {
		return
	}
	t.log.Info("journalctl runs again", "after", time.Since(t.since).Round(time.Millisecond), "restarts", t.times)
	t.since = time.Time{}
}
