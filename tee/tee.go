// Package tee copies a program's output to where it went before and to a file that rotates, for a
// tail in another container to read.
//
// What is promised:
//
//  1. The program is not held up: of one stall of the output or of the file it waits for MaxBlock
//     at most. Before each is a buffer; what does not fit is left out from there on, in whole
//     lines, until there is room again.
//  2. What is left out is counted, said, and marked in the file at its place.
//  3. A file rotates between lines, and so has whole ones. It grows beyond MaxSize only by the
//     rest of a line that is longer than 64 KiB.
//  4. All that was read is written before Run returns, for as long as Grace allows.
//
// The file is synced when it rotates and at the end, not line by line: what a program printed and
// the machine lost is lost, what the program's death leaves in the pipe is not.
package tee

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Config says what goes where.
type Config struct {
	In     *os.File // until its end; pipes best
	Out    *os.File // gets every byte of In
	Errors io.Writer

	File     string
	MaxSize  int64         // of the file in bytes; then it becomes File.1, that File.2 and so on
	MaxFiles int           // of these
	MaxBlock time.Duration // how long a stall may hold up the program
	Buffer   int           // bytes before the output, and as many before the file
	Grace    time.Duration // after a signal: for the program to end, and then for what is buffered
}

const (
	// chunk is how much is read at once, and the unit of what is left out.
	chunk = 64 << 10
	// lastly is how much is still read when reading is over: what is in a pipe then, the largest that Linux gives
	// a program without privileges (fs.pipe-max-size).
	lastly = 1 << 20
)

// Run copies until the end of In. After the first of signals that lasts for Grace at most, after
// the second no longer, but for what is in the pipe by then. It returns an error if something that was read is not in the file.
func Run(cfg Config, signals <-chan os.Signal) error {
	voice := newVoice(cfg.Errors)
	defer voice.close()
	stopReading, stopWriting := newGate(), newGate()
	defer stopReading.close()
	defer stopWriting.close()
	file := &rotating{name: cfg.File, maxSize: cfg.MaxSize, maxFiles: cfg.MaxFiles}
	toOut := newQueue("stdout", cfg.Buffer, cfg.MaxBlock, voice)
	toFile := newQueue(cfg.File, cfg.Buffer, cfg.MaxBlock, voice)

	var writers sync.WaitGroup
	writers.Go(func() { writeOut(cfg.Out, toOut, stopWriting, voice) })
	writers.Go(func() { writeFile(file, toFile, stopWriting, voice) })

	read := make(chan error, 1)
	go func() { read <- copyIn(cfg.In, stopReading, toOut, toFile) }()
	err := await(read, signals, cfg.Grace, stopReading)
	toOut.end()
	toFile.end()

	flushed := make(chan struct{})
	go func() { writers.Wait(); close(flushed) }()
	late := time.NewTimer(cfg.Grace)
	defer late.Stop()
	select {
	case <-flushed:
	case <-late.C:
		stopWriting.open()
		select {
		case <-flushed:
		case <-time.After(time.Second): // a disk that hangs; the process ends without it
		}
	}
	toOut.sum()
	toFile.sum()
	if n := toFile.left(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d bytes could not be written to %s", n, cfg.File))
	}
	return errors.Join(err, file.close())
}

// await waits for the end of In.
func await(read <-chan error, signals <-chan os.Signal, grace time.Duration, stop *gate) error {
	var over <-chan time.Time
	for {
		select {
		case err := <-read:
			return err
		case <-signals:
			if over == nil {
				t := time.NewTimer(grace)
				defer t.Stop()
				over = t.C
				continue
			}
		case <-over:
		}
		stop.open()
		return <-read
	}
}

// copyIn fills both queues until the end of in. The output gets all at once, the file whole lines.
func copyIn(in *os.File, stop *gate, toOut, toFile *queue) error {
	buf := make([]byte, chunk)
	held := 0 // bytes of a line that the file does not have yet
	rest := lastly
	for {
		ready, over, err := stop.wait(in, unix.POLLIN)
		n := 0
		if ready = ready && rest > 0; ready {
			n, err = in.Read(buf[held:])
		}
		if over {
			rest -= n
		}
		if n > 0 {
			toOut.put(buf[held : held+n])
			all := held + n
			whole := bytes.LastIndexByte(buf[:all], '\n') + 1
			if whole == 0 && all == len(buf) {
				whole = all // longer than we hold: in parts
			}
			if whole > 0 {
				toFile.put(buf[:whole])
			}
			held = copy(buf, buf[whole:all])
		}
		if err != nil || !ready {
			if held > 0 {
				toFile.put(buf[:held])
			}
			if err == nil || err == io.EOF {
				return nil
			}
			return fmt.Errorf("read: %w", err)
		}
	}
}

// A gate ends waiting for a file, once it is open.
type gate struct{ r, w *os.File }

func newGate() *gate {
	r, w, err := os.Pipe()
	if err != nil {
		return &gate{} // then nothing ends the waiting but what is waited for
	}
	return &gate{r, w}
}

func (g *gate) open() {
	if g.w != nil {
		g.w.Write([]byte{1})
	}
}

func (g *gate) close() {
	if g.w != nil {
		g.w.Close()
		g.r.Close()
	}
}

// wait waits until f can be read or written, or has ended: ready. It does not wait when the gate is open.
func (g *gate) wait(f *os.File, events int16) (ready, open bool, err error) {
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: events}}
	if g.r != nil {
		fds = append(fds, unix.PollFd{Fd: int32(g.r.Fd()), Events: unix.POLLIN})
	}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return false, false, fmt.Errorf("poll: %w", err)
		default:
			return fds[0].Revents != 0, len(fds) > 1 && fds[1].Revents != 0, nil
		}
	}
}
