// Package waltest opens stores for tests, and holds what a test leaves on disk against
// wal/FORMAT.md. It reads the files with code of its own, written from that document.
package waltest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/spillway-io/spillway/wal"
)

// Open opens a store in dir with the lanes named; change may be nil. When the test ends the
// store is closed if it is not yet, its books are checked, and so is the directory.
func Open(t testing.TB, dir string, change func(*wal.Config), lanes ...string) *wal.Store {
	t.Helper()
	cfg := wal.Config{Dir: dir, Lanes: lanes, MaxBytes: 256 << 20, MinFreeBytes: 1}
	if change != nil {
		change(&cfg)
	}
	s, err := wal.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
		for _, name := range lanes {
			if st := s.Lane(name).Stats(); st.Recovered+st.Appended != st.Acked+st.Lost+st.Held || st.Held > st.Recovered+st.Appended {
				t.Errorf("lane %s: %d recovered + %d appended are not %d acknowledged + %d lost + %d held", name, st.Recovered, st.Appended, st.Acked, st.Lost, st.Held)
			}
		}
		for _, problem := range Verify(dir) {
			t.Error(problem)
		}
	})
	return s
}

const (
	segmentName = "00000000000000000001"
	headerSize  = 64
	endingSize  = 48
)

// An ending is what a header states of an earlier generation.
type ending struct {
	end            int64
	records, items uint64
	stream         string
}

// A file is a generation as read.
type file struct {
	name    string
	num     uint64
	entries []entry
	ends    map[uint64]ending
	stream  string
	size    int64
	broken  error // what is behind the last entry
}

type entry struct {
	typ         byte
	seq, inFile uint64
	tag, items  uint32
	data        []byte
	end         int64
}

// Verify reads every lane below dir and says what contradicts wal/FORMAT.md: frames that do not
// parse before a generation's end, ends, counts and streams that headers state and that are not
// so, and names, (stream, seq), that stand for two records.
func Verify(dir string) (problems []error) {
	lanes, err := os.ReadDir(dir)
	if err != nil {
		return []error{err}
	}
	named := make(map[string]string)
	for _, lane := range lanes {
		if lane.IsDir() && lane.Name() != "quarantine" && lane.Name() != "deadletter" {
			problems = append(problems, verifyLane(filepath.Join(dir, lane.Name()), lane.Name(), named)...)
		}
	}
	return problems
}

func verifyLane(dir, lane string, named map[string]string) (problems []error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return []error{err}
	}
	var files []*file
	stated := make(map[uint64]ending)
	for _, n := range names {
		num, err := strconv.ParseUint(n.Name(), 16, 64)
		if err != nil || len(n.Name()) != 16 {
			continue
		}
		f, err := read(filepath.Join(dir, n.Name(), segmentName), num, lane)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		files = append(files, f)
		for gen, e := range f.ends {
			if was, ok := stated[gen]; ok && was != e {
				problems = append(problems, fmt.Errorf("%s: two headers state %+v and %+v of generation %d", dir, was, e, gen))
			}
			stated[gen] = e
		}
	}
	for i, f := range files {
		e, ok := stated[f.num]
		if !ok && i < len(files)-1 && files[i+1].size > 0 {
			problems = append(problems, fmt.Errorf("%s: no later header states its end", f.name))
		}
		problems = append(problems, f.verify(e, ok, named)...)
	}
	return problems
}

// verify holds f against what a later header states of it.
func (f *file) verify(e ending, stated bool, named map[string]string) (problems []error) {
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(f.name+": "+format, args...))
	}
	records, items, at := uint64(0), uint64(0), int64(0)
	tag := crc32.Update(crc([]byte(f.stream)), crc32.MakeTable(crc32.Castagnoli), binary.LittleEndian.AppendUint64(nil, f.num))
	for _, x := range f.entries {
		if stated && x.end > e.end {
			break
		}
		if at = x.end; x.tag != tag {
			bad("the entry that ends at %d has the tag of another file", x.end)
		}
		if x.typ != 3 {
			continue
		}
		records++
		items += uint64(x.items)
		if x.inFile != items {
			bad("the record that ends at %d counts %d items, there are %d", x.end, x.inFile, items)
		}
		name := fmt.Sprintf("%x/%d", f.stream, x.seq)
		if was, ok := named[name]; ok && was != string(x.data) {
			bad("%s names two records", name)
		}
		named[name] = string(x.data)
	}
	if stated && (e != ending{end: at, records: records, items: items, stream: f.stream}) {
		bad("a later header states end %d, records %d, items %d; there are end %d, records %d, items %d: %v", e.end, e.records, e.items, at, records, items, f.broken)
	}
	if !stated && f.broken != nil {
		bad("%v", f.broken)
	}
	return problems
}

// read takes a generation apart. It is an error when the header cannot be read.
func read(name string, num uint64, lane string) (*file, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := &file{name: name, num: num, size: int64(len(b)), ends: map[uint64]ending{}}
	for at := 0; at < len(b); {
		x, n, err := parse(b[at:])
		if err != nil {
			f.broken = fmt.Errorf("at %d: %w", at, err)
			break
		}
		at += n
		x.end = int64(at)
		f.entries = append(f.entries, x)
	}
	if len(b) == 0 {
		return f, nil
	}
	if len(f.entries) == 0 || f.entries[0].typ != 1 || f.entries[0].seq != num {
		return nil, fmt.Errorf("%s: no header: %w", name, f.broken)
	}
	return f, f.header(f.entries[0].data, lane)
}

// header reads the data of the first frame.
func (f *file) header(h []byte, lane string) error {
	if len(h) < 17 || len(h) < 17+int(h[16])+4 || string(h[17:17+h[16]]) != lane {
		return fmt.Errorf("%s: its header is not one of lane %s", f.name, lane)
	}
	f.stream = string(h[:16])
	h = h[17+int(h[16]):]
	if count := binary.LittleEndian.Uint32(h); len(h) != 4+int(count)*endingSize {
		return fmt.Errorf("%s: its header has %d bytes for %d endings", f.name, len(h)-4, count)
	}
	for e := range slices.Chunk(h[4:], endingSize) {
		f.ends[binary.LittleEndian.Uint64(e)] = ending{end: int64(binary.LittleEndian.Uint64(e[8:])), records: binary.LittleEndian.Uint64(e[16:]),
			items: binary.LittleEndian.Uint64(e[24:]), stream: string(e[32:48])}
	}
	return nil
}

func crc(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func parse(b []byte) (x entry, n int, err error) {
	size, k := binary.Uvarint(b)
	if k <= 0 || size < headerSize || size > uint64(len(b)-k) {
		return x, 0, fmt.Errorf("an entry of %d bytes, %d are left", size, len(b))
	}
	h, payload := b[k:k+headerSize], b[k+headerSize:k+int(size)]
	metaLen, dataLen := binary.LittleEndian.Uint32(h[48:]), binary.LittleEndian.Uint32(h[52:])
	switch {
	case string(h[:8]) != "SPWF\x01"+string(h[5])+"\x00\x00" || h[5] < 1 || h[5] > 3:
		return x, 0, fmt.Errorf("begins with %x", h[:8])
	case crc(h[:60]) != binary.LittleEndian.Uint32(h[60:]):
		return x, 0, fmt.Errorf("header checksum")
	case uint64(metaLen)+uint64(dataLen) != uint64(len(payload)):
		return x, 0, fmt.Errorf("lengths disagree")
	case crc(payload) != binary.LittleEndian.Uint32(h[56:]):
		return x, 0, fmt.Errorf("payload checksum")
	}
	x = entry{typ: h[5], seq: binary.LittleEndian.Uint64(h[8:]), inFile: binary.LittleEndian.Uint64(h[24:]),
		tag: binary.LittleEndian.Uint32(h[40:]), items: binary.LittleEndian.Uint32(h[44:]), data: payload[metaLen:]}
	return x, k + int(size), nil
}
