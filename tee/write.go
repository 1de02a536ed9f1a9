package tee

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pipeWrite is what a pipe that is ready takes without blocking: PIPE_BUF of Linux.
const pipeWrite = 4096

// writeOut writes q to out until its end, or until out is closed on the other side.
func writeOut(out *os.File, q *queue, stop *gate, v *voice) {
	for {
		it, ok := q.next()
		if !ok {
			return
		}
		if it.gap.torn {
			it.data = []byte("\n") // the next line begins a new one
		}
		for data := it.data; len(data) > 0; {
			_, open, err := stop.wait(out, unix.POLLOUT)
			if open {
				v.say("stdout: %d bytes could not be written", q.left())
				q.close()
				return
			}
			n := 0
			if err == nil {
				n, err = out.Write(data[:min(len(data), pipeWrite)])
			}
			data = data[n:]
			if it.gap.bytes == 0 {
				q.done(n)
			}
			if err != nil {
				v.say("stdout: %v: going on with the file", err)
				q.close()
				return
			}
		}
	}
}

// retryEvery is how often a file that cannot be written is tried again.
const retryEvery = 200 * time.Millisecond

// writeFile writes q to f until its end. What fails is tried again until stop.
func writeFile(f *rotating, q *queue, stop *gate, v *voice) {
	for {
		it, ok := q.next()
		if !ok {
			return
		}
		data := it.data
		if g := it.gap; g.bytes > 0 {
			data = fmt.Appendf(nil, "spillway tee: %d lines (%d bytes) dropped here: %s\n", g.lines, g.bytes, g.reason)
			if g.torn {
				data = append([]byte("\n"), data...)
			}
		}
		for since := (time.Time{}); len(data) > 0; {
			n, err := f.write(data)
			data = data[n:]
			if it.gap.bytes == 0 {
				q.done(n)
			}
			q.trouble(plain(err))
			switch {
			case err != nil && since.IsZero():
				since = time.Now()
				v.seldom("file", func() string { return fmt.Sprintf("%v: keeping up to %d MiB until it works", err, q.max>>20) })
			case err == nil && !since.IsZero():
				v.seldom("works", func() string {
					return fmt.Sprintf("%s: works again after %s", f.name, time.Since(since).Round(time.Millisecond))
				})
			}
			if err != nil && stop.within(retryEvery) {
				return
			}
		}
	}
}

// plain is what an error says of its cause.
func plain(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// within waits so long, or until the gate is open.
func (g *gate) within(d time.Duration) (open bool) {
	if g.r == nil {
		time.Sleep(d)
		return false
	}
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(g.r.Fd()), Events: unix.POLLIN}}, int(d.Milliseconds()))
	return n > 0
}
