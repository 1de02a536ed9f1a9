package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
)

// Stdin is the Source of what another program writes into a pipe. The pipe is no place to begin
// anew at: while the log is full the pipe is not read, which holds up the program, and what is in it
// when this process is killed is gone.
type Stdin struct {
	in       *os.File
	tail     tail.Config
	encoder  *lines.Encoder
	resource *lines.Resource
	grace    time.Duration
	log      *slog.Logger
}

// NewStdin reads lines from in, of which attrs describe the source. When it is told to stop, grace
// is how long what is in the pipe already may take into the log.
func NewStdin(in *os.File, cfg tail.Config, o lines.Options, attrs []lines.Attr, grace time.Duration, log *slog.Logger) *Stdin {
	attrs = append(attrs[:len(attrs):len(attrs)], lines.Attr{Key: "service.name", Value: "unknown_service"})
	return &Stdin{in: in, tail: cfg, encoder: lines.NewEncoder(o), resource: lines.NewResourceOf(attrs), grace: grace, log: log}
}

// Run reads to the end, or what is there when ctx is done.
func (s *Stdin) Run(ctx context.Context, next forward.Sink) error {
	wake, wakeUp, err := os.Pipe()
	if err != nil {
		return err
	}
	defer wake.Close()
	defer wakeUp.Close()
	putting, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() {
		wakeUp.Write([]byte{0})
		time.AfterFunc(s.grace, giveUp)
	})()
	stream, err := tail.NewStream(&pipe{in: s.in, wake: wake, ctx: ctx, idle: time.Second}, s.tail)
	if err != nil {
		return err
	}
	for {
		got, end := stream.Next()
		if len(got) > 0 {
			s.encoder.Begin(s.resource)
			now := time.Now()
			for _, l := range got {
				s.encoder.Add(l.Text, l.Time, now, l.Stream, l.Truncated, l.Partial)
			}
			b := forward.Batch{Signal: forward.Logs}
			b.Body, b.Items = s.encoder.Finish()
			if err := offer(putting, next, b, "stdin", s.log); err != nil {
				s.log.Error("lines of stdin are lost: the log did not take them before the stop", "lines", b.Items, "err", err)
				return nil
			}
		}
		switch {
		case errors.Is(end, io.EOF):
			return nil
		case end != nil:
			return end
		}
	}
}

// A pipe waits for a file, and for the end of ctx: then it ends behind what was in it at that moment.
type pipe struct {
	in, wake *os.File
	ctx      context.Context
	idle     time.Duration // after which a Read says that nothing came
	stopped  bool
	left     int // bytes to read; counts when stopped
}

func (p *pipe) Read(b []byte) (int, error) {
	for !p.stopped {
		fds := []unix.PollFd{{Fd: int32(p.in.Fd()), Events: unix.POLLIN}, {Fd: int32(p.wake.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(p.idle.Milliseconds()))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, os.NewSyscallError("poll", err)
		case p.ctx.Err() != nil:
			p.stopped = true
			p.left, _ = unix.IoctlGetInt(int(p.in.Fd()), unix.TIOCINQ)
		case n == 0:
			return 0, os.ErrDeadlineExceeded
		case fds[0].Revents != 0:
			return p.in.Read(b)
		}
	}
	if p.left <= 0 {
		return 0, io.EOF
	}
	n, err := p.in.Read(b[:min(len(b), p.left)])
	p.left -= n
	return n, err
}
