package enginetest

import (
	"bufio"
	"bytes"
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
)

const (
	// startTimeout is far above the tenths of a second a start takes, for machines that do other things.
	startTimeout = 60 * time.Second
	// stopTimeout is more than the five seconds the program gives its statements.
	stopTimeout = 30 * time.Second
)

// process is a running spillway-engine.
type process struct {
	http, native string // addresses
	cmd          *exec.Cmd
	exited       chan struct{} // closed when it has ended and err is set
	err          error
	stderr       *tail
}

// startProcess starts the program on the data directory and waits until it is ready.
func startProcess(dataDir, http, native string, args, env []string) (*process, error) {
	p := &process{exited: make(chan struct{}), stderr: new(tail)}
	var stdout io.ReadCloser
	err := startProgram(func(path string) error {
		p.cmd = exec.Command(path, append([]string{
			"--data-dir", dataDir, "--http", http, "--native", native, "--die-with-parent",
		}, args...)...)
		p.cmd.Dir = dataDir
		p.cmd.Env = append(os.Environ(), env...)
		p.cmd.Stderr = p.stderr
		var err error
		if stdout, err = p.cmd.StdoutPipe(); err != nil {
			return err
		}
		return p.cmd.Start()
	})
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	timer := time.AfterFunc(startTimeout, func() { p.cmd.Process.Kill() }) // ends the read below
	defer timer.Stop()
	lines := bufio.NewReader(stdout)
	line, readErr := lines.ReadString('\n')
	go func() {
		_, _ = io.Copy(io.Discard, lines) // until it ends
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	if _, err := fmt.Sscanf(line, "ready http=%s native=%s\n", &p.http, &p.native); err != nil {
		p.kill()
		return nil, fmt.Errorf("start engine: %w\n%s", errors.Join(readErr, p.err), p.stderr)
	}
	return p, nil
}

// kill ends the process as a crash would, and waits for its end.
func (p *process) kill() {
	// It may have ended by itself.
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stop ends the process as an operator would. The error is that of its exit.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop engine: %w", err)
	}
	timer := time.AfterFunc(stopTimeout, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	<-p.exited
	if p.err != nil {
		return fmt.Errorf("stop engine: %w\n%s", p.err, p.stderr)
	}
	return nil
}

// tail keeps the last of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - tailBytes; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.buf.String())
}

// writeConfig puts a piece of ClickHouse's configuration where the engine looks for it.
func writeConfig(dataDir, xml string) error {
	dir := filepath.Join(dataDir, "config.d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "test.xml"), []byte(xml), 0o644)
}
