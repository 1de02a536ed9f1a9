package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// A fileLog writes lines as structlog does, to a file that is rotated by rename.
type fileLog struct {
	agent   *agent
	file    *os.File
	opened  time.Time
	rotated []string // oldest first
	number  int
}

const (
	rotateEvery = 4 * time.Second
	// keepRotated files stay. More stay while the agent is behind: what goes unread would be our loss.
	keepRotated = 10
)

func newFileLog(a *agent) *fileLog { return &fileLog{agent: a} }

// send is acked when the lines are in the file and the file is on the disk.
func (l *fileLog) send(w *writer, first uint64, count int) outcome {
	if err := l.write(w, first, count); err != nil {
		return unanswered
	}
	return acked
}

func (l *fileLog) write(w *writer, first uint64, count int) error {
	name := filepath.Join(l.agent.files, w.writer+".log")
	if l.file != nil && time.Since(l.opened) > rotateEvery {
		if err := l.rotate(name); err != nil {
			return err
		}
	}
	if l.file == nil {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		l.file, l.opened = f, time.Now()
	}
	var lines []byte
	for i := range uint64(count) {
		lines = fmt.Appendf(lines, `{"event":"request %d finished","level":"info","timestamp":%q,"request":"%016x",%q:%q,%q:%q,%q:%d}`+"\n", first+i,
			time.Now().UTC().Format(time.RFC3339Nano), w.r.Uint64(), attrRun, w.run, attrWriter, w.writer, attrNumber, first+i)
	}
	// In two writes, so that the agent may see a line that is not complete yet.
	for _, part := range [][]byte{lines[:len(lines)/2], lines[len(lines)/2:]} {
		if _, err := l.file.Write(part); err != nil {
			return err
		}
	}
	return l.file.Sync()
}

// rotate renames the file; the next one takes its name.
func (l *fileLog) rotate(name string) error {
	l.number++
	to := fmt.Sprintf("%s.%06d", name, l.number)
	if err := os.Rename(name, to); err != nil {
		return err
	}
	l.rotated = append(l.rotated, to)
	err := l.file.Close()
	l.file = nil
	for err == nil && len(l.rotated) > keepRotated && l.read() {
		err = os.Remove(l.rotated[0])
		l.rotated = l.rotated[1:]
	}
	return err
}

// read says that the agent has read every file. One that has just started knows of none.
func (l *fileLog) read() bool {
	m, err := l.agent.metrics()
	return err == nil && kit.Total(m, unreadBytes) == 0 && kit.Total(m, knownFiles, `state="known"`) >= float64(len(l.rotated))
}

func (l *fileLog) close() {
	if l.file != nil {
		l.file.Close()
	}
}
