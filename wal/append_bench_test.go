package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// BenchmarkGroupCommit appends from many callers at once; MB/s is to be read beside BenchmarkRawAppendFsync,
// which writes and syncs the same bytes in groups of the same size.
func BenchmarkGroupCommit(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			l := openStore(b, b.TempDir(), func(c *Config) { c.MaxBytes = 64 << 30 }).Lane("logs")
			go func() {
				for {
					e, err := l.Next(b.Context())
					if err != nil {
						return
					}
					l.Ack(e)
				}
			}()
			data := make([]byte, 4<<10)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			b.ResetTimer()
			spread(b.N, callers, func() {
				if err := l.Append(b.Context(), Record{Items: 10, Data: data}); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

func BenchmarkRawAppendFsync(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("group=%d", callers), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			one := entrySize(0, 4<<10)
			group := make([]byte, callers*one)
			b.SetBytes(4 << 10)
			b.ResetTimer()
			for n := 0; n < b.N; n += callers {
				if _, err := f.Write(group[:min(callers, b.N-n)*one]); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
			}
		})
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
