package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/tail"
)

// A logKind is one kind of lines in a file.
type logKind struct {
	name  string
	text  func(dst []byte, r *rand.Rand, at time.Time) []byte
	inCRI bool
}

var logKinds = []logKind{
	{"Plain", plainText, false},
	{"CRI", plainText, true},
	{"Structlog", structlogText, false},
	{"StructlogCRI", structlogText, true},
}

// plainText makes lines of 150 bytes, newline included.
func plainText(dst []byte, r *rand.Rand, at time.Time) []byte {
	start := len(dst)
	dst = at.AppendFormat(dst, "2006-01-02 15:04:05.000")
	dst = fmt.Appendf(dst, " INFO  app.orders [worker-%d] order %d accepted for customer %d, total %d EUR request_id=%016x ",
		r.IntN(8), r.IntN(9_000_000), r.IntN(200_000), r.IntN(900), r.Uint64())
	for len(dst) < start+149 {
		dst = append(dst, "and more "...)
	}
	return dst[:start+149]
}

func structlogText(dst []byte, r *rand.Rand, at time.Time) []byte {
	dst = fmt.Appendf(dst, `{"user_id": "u-%08d", "path": "/api/v1/orders/%d/items?expand=prices", "status": 201, "duration_ms": %.3f, `,
		r.IntN(200_000), r.IntN(9_000_000), r.ExpFloat64()*30)
	dst = fmt.Appendf(dst, `"trace_id": "%016x%016x", "span_id": "%016x", "event": "order %d accepted for a customer", "logger": "app.orders", "level": "info", "timestamp": "`,
		r.Uint64()|1, r.Uint64(), r.Uint64()|1, r.IntN(9_000_000))
	dst = at.AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	return append(dst, `"}`...)
}

const criPrefix = "2006-01-02T15:04:05.000000000Z stdout F "

// write makes a file of n lines.
func (k logKind) write(tb testing.TB, n int) (name string, size int64) {
	tb.Helper()
	name = filepath.Join(tb.TempDir(), "0.log")
	r, at := rand.New(rand.NewPCG(1, 1)), time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	var text []byte
	for range n {
		at = at.Add(time.Duration(r.IntN(1e6)))
		if k.inCRI {
			text = at.AppendFormat(text, criPrefix)
		}
		text = append(k.text(text, r, at), '\n')
	}
	if err := os.WriteFile(name, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	return name, int64(len(text))
}

// A path is what files take in an agent until their bytes go into the log.
type path struct {
	tb     testing.TB
	tailer *tail.Tailer
	enc    encoding
}

func newPath(tb testing.TB, name string) *path {
	tb.Helper()
	cfg := tail.DefaultConfig()
	cfg.Include = []string{name}
	t, err := tail.New([]tail.Config{cfg}, tail.NewPositions(), nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return &path{tb: tb, tailer: t, enc: encoding{encoder: lines.NewEncoder(lines.Options{})}}
}

// chunk takes one chunk and returns its lines.
func (p *path) chunk() int {
	c, err := p.tailer.Next(p.tb.Context())
	if err != nil {
		p.tb.Fatal(err)
	}
	items := 0
	if len(c.Lines) > 0 {
		_, items = p.enc.encode(c)
	}
	p.tailer.Done(c, true)
	return items
}

func (p *path) close() {
	if err := p.tailer.Close(); err != nil {
		p.tb.Fatal(err)
	}
}

const benchFileLines = 200_000

// BenchmarkFile measures lines per second of processor time, from a file to OTLP, and beside it what
// others take who do less with the same file: wc, a loop that finds the newlines, and one that looks
// whether each line is JSON.
func BenchmarkFile(b *testing.B) {
	for _, k := range logKinds {
		b.Run(k.name, func(b *testing.B) {
			name, size := k.write(b, benchFileLines)
			b.Run("OTLP", func(b *testing.B) {
				perCPU(b, size, ownCPU, func() {
					p := newPath(b, name)
					for n := 0; n < benchFileLines; {
						n += p.chunk()
					}
					p.close()
				})
			})
			b.Run("wc", func(b *testing.B) {
				perCPU(b, size, childrenCPU, func() {
					if err := exec.Command("wc", "-l", name).Run(); err != nil {
						b.Fatal(err)
					}
				})
			})
			b.Run("Newlines", func(b *testing.B) {
				perCPU(b, size, ownCPU, func() { scan(b, name, func([]byte) bool { return true }) })
			})
			if k.name != "Plain" && k.name != "CRI" {
				skip := 0
				if k.inCRI {
					skip = len(criPrefix)
				}
				b.Run("JSON", func(b *testing.B) {
					perCPU(b, size, ownCPU, func() { scan(b, name, func(line []byte) bool { return json.Valid(line[skip:]) }) })
				})
			}
		})
	}
}

// perCPU runs do, which goes through all lines of a file of that size.
func perCPU(b *testing.B, size int64, cpu func() time.Duration, do func()) {
	b.SetBytes(size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpu()
	for b.Loop() {
		do()
	}
	took := cpu() - began
	runtime.ReadMemStats(&after)
	all := float64(b.N) * benchFileLines
	b.ReportMetric(all/took.Seconds(), "lines/cpu-s")
	b.ReportMetric(float64(size)*float64(b.N)/1e6/took.Seconds(), "MB/cpu-s")
	b.ReportMetric(math.Round(float64(after.Mallocs-before.Mallocs)/all*100)/100, "allocs/line")
}

func ownCPU() time.Duration      { return rusage(syscall.RUSAGE_SELF) }
func childrenCPU() time.Duration { return rusage(syscall.RUSAGE_CHILDREN) }

func rusage(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// scan reads the file in windows like a tailer's and shows its lines.
func scan(b *testing.B, name string, line func([]byte) bool) {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	window := make([]byte, 256<<10)
	held, n := 0, 0
	for {
		got, err := f.Read(window[held:])
		data := window[:held+got]
		for {
			i := bytes.IndexByte(data, '\n')
			if i < 0 {
				break
			}
			if !line(data[:i]) {
				b.Fatalf("line %d is not what it should be", n)
			}
			data = data[i+1:]
			n++
		}
		held = copy(window, data)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if n != benchFileLines {
		b.Fatalf("%d lines", n)
	}
}

// Lines become OTLP without garbage: what is allocated for a chunk does not grow with its lines, and
// the tailer's looks beside it are few.
func TestSteadyStateFromFileToOTLPDoesNotAllocate(t *testing.T) {
	for _, k := range logKinds {
		t.Run(k.name, func(t *testing.T) {
			const runs, chunks = 5, 5
			name, _ := k.write(t, 100_000)
			p := newPath(t, name)
			defer p.close()
			for range chunks {
				p.chunk()
			}
			n := 0
			allocs := testing.AllocsPerRun(runs, func() {
				for range chunks {
					n += p.chunk()
				}
			})
			perRun := float64(n) / (runs + 1)
			t.Logf("%v allocations for %.0f lines", allocs, perRun)
			if allocs/perRun >= 0.005 {
				t.Errorf("%v allocations for %.0f lines", allocs, perRun)
			}
		})
	}
}
