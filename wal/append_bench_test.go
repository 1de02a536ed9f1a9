package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
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
				turn := 100 * callers
				for n := b.N; n > 0; n -= turn {
					start := time.Now()
					spread(min(n, turn), callers, func() {
						if err := l.Append(b.Context(), Record{Items: 10, Data: data}); err != nil {
							b.Error(err)
						}
					})
					ours += time.Since(start)
					b.StopTimer()
					start = time.Now()
					writeRaw(b, raw, group, min(n, turn), callers)
					raws += time.Since(start)
					b.StartTimer()
				}
				b.ReportMetric(float64(raws)/float64(ours), "of-raw")
			})
		}
	}
}

func writeRaw(b *testing.B, f *os.File, group []byte, records, callers int) {
	for n := records; n > 0; n -= callers {
		if _, err := f.Write(group[:len(group)/callers*min(callers, n)]); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
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
