package kit

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A CRILog is a container's log as containerd writes it: a long line in pieces, each in one write,
// and the lines of both streams in one file.
type CRILog struct {
	name string

	mu      sync.Mutex // guards what follows, from one piece to the next
	file    *os.File
	reopens int
	pieces  []byte
}

// NewCRILog begins a log, and makes the directories that it is in.
func NewCRILog(name string) (*CRILog, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	l := &CRILog{name: name}
	return l, l.Reopen()
}

// Name is where it is.
func (l *CRILog) Name() string { return l.name }

// Reopens is how often it was opened.
func (l *CRILog) Reopens() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reopens
}

// Reopen is what the kubelet asks of the runtime when it has renamed the file.
func (l *CRILog) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	if l.file != nil {
		err = l.file.Close()
	}
	l.file = f
	l.reopens++
	return err
}

// Close is the runtime's, when the container has ended.
func (l *CRILog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// Write appends lines that belong together, piece by piece. Pieces of the other stream may come
// between, and so may a rotation: cut says that it did.
func (l *CRILog) Write(stream string, lines ...string) (cut bool, err error) {
	first := 0
	for i, line := range lines {
		for at := 0; ; {
			rest, more, reopens := line[at:], false, 0
			if more = len(rest) > maxPiece; more {
				rest = rest[:maxPiece]
			}
			if reopens, err = l.piece(stream, rest, more); err != nil {
				return cut, err
			}
			if i == 0 && at == 0 {
				first = reopens
			}
			cut = cut || reopens != first
			if at += len(rest); !more {
				break
			}
		}
	}
	return cut, nil
}

// WriteWhole appends a line that nothing comes between.
func (l *CRILog) WriteWhole(stream, line string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; len(line) > maxPiece; line = line[maxPiece:] {
		if err := l.append(stream, line[:maxPiece], true); err != nil {
			return err
		}
	}
	return l.append(stream, line, false)
}

// maxPiece is containerd's max_container_log_line_size.
const maxPiece = 16 << 10

func (l *CRILog) piece(stream, text string, more bool) (reopens int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reopens, l.append(stream, text, more)
}

// append needs mu.
func (l *CRILog) append(stream, text string, more bool) error {
	tag := "F"
	if more {
		tag = "P"
	}
	l.pieces = fmt.Appendf(l.pieces[:0], "%s %s %s %s\n", time.Now().UTC().Format(time.RFC3339Nano), stream, tag, text)
	_, err := l.file.Write(l.pieces)
	return err
}
