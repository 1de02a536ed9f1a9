package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkGroupCommit appends records of 4 KiB from many callers at once. Turn by turn with it,
// the same bytes are written to a plain file and synced in groups as large as all callers
// together could make. of-raw is the throughput of the first as a part of the second's:
// the two share the moods of the disk. With a reader, what is appended is also read back
// and acknowledged, which is how the agent uses it.
func BenchmarkGroupCommit(b *testing.B) {
	for _, reader := range []bool{false, true} {
		for _, callers := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("reader=%t/callers=%d", reader, callers), func(b *testing.B) {
				l := openStore(b, b.TempDir(), func(c *Config) { c.MaxBytes = 64 << 30 }).Lane("logs")
				if reader {
					go acknowledgeAll(b, l)
				}
				raw, err := os.Create(filepath.Join(b.TempDir(), "raw"))
				if err != nil {
					b.Fatal(err)
				}
				defer raw.Close()
				data := make([]byte, 4<<10)
				group := make([]byte, callers*entrySize(0, len(data)))
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				var ours, raws time.Duration
				waits, rawWaits := newLatencies(b.N), newLatencies(b.N)
				turn := 100 * callers
				for n := b.N; n > 0; n -= turn {
					start := time.Now()
					spread(min(n, turn), callers, func() {
						asked := time.Now()
						if err := l.Append(b.Context(), Record{Items: 10, Data: data}); err != nil {
							b.Error(err)
						}
						waits.add(time.Since(asked))
					})
					ours += time.Since(start)
					b.StopTimer()
					start = time.Now()
					writeRaw(b, raw, group, min(n, turn), callers, rawWaits)
					raws += time.Since(start)
					b.StartTimer()
				}
				b.ReportMetric(float64(raws)/float64(ours), "of-raw")
				b.ReportMetric(float64(waits.quantile(0.5).Microseconds()), "p50-µs")
				b.ReportMetric(float64(waits.quantile(0.99).Microseconds()), "p99-µs")
				b.ReportMetric(float64(rawWaits.quantile(0.99).Microseconds()), "raw-p99-µs")
			})
		}
	}
}

// latencies keeps every one of n waits.
type latencies struct {
	all  []time.Duration
	next atomic.Int64
}

func newLatencies(n int) *latencies { return &latencies{all: make([]time.Duration, n)} }

func (l *latencies) add(d time.Duration) { l.all[l.next.Add(1)-1] = d }

func (l *latencies) quantile(q float64) time.Duration {
	slices.Sort(l.all)
	return l.all[int(q*float64(len(l.all)-1))]
}

func writeRaw(b *testing.B, f *os.File, group []byte, records, callers int, waits *latencies) {
	for n := records; n > 0; n -= callers {
		start := time.Now()
		if _, err := f.Write(group[:len(group)/callers*min(callers, n)]); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		for range min(callers, n) {
			waits.add(time.Since(start))
		}
	}
}

func acknowledgeAll(b *testing.B, l *Log) {
	for {
		e, err := l.Next(b.Context())
		if err != nil {
			return
		}
		l.Ack(e)
	}
}

// spread runs f n times over that many goroutines.
func spread(n, goroutines int, f func()) {
	var wg sync.WaitGroup
	for g := range goroutines {
		share := n / goroutines
		if g < n%goroutines {
			share++
		}
		wg.Go(func() {
			for range share {
				f()
			}
		})
	}
	wg.Wait()
}

// BenchmarkOpen opens a directory with a backlog, until the lane takes an append: as much as
// SPILLWAY_BACKLOG_GIB says, else 1 GiB.
func BenchmarkOpen(b *testing.B) {
	gib := 1
	if v, err := strconv.Atoi(os.Getenv("SPILLWAY_BACKLOG_GIB")); err == nil {
		gib = v
	}
	b.Run(fmt.Sprintf("backlog=%dGiB", gib), func(b *testing.B) {
		dir := b.TempDir()
		large := func(c *Config) { c.MaxBytes = 64 << 30 }
		s := openStore(b, dir, large)
		data := make([]byte, 512<<10)
		spread(gib<<11, 4, func() {
			if err := s.Lane("logs").Append(b.Context(), Record{Items: 1000, Data: data}); err != nil {
				b.Error(err)
			}
		})
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			s := openStore(b, dir, large)
			put(b, s.Lane("logs"), "x")
			b.StopTimer()
			if got, want := s.Lane("logs").Stats().Recovered, uint64(gib<<11*1000); got < want {
				b.Fatalf("recovered %d of %d", got, want)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

// BenchmarkLaneMemory tells what a lane keeps on the heap: just opened, and when 64 MiB went through it.
func BenchmarkLaneMemory(b *testing.B) {
	const lanes = 8
	heap := func() float64 {
		runtime.GC()
		runtime.GC() // what pools hold goes with the second one
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapInuse)
	}
	for b.Loop() {
		before := heap()
		s := openStore(b, b.TempDir(), func(c *Config) {
			c.MaxBytes, c.Lanes = 8<<30, nil
			for i := range lanes {
				c.Lanes = append(c.Lanes, fmt.Sprint("lane", i))
			}
		})
		b.ReportMetric((heap()-before)/lanes, "idle-B/lane")
		for i := range lanes {
			l := s.Lane(fmt.Sprint("lane", i))
			go acknowledgeAll(b, l)
			data := make([]byte, 64<<10)
			spread(1024, 16, func() {
				if err := l.Append(b.Context(), Record{Items: 1, Data: data}); err != nil {
					b.Error(err)
				}
			})
		}
		b.ReportMetric((heap()-before)/lanes, "used-B/lane")
		s.Close()
	}
}
