package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// An engine is a real ClickHouse on loopback, with a data directory of its own.
type engine struct {
	cmd  *exec.Cmd
	http string
	said tail
}

func startEngine(binary, dir string) (*engine, error) {
	data := filepath.Join(dir, "engine")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	e := &engine{cmd: exec.Command(binary, "--data-dir", data, "--http", "127.0.0.1:0", "--native", "127.0.0.1:0", "--die-with-parent")}
	e.cmd.Dir, e.cmd.Stderr = data, &e.said
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := e.cmd.Start(); err != nil {
		return nil, err
	}
	timer := time.AfterFunc(startTime, func() { e.cmd.Process.Kill() }) // ends the read below
	defer timer.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, scan := fmt.Sscanf(line, "ready http=%s ", &e.http); scan != nil {
		e.stop()
		return nil, fmt.Errorf("start engine: %w\n%s", errors.Join(err, scan), &e.said)
	}
	return e, nil
}

func (e *engine) stop() {
	e.cmd.Process.Kill()
	_ = e.cmd.Wait() // killed
}

// sql runs a statement and returns its rows, of columns.
func (e *engine) sql(ctx context.Context, statement string, args ...any) ([][]string, error) {
	statement = fmt.Sprintf(statement, args...)
	query := url.Values{"default_format": {"TabSeparated"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+e.http+"/?"+query.Encode(), strings.NewReader(statement))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statement, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statement, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", statement, body)
	}
	var rows [][]string
	for line := range strings.Lines(string(body)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows, nil
}

// number is the one number that a statement returns.
func (e *engine) number(ctx context.Context, statement string, args ...any) (int64, error) {
	rows, err := e.sql(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(rows[0][0], 10, 64)
}
