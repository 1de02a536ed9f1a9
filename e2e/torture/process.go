package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// A process is a program that is started again and again, with the same arguments.
type process struct {
	name, binary string
	args         []string
	health       string // a URL that answers 200 when the process does its work
	output       string // the file that its output is appended to
	event        func(format string, args ...any)

	turn sync.Mutex // held by the fault that has the process

	mu     sync.Mutex // guards what follows
	run    *running   // nil: it is not to run
	starts int
	falls  []string // how it ended when nobody had asked it to
}

type running struct {
	cmd    *exec.Cmd
	asked  bool          // to end; needs process.mu
	exited chan struct{} // closed when it has ended
}

// asking is for questions to a process that may be suspended or dead.
var asking = &http.Client{Timeout: 2 * time.Second}

// start starts the process unless it runs.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		select {
		case <-p.run.exited:
		default:
			return nil
		}
	}
	out, err := os.OpenFile(p.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	p.starts++
	fmt.Fprintf(out, "--- %s start %d\n", time.Now().UTC().Format(time.RFC3339Nano), p.starts)
	r := &running{cmd: exec.Command(p.binary, p.args...), exited: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = out, out
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.run = r
	go func() {
		_ = r.cmd.Wait() // its state says how it ended
		p.fell(r)
		close(r.exited)
	}()
	return nil
}

// fell notes an end that nobody asked for.
func (p *process) fell(r *running) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.asked {
		return
	}
	fall := fmt.Sprintf("%s, start %d, ended by itself: %s; see %s", p.name, p.starts, r.cmd.ProcessState, p.output)
	p.falls = append(p.falls, fall)
	p.event("%s", fall)
}

// down says that the process is to run and does not.
func (p *process) down() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return false
	}
	select {
	case <-p.run.exited:
		return true
	default:
		return false
	}
}

// kill is kill -9. It returns when the process has ended.
func (p *process) kill() {
	p.mu.Lock()
	r := p.run
	p.run = nil
	if r != nil {
		r.asked = true
	}
	p.mu.Unlock()
	if r != nil {
		_ = r.cmd.Process.Kill() // it may have ended by itself
		<-r.exited
	}
}

// signal sends s to the process, if it runs.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		_ = p.run.cmd.Process.Signal(s) // it may have ended by itself
	}
}

// startLimit is far above what a start takes, on a machine that does other things.
const startLimit = time.Minute

// up starts the process and waits until it answers.
func (p *process) up(ctx context.Context) error {
	if err := p.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if _, err := get(p.health); err == nil {
			return nil
		}
		if !kit.Pause(ctx, 20*time.Millisecond) {
			return fmt.Errorf("%s does not answer at %s; see %s", p.name, p.health, p.output)
		}
	}
}

// get returns what is at url.
func get(url string) ([]byte, error) {
	resp, err := asking.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, said)
	}
	return said, err
}
