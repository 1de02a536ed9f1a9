package wal_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spillway-io/spillway/wal"
	"github.com/spillway-io/spillway/wal/faultfs"
)

// A specimen is a log of several generations, closed, and what is in it.
type specimen struct {
	dir   string
	fs    *faultfs.FS
	gens  []string // files, oldest first
	names []string // records, in order
	ids   map[string]id
	items uint64
}

// newSpecimen has three generations with records, of two processes.
func newSpecimen(t testing.TB) *specimen {
	sp := &specimen{dir: t.TempDir(), ids: map[string]id{}}
	sp.fs = faultfs.New(sp.dir)
	for run := range 2 {
		s, err := wal.Open(config(sp.dir, sp.fs))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 9 - 5*run {
			n := fmt.Sprintf("%s%d-%d", strings.Repeat("r", 1+i), run, i)
			if err := s.Lane("logs").Append(t.Context(), wal.Record{Items: items(n), Meta: []byte(n), Data: []byte(n)}); err != nil {
				t.Fatal(err)
			}
			sp.names = append(sp.names, n)
			sp.items += uint64(items(n))
		}
		s.Close()
	}
	sp.gens = generations(sp.fs)
	sp.open(t, sp.fs.Kill(), func(r *recovered) {
		maps.Copy(sp.ids, r.ids)
		if !slices.Equal(r.got, sp.names) {
			t.Fatalf("got %q, want %q", r.got, sp.names)
		}
	})
	if len(sp.gens) != 3 {
		t.Fatalf("%q: want three generations", sp.gens)
	}
	return sp
}

// generations are the files of a lane, oldest first.
func generations(fs *faultfs.FS) []string {
	return slices.DeleteFunc(fs.Files(), func(f string) bool { return !strings.Contains(f, "/logs/") })
}

// A recovered is what a new process got out of a damaged log.
type recovered struct {
	got    []string
	ids    map[string]id
	stats  wal.Stats
	losses []wal.Loss
	fs     *faultfs.FS
}

// open starts a process on fs, reads and acknowledges everything, ends it, and lets check look.
func (sp *specimen) open(t testing.TB, fs *faultfs.FS, check func(*recovered)) {
	t.Helper()
	r := &recovered{ids: map[string]id{}, fs: fs}
	cfg := config(sp.dir, fs)
	cfg.OnLoss = func(l wal.Loss) { r.losses = append(r.losses, l) }
	s, err := wal.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := s.Lane("logs")
	for {
		e, err := l.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			break
		}
		r.got = append(r.got, string(e.Data))
		r.ids[string(e.Data)] = id{e.Stream, e.Seq}
		l.Ack(e)
	}
	s.Close()
	r.stats = l.Stats()
	check(r)
}

// missing is which records did not come back, and their items.
func (sp *specimen) missing(r *recovered) (names []string, n uint64) {
	for _, name := range sp.names {
		if !slices.Contains(r.got, name) {
			names = append(names, name)
			n += uint64(items(name))
		}
	}
	return names, n
}

// exact holds that what is missing is what was counted, said and kept, and that nothing was
// made up or put out of order. unproven allows the end of the newest file to be taken for a
// write that was never acknowledged: nothing on disk says otherwise.
func (sp *specimen) exact(t *testing.T, what string, r *recovered, unproven bool) {
	t.Helper()
	gone, n := sp.missing(r)
	was := slices.DeleteFunc(slices.Clone(sp.names), func(s string) bool { return slices.Contains(gone, s) })
	if !slices.Equal(r.got, was) {
		t.Errorf("%s: got %q", what, r.got)
	}
	torn := uint64(0)
	if unproven {
		torn = sp.items - r.stats.Recovered
	}
	if r.stats.Recovered != sp.items-torn || r.stats.Lost != n-torn || r.stats.Held != 0 {
		t.Errorf("%s: %q are missing, %d items: %+v", what, gone, n, r.stats)
	}
	said := uint64(0)
	for _, l := range r.losses {
		said += l.Items
	}
	if said != r.stats.Lost || ledgered(t, sp.dir, r.fs) != r.stats.Lost {
		t.Errorf("%s: %d items lost, %d said, %d in the ledger", what, r.stats.Lost, said, ledgered(t, sp.dir, r.fs))
	}
	if what != "file missing" && len(r.losses) > 0 && !slices.ContainsFunc(r.fs.Files(), func(f string) bool { return strings.Contains(f, "/quarantine/") }) {
		t.Errorf("%s: nothing in quarantine", what)
	}
}

// ledgered is how many items the ledger says were lost.
func ledgered(t *testing.T, dir string, fs *faultfs.FS) (n uint64) {
	t.Helper()
	for line := range bytes.Lines(fs.ReadFile(filepath.Join(dir, "ledger.jsonl"))) {
		var l wal.Loss
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		n += l.Items
	}
	return n
}

// sameNames holds that records kept their identity.
func (sp *specimen) sameNames(t *testing.T, what string, r *recovered) {
	t.Helper()
	for name, is := range r.ids {
		if sp.ids[name] != is {
			t.Errorf("%s: %q has another identity", what, name)
		}
	}
}

// A bit flips in every byte of every generation. At most one record is lost, it is counted
// exactly, and it is written down.
func TestDamageAFlippedBitLosesOneRecord(t *testing.T) {
	sp := newSpecimen(t)
	for g, file := range sp.gens {
		whole := sp.fs.ReadFile(file)
		newest := g == len(sp.gens)-1
		for i := range whole {
			fs := sp.fs.Kill()
			fs.Damage(file, func(b []byte) []byte { b[i] ^= 0x10; return b })
			sp.open(t, fs, func(r *recovered) {
				what := fmt.Sprintf("generation %d, byte %d of %d", g, i, len(whole))
				if gone, _ := sp.missing(r); len(gone) > 1 {
					t.Errorf("%s: %q are missing", what, gone)
				}
				sp.exact(t, what, r, newest && i >= lastEntry(whole))
				if !newest {
					sp.sameNames(t, what, r)
				}
			})
		}
	}
}

// lastEntry is where the last entry of a file begins.
func lastEntry(b []byte) (at int) {
	for next := 0; next < len(b); {
		at = next
		size, k := binary.Uvarint(b[at:])
		next = at + k + int(size)
	}
	return at
}

// The file ends at every byte: a torn write in the newest, damage in the others. What is cut
// off is zeros or is not there at all. SPILLWAY_LONG leaves no byte of the older ones out.
func TestDamageTornAtEveryByte(t *testing.T) {
	sp := newSpecimen(t)
	for g, file := range sp.gens {
		whole := sp.fs.ReadFile(file)
		step := 1
		if g < len(sp.gens)-1 && os.Getenv("SPILLWAY_LONG") == "" {
			step = 7
		}
		for i := 0; i < len(whole); i += step {
			for _, tail := range []int{0, len(whole) - i + 512} {
				fs := sp.fs.Kill()
				fs.Damage(file, func(b []byte) []byte { return append(b[:i], make([]byte, tail)...) })
				sp.open(t, fs, func(r *recovered) {
					what := fmt.Sprintf("generation %d, cut at %d of %d, %d zeros", g, i, len(whole), tail)
					sp.exact(t, what, r, g == len(sp.gens)-1)
					if g < len(sp.gens)-1 {
						sp.sameNames(t, what, r)
					}
				})
			}
		}
	}
}

func TestDamageWholeFiles(t *testing.T) {
	for _, test := range []struct {
		name   string
		gen    int
		lost   int // generations
		secret bool
		do     func(sp *specimen, fs *faultfs.FS, file string)
	}{
		{"file missing", 0, 1, false, func(_ *specimen, fs *faultfs.FS, file string) { fs.Remove(file) }},
		{"file empty", 1, 1, false, func(_ *specimen, fs *faultfs.FS, file string) { fs.WriteFile(file, nil) }},
		{"file is noise", 1, 1, false, func(_ *specimen, fs *faultfs.FS, file string) {
			fs.WriteFile(file, bytes.Repeat([]byte("SPWF noise"), 100))
		}},
		{"unreadable, stated", 0, 1, false, func(_ *specimen, fs *faultfs.FS, file string) {
			fs.Fail(faultfs.Fault{Kind: faultfs.Open, Path: file, Times: -1, Err: syscall.EACCES})
		}},
		{"bad sectors, stated", 1, 1, false, func(_ *specimen, fs *faultfs.FS, file string) {
			fs.Fail(faultfs.Fault{Kind: faultfs.Read, Path: file, Times: -1, Err: syscall.EIO})
		}},
		{"unreadable, newest", 2, 1, true, func(_ *specimen, fs *faultfs.FS, file string) {
			fs.Fail(faultfs.Fault{Kind: faultfs.Open, Path: file, Times: -1, Err: syscall.EACCES})
		}},
		{"duplicated", 0, 0, false, func(sp *specimen, fs *faultfs.FS, file string) {
			fs.WriteFile(filepath.Join(sp.dir, "logs", "00000000000000aa", filepath.Base(file)), fs.ReadFile(file))
		}},
		{"of another lane", 0, 0, false, func(sp *specimen, fs *faultfs.FS, file string) {
			b := bytes.Replace(fs.ReadFile(file), []byte("\x04logs"), []byte("\x04cogs"), 1)
			fs.WriteFile(filepath.Join(sp.dir, "logs", "00000000000000aa", filepath.Base(file)), resum(b, 0))
		}},
		{"foreign names", 0, 0, false, func(sp *specimen, fs *faultfs.FS, _ string) {
			fs.WriteFile(filepath.Join(sp.dir, "logs", "lost+found", "x"), []byte("x"))
			fs.WriteFile(filepath.Join(sp.dir, "logs", "ffffffffffffffff", "x"), []byte("x"))
			fs.WriteFile(filepath.Join(sp.dir, "logs", "00000000000000ab", "notes.txt"), []byte("x"))
			fs.WriteFile(filepath.Join(sp.dir, "logs", "README"), []byte("x"))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			sp := newSpecimen(t)
			fs := sp.fs.Kill()
			test.do(sp, fs, sp.gens[test.gen])
			before := len(fs.Files())
			sp.open(t, fs, func(r *recovered) {
				sp.exact(t, test.name, r, test.secret)
				sp.sameNames(t, test.name, r)
				if gone, _ := sp.missing(r); (len(gone) > 0) != (test.lost > 0) || len(r.losses) == 0 && test.lost > 0 {
					t.Errorf("%q are missing, losses %+v", gone, r.losses)
				}
				if test.name == "foreign names" && (len(r.losses) > 0 || len(fs.Files()) < before-len(sp.gens)) {
					t.Errorf("%q, losses %+v", fs.Files(), r.losses)
				}
			})
		})
	}
}

// resum puts the right checksums into the frame of the entry that begins at at.
func resum(b []byte, at int) []byte {
	size, k := binary.Uvarint(b[at:])
	f := b[at+k : at+k+int(size)]
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.LittleEndian.PutUint32(f[56:], crc32.Checksum(f[64:], table))
	binary.LittleEndian.PutUint32(f[60:], crc32.Checksum(f[:60], table))
	return b
}

// entries are where the entries of a file begin.
func entries(b []byte) (at []int) {
	for i := 0; i < len(b); {
		at = append(at, i)
		size, k := binary.Uvarint(b[i:])
		i += k + int(size)
	}
	return at
}

// A frame of version 2 is stepped over, said, counted, and kept with its whole generation for
// whoever can read it.
func TestDamageAFrameOfANewerVersionIsKept(t *testing.T) {
	sp := newSpecimen(t)
	for g, file := range sp.gens {
		whole := sp.fs.ReadFile(file)
		for n, at := range entries(whole) {
			for _, where := range []int{4, 5, 6, 7} { // version, type, codec, flags
				fs := sp.fs.Kill()
				fs.Damage(file, func(b []byte) []byte {
					_, k := binary.Uvarint(b[at:])
					b[at+k+where] += 6
					return resum(b, at)
				})
				newer := fs.ReadFile(file)
				sp.open(t, fs, func(r *recovered) {
					what := fmt.Sprintf("generation %d, entry %d, header byte %d", g, n, where)
					sp.exact(t, what, r, false)
					kept := slices.ContainsFunc(fs.Files(), func(f string) bool {
						return strings.Contains(f, "/quarantine/") && bytes.Equal(fs.ReadFile(f), newer)
					})
					if said := len(r.losses) > 0 && strings.Contains(r.losses[0].Detail, "newer spillway"); n >= 2 && (!kept || !said) {
						t.Errorf("%s: kept %t, losses %+v", what, kept, r.losses)
					}
				})
			}
		}
	}
}

// The data of a record may look like a frame: an agent may carry the log of an agent. When the
// record around it is damaged nothing in it is taken for a record.
func TestDamageDataThatLooksLikeAFrame(t *testing.T) {
	sp := newSpecimen(t)
	inner := sp.fs.ReadFile(sp.gens[0])
	fs := faultfs.New(sp.dir)
	s, err := wal.Open(config(sp.dir, fs))
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{[]byte("one"), inner, []byte("two")} {
		if err := s.Lane("logs").Append(t.Context(), wal.Record{Items: 7, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	file := generations(fs)[0]
	from := bytes.Index(fs.ReadFile(file), inner)
	for _, at := range []int{from + len(inner) - 1, from - 5} {
		fs := fs.Kill()
		fs.Damage(file, func(b []byte) []byte { b[at] ^= 1; return b })
		sp.open(t, fs, func(r *recovered) {
			if !slices.Equal(r.got, []string{"one", "two"}) || r.stats.Lost != 7 {
				t.Errorf("byte %d: got %q, %+v", at, r.got, r.stats)
			}
		})
	}
}

// An error that is about the process, too many open files, sets nothing aside.
func TestAPassingErrorLosesNothing(t *testing.T) {
	sp := newSpecimen(t)
	fs := sp.fs.Kill()
	s, err := wal.Open(config(sp.dir, fs))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := s.Lane("logs")
	fs.Fail(faultfs.Fault{Kind: faultfs.Open, Op: "read", Times: -1, Err: syscall.EMFILE})
	if e, err := l.TryNext(); e != nil || err != nil {
		t.Fatal(e, err)
	}
	fs.Heal()
	var got []string
	for e, err := l.TryNext(); e != nil; e, err = l.TryNext() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(e.Data))
	}
	if !slices.Equal(got, sp.names) || l.Stats().Lost != 0 {
		t.Errorf("got %q, %+v", got, l.Stats())
	}
}
