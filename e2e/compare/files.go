package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// fileShares are the sizes of the files that are tailed: shares of all lines.
var fileShares = []int{1, 1, 2, 3, 5, 8, 13, 21}

// textBytes of a line, newline included.
const textBytes = 150

// A form is one kind of files.
type form struct {
	name  string
	what  string
	floor float64 // least ratio of lines per second of processor time, ours to otelcol's; 0: there is none
	line  func(dst []byte, r *rand.Rand, at time.Time) []byte
	peer  string // operators of filelog
}

const parser = "\n    - {type: json_parser}"

const container = "\n    include_file_path: true\n    operators:\n    - {type: container, format: containerd}"

var forms = []form{
	{"structlog", "structlog's JSON, which both parse", 8, structlogLine, "\n    operators:" + parser},
	{"cri", "the same in containerd's format", 12, criLine, container + parser},
	{"text", "text of 150 bytes, which nobody parses", 0, textLine, ""},
	{"unparsed", "structlog's JSON in containerd's format; ours parses it, otelcol does not", 0, criLine, container},
}

// textLine is what a program prints that nobody parses: a time, a level, a logger and a text.
func textLine(dst []byte, r *rand.Rand, at time.Time) []byte {
	start := len(dst)
	dst = at.AppendFormat(dst, "2006-01-02 15:04:05.000")
	source := r.IntN(len(bodies))
	dst = fmt.Appendf(dst, " %s  app.handler%d [worker-%d] %s request_id=%016x ", level(r), source, r.IntN(8), bodies[source](r), r.Uint64())
	for n := 0; len(dst)-start < textBytes; n++ {
		dst = fmt.Appendf(dst, "tag%d=%d ", n, zipf(r, 1000))
	}
	return append(dst[:start+textBytes-1], '\n')
}

func level(r *rand.Rand) string {
	if p := r.IntN(100); p < 2 {
		return "ERROR"
	} else if p < 10 {
		return "WARN"
	}
	return "INFO"
}

// criLine is what containerd makes of what structlog prints.
func criLine(dst []byte, r *rand.Rand, at time.Time) []byte {
	return structlogLine(append(at.AppendFormat(dst, "2006-01-02T15:04:05.000000000Z"), " stdout F "...), r, at)
}

// structlogLine is what a service with structlog prints.
func structlogLine(dst []byte, r *rand.Rand, at time.Time) []byte {
	source := r.IntN(len(bodies))
	event, err := json.Marshal(bodies[source](r))
	if err != nil {
		panic(err) // it is a string
	}
	dst = fmt.Appendf(dst, `{"user_id": "u-%08d", "path": "/api/v1/orders/%d/items?expand=prices&currency=EUR", "status": %d, "duration_ms": %.3f, `,
		zipf(r, 200_000), r.IntN(9_000_000), []int{200, 200, 200, 201, 404, 500}[r.IntN(6)], r.ExpFloat64()*30)
	dst = fmt.Appendf(dst, `"trace_id": "%x", "span_id": "%x", "event": %s, "logger": "app.handler%d", "level": %q, "timestamp": "`,
		kit.ID(r, 16), kit.ID(r, 8), event, source, strings.ToLower(level(r)))
	dst = at.AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	return append(dst, "\"}\n"...)
}

// write makes the files below dir, as the kubelet lays them out, and reads them, so that they are
// in memory. It returns the glob that finds them.
func (f form) write(dir string, lines int) (glob string, bytes int64, err error) {
	w := workload{seed: 1, start: yesterday()}
	total := 0
	for _, share := range fileShares {
		total += share
	}
	for i, share := range fileShares {
		n := lines * share / total
		if i == len(fileShares)-1 {
			n = lines
			for _, before := range fileShares[:i] {
				n -= lines * before / total
			}
		}
		pod := fmt.Sprintf("team-%d_service-%02d-7d9f8b6c5-%05x_%08x-0000-4000-8000-%012x", i%3, i, i*31, i, i)
		name := filepath.Join(dir, pod, "app", "0.log")
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return "", 0, err
		}
		size, err := f.writeFile(name, n, w.rng("file", i), w.start)
		if err != nil {
			return "", 0, err
		}
		bytes += size
	}
	return filepath.Join(dir, "*", "*", "*.log"), bytes, nil
}

func (f form) writeFile(name string, lines int, r *rand.Rand, at time.Time) (size int64, err error) {
	file, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	var line []byte
	for range lines {
		at = at.Add(time.Duration(r.Int64N(int64(2 * time.Second / rowsPerSec))))
		line = f.line(line[:0], r, at)
		if _, err := w.Write(line); err != nil {
			return 0, err
		}
	}
	// What is still to be written back would be the programs' fsyncs' to wait for.
	if err := w.Flush(); err != nil {
		return 0, err
	}
	if err := file.Sync(); err != nil {
		return 0, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return io.Copy(io.Discard, file)
}
