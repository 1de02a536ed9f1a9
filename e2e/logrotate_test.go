package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A plainLog is a program's log file, which it appends to and opens again when it is told.
type plainLog struct {
	name string

	mu   sync.Mutex // guards file, and is held by a rotation that the program waits for
	file *os.File
}

func newPlainLog(name string) (*plainLog, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	l := &plainLog{name: name}
	return l, l.reopen()
}

func (l *plainLog) reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			return err
		}
	}
	var err error
	l.file, err = os.OpenFile(l.name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return err
}

// write appends lines, in two writes, so that a reader may see one that is not complete yet.
func (l *plainLog) write(lines []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, part := range [][]byte{lines[:len(lines)/2], lines[len(lines)/2:]} {
		if _, err := l.file.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// A logrotate rotates a file with the program of that name.
type logrotate struct {
	log   *plainLog
	mode  rotation
	state string // a directory
}

// A rotation is one of logrotate's ways.
type rotation struct {
	name, directives string
	reopens          bool // the program opens its file again; else the file is truncated
}

var rotations = []rotation{
	{"create", "create", true},
	{"create-gz", "create\ncompress\ndelaycompress", true},
	{"copytruncate", "copytruncate", false},
	{"copytruncate-gz", "copytruncate\ncompress", false},
	{"dateext", "create\ndateext\ndateformat -%Y%m%d-%s", true},
	{"dateext-gz", "create\ncompress\ndelaycompress\ndateext\ndateformat -%Y%m%d-%s", true},
	{"nocreate", "nocreate", true},
}

// globs are what an operator writes for them: with the rotated files and without.
var globs = map[string]string{"one": "app.log", "all": "app.log*"}

const logrotateProgram = "/usr/sbin/logrotate"

// run rotates once. Of rotated files, keep stay.
func (l *logrotate) run(keep int) error {
	conf := filepath.Join(l.state, "conf")
	text := fmt.Sprintf("%q {\nrotate %d\nmissingok\n%s\n}\n", l.log.name, keep, l.mode.directives)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	out, err := exec.Command(logrotateProgram, "-f", "-s", filepath.Join(l.state, "state"), conf).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s: apt-get install logrotate", logrotateProgram, err, out)
	}
	return nil
}

// paused is run while the program waits: what it writes between copytruncate's copy and its truncation
// would be lost by logrotate itself.
func (l *logrotate) paused(keep int) error {
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	return l.run(keep)
}

var lineNumber = regexp.MustCompile(`~[a-z0-9.-]+~([0-9]+)~`)

// onDisk is how often each number is in the files of a log, compressed or not, in whole lines.
func onDisk(t *testing.T, name string) map[uint64]int {
	t.Helper()
	files, err := filepath.Glob(name + "*")
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[uint64]int)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".gz") {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range lineNumber.FindAllSubmatch(b, -1) {
			n, err := strconv.ParseUint(string(m[1]), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			there[n]++
		}
	}
	return there
}

// Every way in which logrotate rotates, with the rotated files among the globs and not, under load
// and with the agent killed with -9 in the middle, which finds rotations that it has not seen: each
// line is stored, once.
func TestLogrotateLosesNothingInAnyOfItsWays(t *testing.T) {
	t.Parallel()
	const passes, lines = 5, 300 // lines of a pass
	dir := t.TempDir()
	var include []string
	for name, glob := range globs {
		include = append(include, fmt.Sprintf("%q", filepath.Join(dir, name, "*", glob)))
	}
	engine, c, a := both(t, fmt.Sprintf(", tail: [{include: [%s]}]", strings.Join(include, ", ")))
	var all []*logrotate
	for name := range globs {
		for _, mode := range rotations {
			log, err := newPlainLog(filepath.Join(dir, name, mode.name, "app.log"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { log.file.Close() })
			all = append(all, &logrotate{log, mode, t.TempDir()})
		}
	}
	series := func(l *logrotate) string {
		return filepath.Base(filepath.Dir(filepath.Dir(l.log.name))) + "-" + l.mode.name
	}
	written := 0
	write := func(n int) {
		for i := written; i < written+n; i++ {
			for _, l := range all {
				if err := l.log.write(fmt.Appendf(nil, "~%s~%d~ some words\n", series(l), i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		written += n
	}
	conn := connect(t, engine.DSN())
	for pass := range passes {
		write(lines)
		switch pass {
		case 1, 3:
			a.kill()
		case 2, 4:
			a.start()
			a.healthy()
		}
		// Dates have seconds, of which two rotations are not the same.
		next := time.Now().Truncate(time.Second).Add(time.Second)
		until(t, "another second", func() bool { return time.Now().After(next) })
		for _, l := range all {
			if err := l.paused(passes); err != nil {
				t.Fatal(err)
			}
		}
		write(lines) // into the renamed file, until the program is told
		for _, l := range all {
			if !l.mode.reopens {
				continue
			}
			if err := l.log.reopen(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(lines)
	until(t, "every line stored", func() bool {
		return one(t, conn, "SELECT uniqExact(Body) FROM otel_logs") >= uint64(written*len(all))
	})
	a.drained()
	c.equation()
	for _, l := range all {
		if rows := one(t, conn, "SELECT count() FROM otel_logs WHERE startsWith(Body, ?)", "~"+series(l)+"~"); rows != uint64(written) {
			t.Errorf("%s: %d rows for %d lines", series(l), rows, written)
		}
	}
	missedNothing(t, a.metrics())
	t.Logf("lines %d, in %d ways", written*len(all), len(all))
}

// copytruncate while the program writes on: what it writes between the copy and the truncation is
// lost, and not by us. Every line that is in a file at the end is stored, and no line is stored twice.
func TestCopytruncateOfABusyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var include []string
	for name, glob := range globs {
		include = append(include, fmt.Sprintf("%q", filepath.Join(dir, name, "*", glob)))
	}
	engine, c, a := both(t, fmt.Sprintf(", tail: [{include: [%s]}]", strings.Join(include, ", ")))
	const passes = 12
	type busy struct {
		*logrotate
		series string
		lines  int
	}
	var all []*busy
	var writing sync.WaitGroup
	stop := make(chan struct{})
	for name := range globs {
		for _, mode := range rotations {
			if mode.reopens {
				continue
			}
			log, err := newPlainLog(filepath.Join(dir, name, mode.name, "app.log"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { log.file.Close() })
			b := &busy{logrotate: &logrotate{log, mode, t.TempDir()}, series: name + "-" + mode.name}
			all = append(all, b)
			writing.Go(func() {
				tick := time.NewTicker(2 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
					}
					for range 1 + rand.IntN(8) {
						// A write is one line: it is in a copy as a whole, or not.
						if _, err := log.file.Write(fmt.Appendf(nil, "~%s~%d~ some words\n", b.series, b.lines)); err != nil {
							t.Error(err)
							return
						}
						b.lines++
					}
				}
			})
		}
	}
	conn := connect(t, engine.DSN())
	for pass := range passes {
		read := func() float64 { return a.metrics()[`spillway_tail_lines_total{outcome="read"}`] }
		before := read()
		until(t, "some more lines read", func() bool { return read() > before+200 })
		if pass == passes/2 {
			a.kill()
		}
		for _, b := range all {
			if err := b.run(passes + 1); err != nil {
				t.Fatal(err)
			}
		}
		if pass == passes/2 {
			a.start()
			a.healthy()
		}
	}
	close(stop)
	writing.Wait()
	// The last line of each comes after all others of its file. Those of the copies were there before.
	for _, b := range all {
		until(t, "the last line of "+b.series, func() bool {
			return one(t, conn, "SELECT count() FROM otel_logs WHERE startsWith(Body, ?)", fmt.Sprintf("~%s~%d~", b.series, b.lines-1)) > 0
		})
	}
	until(t, "every file read", func() bool { return a.metrics()["spillway_tail_unread_bytes"] == 0 })
	a.drained()
	c.equation()
	for _, b := range all {
		rows := selected(t, engine, fmt.Sprintf("SELECT toUInt64(extract(Body, '~([0-9]+)~')) AS n, toUInt32(count()) AS times FROM otel_logs WHERE match(Body, '^~%s~[0-9]+~') GROUP BY n", b.series))
		stored := make(map[uint64]int, len(rows))
		for _, r := range rows {
			n, err := strconv.ParseUint(fmt.Sprint(r["n"]), 10, 64)
			times, err2 := strconv.Atoi(fmt.Sprint(r["times"]))
			if err != nil || err2 != nil {
				t.Fatal(r)
			}
			if stored[n] = times; times > 1 {
				t.Errorf("%s: line %d is there %d times", b.series, n, times)
			}
		}
		there := onDisk(t, b.log.name)
		for n := range there {
			if stored[n] == 0 {
				t.Errorf("%s: line %d is in a file and not stored", b.series, n)
			}
		}
		t.Logf("%s: lines %d, in files %d, lost by logrotate %d of which stored %d", b.series, b.lines, len(there), b.lines-len(there), len(stored)-len(there))
	}
	balanced(t, a.metrics())
}
