package tail

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func benchmark(b *testing.B, format, line string) {
	r := newRig(b, func(c *Config) { c.Format = format })
	const lines = 20_000
	text := strings.Repeat(line, lines)
	r.write("a.log", text)
	r.start()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	got := 0
	for b.Loop() {
		for c := r.next(); c != nil; c = r.next() {
			got += len(c.Lines)
			r.tailer.Done(c, true)
		}
		f := r.tailer.files[r.inode("a.log")]
		f.taken = f.taken[:0]
		f.rewind()
		r.tailer.push(f)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(got), "ns/line")
}

func BenchmarkPlain(b *testing.B) {
	benchmark(b, FormatPlain, strings.Repeat("x", 149)+"\n")
}

func BenchmarkCRI(b *testing.B) {
	benchmark(b, FormatCRI, cri("stdout", "F", strings.Repeat("x", 107)))
}

func BenchmarkCRIPieces(b *testing.B) {
	benchmark(b, FormatCRI, cri("stdout", "P", strings.Repeat("x", 107))+cri("stdout", "F", strings.Repeat("y", 107)))
}

func BenchmarkDocker(b *testing.B) {
	benchmark(b, FormatDocker, `{"log":"`+strings.Repeat("x", 67)+`\n","stream":"stdout","time":"2016-10-06T00:17:09.669794202Z"}`+"\n")
}

func BenchmarkDockerEscapes(b *testing.B) {
	benchmark(b, FormatDocker, `{"log":"`+strings.Repeat(`a \"b\" `, 8)+`\n","stream":"stdout","time":"2016-10-06T00:17:09.669794202Z"}`+"\n")
}

// BenchmarkTurn is the cost of a turn that brings one line: that of a slow file.
func BenchmarkTurn(b *testing.B) {
	r := newRig(b, func(c *Config) { c.Format = FormatPlain })
	r.write("a.log", strings.Repeat("x", 2000)+"\n")
	r.start()
	f := r.tailer.files[r.inode("a.log")]
	b.ReportAllocs()
	for b.Loop() {
		r.take(r.next())
		f.taken = f.taken[:0]
		f.rewind()
		r.tailer.push(f)
	}
}

// quiet is 500 files that have been read and do not grow.
func quiet(b *testing.B) *rig {
	r := newRig(b)
	for i := range 500 {
		r.write(strings.Repeat("x", i%100)+string(rune('a'+i/100))+".log", "one\n")
	}
	r.start()
	r.read()
	return r
}

func BenchmarkScan(b *testing.B) {
	r := quiet(b)
	b.ReportAllocs()
	for b.Loop() {
		r.tailer.scan(r.now)
	}
}

func BenchmarkLook(b *testing.B) {
	r := quiet(b)
	b.ReportAllocs()
	for b.Loop() {
		r.tailer.look(r.now)
	}
}

func BenchmarkPositions(b *testing.B) {
	p := NewPositions()
	pr := at(1, 1, span{0, 100})
	cursor := appendProgress(nil, pr)
	b.ReportAllocs()
	for b.Loop() {
		p.Apply(cursor)
	}
}

// BenchmarkFirstScan is the start on a node with a thousand containers that were tailed before.
func BenchmarkFirstScan(b *testing.B) {
	r := newRig(b, func(c *Config) { c.Include = []string{filepath.Join(filepath.Dir(c.Include[0]), "*", "0.log")} })
	for i := range 1000 {
		r.must(os.Mkdir(r.path(strconv.Itoa(i)), 0o700))
		r.write(strconv.Itoa(i)+"/0.log", cri("stdout", "F", "one"))
		r.write(strconv.Itoa(i)+"/0.log.20260102-030405.gz", string(compressed([]byte(cri("stdout", "F", "before us")))))
	}
	r.start()
	r.read()
	b.ReportAllocs()
	for b.Loop() {
		r.restart()
	}
}
