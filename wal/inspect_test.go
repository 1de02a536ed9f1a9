package wal

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// inspected reads dir from outside: its infos, and its records as "lane/seq data".
func inspected(t testing.TB, path string) (infos []*GenerationInfo, records []string) {
	t.Helper()
	in, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	infos, err = in.Read("", func(r Found) error {
		records = append(records, fmt.Sprintf("%s/%d %s", r.Lane, r.Seq, r.Data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return infos, records
}

// generationsOf makes a log of n records of two items each, a few in a generation, and returns
// a copy of it as a crash would leave it.
func generationsOf(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	l := openStore(t, dir, func(c *Config) { c.GenerationBytes = 320 }).Lane("logs")
	for i := range n {
		if err := l.Append(t.Context(), Record{Items: 2, Accepted: int64(1000 + i), Data: []byte(fmt.Sprint("record", i))}); err != nil {
			t.Fatal(err)
		}
	}
	return crash(t, dir)
}

// contents are all files below dir, by name.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestInspectReadsALiveDirectoryAndLeavesItAsItIs(t *testing.T) {
	dir := t.TempDir()
	l := openStore(t, dir).Lane("logs")
	for i := range 3 {
		put(t, l, fmt.Sprint("r", i))
	}
	before := contents(t, dir)
	infos, records := inspected(t, dir)
	want(t, records, "logs/0 r0", "logs/1 r1", "logs/2 r2")
	if len(infos) != 1 || infos[0].State != Unsealed || infos[0].Records != 3 || infos[0].Items != 3 || infos[0].Stream != l.stream {
		t.Errorf("infos %+v", infos[0])
	}
	after := contents(t, dir)
	if len(before) != len(after) {
		t.Errorf("%d files became %d", len(before), len(after))
	}
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s was changed", name)
		}
	}
	put(t, l, "r3") // the writer was not disturbed
}

func TestInspectHoldsStatementsAgainstWhatIsThere(t *testing.T) {
	dir := generationsOf(t, 8)
	infos, records := inspected(t, dir)
	if len(infos) < 3 || len(records) != 8 {
		t.Fatalf("%d generations, records %q", len(infos), records)
	}
	for i, g := range infos {
		if len(g.Damage)+len(g.Problems) > 0 || g.Err != nil {
			t.Errorf("generation %d: %+v", i, g)
		}
		if last := i == len(infos)-1; g.EndStated == last || (g.State == Sealed) == last {
			t.Errorf("generation %d: state %s, end stated %t", i, g.State, g.EndStated)
		}
	}
	if infos[1].Oldest == 0 || infos[1].Oldest < infos[0].Newest {
		t.Errorf("accept times %d to %d, then %d", infos[0].Oldest, infos[0].Newest, infos[1].Oldest)
	}
}

// A bit flipped in any byte of any generation but the newest: the infos say which items are
// lost, no more and no less than are missing from what is shown, and no record loses its stream.
func TestInspectTellsExactlyWhatIsLost(t *testing.T) {
	dir := generationsOf(t, 8)
	whole, all := inspected(t, dir)
	for _, g := range whole[:len(whole)-1] {
		path := filepath.Join(dir, g.Name, segmentName)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := range g.End {
			bad := bytes.Clone(good)
			bad[at] ^= 0x10
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			infos, left := inspected(t, dir)
			lost, exact, damaged := uint64(0), true, int64(0)
			for i, g := range infos {
				n, known := g.LostItems()
				lost, exact, damaged = lost+n, exact && known, damaged+g.DamagedBytes()
				if g.Stream != whole[i].Stream || !g.StreamKnown {
					t.Errorf("%s, byte %d: stream %s, known %t", g.Name, at, g.Stream, g.StreamKnown)
				}
			}
			if missing := uint64(2 * (len(all) - len(left))); lost != missing || !exact || damaged == 0 {
				t.Errorf("%s, byte %d: lost %d, exact %t, damaged bytes %d; missing %d", g.Name, at, lost, exact, damaged, missing)
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Cut anywhere, the newest generation has an unfinished write, an earlier one damage.
func TestInspectOfACutFile(t *testing.T) {
	dir := generationsOf(t, 8)
	whole, all := inspected(t, dir)
	for i, g := range whole {
		newest := i == len(whole)-1
		path := filepath.Join(dir, g.Name, segmentName)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for cut := range g.End {
			if err := os.WriteFile(path, good[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			infos, left := inspected(t, dir)
			n, exact := infos[i].LostItems()
			switch {
			case newest && len(infos[i].Damage) > 0:
				t.Errorf("newest cut at %d: damage %+v", cut, infos[i].Damage)
			case !newest && (n != uint64(2*(len(all)-len(left))) || !exact || len(infos[i].Damage) == 0):
				t.Errorf("%s cut at %d: lost %d, exact %t, damage %+v, missing %d records", g.Name, cut, n, exact, infos[i].Damage, len(all)-len(left))
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What lies beyond a stated end was written again later, and is not shown.
func TestInspectIgnoresWhatLiesBeyondAStatedEnd(t *testing.T) {
	dir := generationsOf(t, 8)
	whole, all := inspected(t, dir)
	path := filepath.Join(dir, whole[0].Name, segmentName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again := slices.Concat(good, good[100:])
	if err := os.WriteFile(path, again, 0o600); err != nil {
		t.Fatal(err)
	}
	infos, records := inspected(t, dir)
	if len(records) != len(all) || infos[0].Ignored != int64(len(again)-len(good)) || len(infos[0].Damage) > 0 {
		t.Errorf("records %q, info %+v", records, infos[0])
	}
}

func TestInspectSaysWhenHeadersDisagree(t *testing.T) {
	dir := generationsOf(t, 8)
	whole, _ := inspected(t, dir)
	in, err := Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	// A generation that states one record too many of the first one, of which others state the
	// truth, and of the newest, of which nobody else states anything.
	first, last := whole[0], whole[len(whole)-1]
	tooMany := func(g *GenerationInfo) ending {
		return ending{gen: g.Number, end: g.End, records: g.Records + 1, items: g.Items, stream: g.Stream}
	}
	h := genHeader{stream: last.Stream, lane: "logs", ends: []ending{tooMany(first), tooMany(last)}}.append(nil)
	var b frameBuffer
	b.add(frame{typ: frameGeneration, seq: last.Number + 1, cumItems: 16, data: h}, payloadCRC(nil, h))
	next := genDir(filepath.Join(dir, "logs"), last.Number+1)
	if err := os.Mkdir(next, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := OS{}.NewAppender("test", next)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Append(b.slices()); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	infos, err := in.Read("logs", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range infos {
		says := strings.Join(g.Problems, "\n")
		switch {
		case i == 0 && !strings.Contains(says, "one header states"), i == len(whole)-1 && !strings.Contains(says, "a later header states"),
			i != 0 && i != len(whole)-1 && says != "":
			t.Errorf("generation %d: problems %q", i, says)
		}
	}
}

// A generation that is removed between the look at its header and the reading was delivered.
func TestInspectLeavesOutWhatGoesMeanwhile(t *testing.T) {
	dir := generationsOf(t, 8)
	whole, _ := inspected(t, dir)
	in, err := Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	infos, err := in.Read("", func(Found) error { return os.RemoveAll(filepath.Join(dir, whole[1].Name)) })
	if err != nil {
		t.Fatal(err)
	}
	if len(infos) != len(whole)-1 || infos[1].Number == whole[1].Number {
		t.Errorf("%d generations, the second is %d", len(infos), infos[1].Number)
	}
}

// Records of which no header tells the stream have one made-up stream, the same at every look.
func TestInspectMakesUpTheSameStreamEachTime(t *testing.T) {
	dir := generationsOf(t, 3)
	infos, _ := inspected(t, dir)
	path := filepath.Join(dir, infos[0].Name, segmentName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[20] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	one, _ := inspected(t, dir)
	two, _ := inspected(t, dir)
	if g := one[0]; g.StreamKnown || g.Stream == (Key{}) || g.Stream == infos[0].Stream || g.Stream != two[0].Stream {
		t.Errorf("known %t, %s then %s", g.StreamKnown, g.Stream, two[0].Stream)
	}
}

func TestInspectRefusesWhatIsNoLog(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "some", "thing"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(dir); err == nil || !strings.Contains(err.Error(), "wal.dir") {
		t.Errorf("a directory of other things: %v", err)
	}
	if _, err := Inspect(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing directory is taken for a log")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("not a log"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := Inspect(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Read("", nil); err == nil {
		t.Error("any file is taken for an export")
	}
}

// A generation is removed, and others begin, while somebody looks: no error, and nothing twice.
func TestInspectBesideAWriter(t *testing.T) {
	dir := t.TempDir()
	l := openStore(t, dir, func(c *Config) { c.GenerationBytes = 2000 }).Lane("logs")
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := l.Append(t.Context(), Record{Items: 1, Data: []byte(fmt.Sprint("r", i))}); err != nil {
				done <- err
				return
			}
			if e, err := l.TryNext(); e != nil && err == nil {
				l.Ack(e)
			}
		}
	}()
	for range 200 {
		in, err := Inspect(dir)
		if err != nil {
			t.Fatal(err)
		}
		var seen Seen
		infos, err := in.Read("", func(r Found) error {
			if !seen.Add(r.Stream, r.Seq) {
				t.Errorf("seq %d is shown twice", r.Seq)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range infos {
			if len(g.Damage)+len(g.Problems) > 0 || g.Err != nil {
				t.Errorf("%+v", g)
			}
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// exportOf writes all records of path to a file.
func exportOf(t testing.TB, path string) string {
	t.Helper()
	var out bytes.Buffer
	x := NewExporter(&out)
	in, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Read("", x.Add); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "export")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAnExportHoldsTheSameRecords(t *testing.T) {
	dir := generationsOf(t, 8)
	infos, records := inspected(t, dir)
	again, copied := inspected(t, exportOf(t, dir))
	want(t, copied, records...)
	if len(again) != len(infos) {
		t.Fatalf("%d generations, want %d", len(again), len(infos))
	}
	for i, g := range again {
		if g.Stream != infos[i].Stream || g.Number != infos[i].Number || g.Items != infos[i].Items || len(g.Damage)+len(g.Problems) > 0 {
			t.Errorf("generation %d: %+v", i, g)
		}
	}
	file := exportOf(t, dir)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, slices.Concat(b, b), 0o600); err != nil {
		t.Fatal(err)
	}
	twice, both := inspected(t, file)
	if len(both) != 2*len(records) {
		t.Errorf("two exports in one file: %d records, want %d", len(both), 2*len(records))
	}
	for _, g := range twice {
		if len(g.Problems) > 0 {
			t.Errorf("two exports in one file: %q", g.Problems)
		}
	}
}

// An export with a flipped bit or cut anywhere never shows a record that is not one, never under
// another stream, and says that something is wrong.
func TestADamagedExportShowsNothingWrong(t *testing.T) {
	dir := generationsOf(t, 6)
	second := openStore(t, dir) // another stream, with the same numbers
	put(t, second.Lane("logs"), "of another stream")
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	note := func(path string) (out map[string]bool, wrong bool) {
		in, err := Inspect(path)
		if err != nil {
			t.Fatal(err)
		}
		out = make(map[string]bool)
		infos, err := in.Read("", func(r Found) error {
			out[fmt.Sprintf("%s/%s/%d %s", r.Lane, r.Stream, r.Seq, r.Data)] = true
			return nil
		})
		for _, g := range infos {
			wrong = wrong || len(g.Damage)+len(g.Problems) > 0
		}
		return out, wrong || err != nil
	}
	identities, wrong := note(dir)
	if wrong || len(identities) != 7 {
		t.Fatalf("before: %v, wrong %t", identities, wrong)
	}
	file := exportOf(t, dir)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * len(good) {
		bad, what := bytes.Clone(good), "flipped"
		if i < len(good) {
			bad[i] ^= 4
		} else {
			bad, what = good[:i-len(good)], "cut"
		}
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		got, wrong := note(file)
		if !wrong {
			t.Errorf("%s at %d: nothing is said", what, i%len(good))
		}
		for id := range got {
			if !identities[id] {
				t.Errorf("%s at %d: shows %s", what, i%len(good), id)
			}
		}
	}
}

func TestSeenKeepsRuns(t *testing.T) {
	var s Seen
	for _, seq := range []uint64{5, 7, 6, 0, 1, 9, 3, 4, 2, 8} {
		if !s.Add(Key{1}, seq) {
			t.Errorf("%d is taken for seen", seq)
		}
	}
	for seq := range uint64(10) {
		if s.Add(Key{1}, seq) {
			t.Errorf("%d was forgotten", seq)
		}
	}
	if !s.Add(Key{2}, 5) {
		t.Error("a number of another stream is taken for seen")
	}
	if n := len(s.runs[Key{1}]); n != 1 {
		t.Errorf("ten numbers in a row take %d runs", n)
	}
}

// A fold that remembers the last meta.
type lastMeta struct{ meta string }

func (f *lastMeta) Apply(meta []byte)          { f.meta = string(meta) }
func (f *lastMeta) Snapshot(dst []byte) []byte { return append(dst, f.meta...) }
func (f *lastMeta) Restore(b []byte) error     { f.meta = string(b); return nil }

// Purge removes the records, the newest generation's too, keeps what the meta said, and the
// ledger has a line for each generation.
func TestPurgeRemovesRecordsAndKeepsTheFold(t *testing.T) {
	dir, fold := t.TempDir(), &lastMeta{}
	withFold := func(c *Config) { c.GenerationBytes, c.NewFold = 300, func(string) Fold { return fold } }
	s := openStore(t, dir, withFold)
	for i := range 6 {
		if err := s.Lane("logs").Append(t.Context(), Record{Items: 1, Meta: []byte(fmt.Sprint("cursor", i)), Data: []byte("secret")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Purge(Config{Dir: dir, Lanes: []string{"logs"}}, func(*GenerationInfo) bool { return true }, nil); err == nil {
		t.Fatal("purged what another process has open")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	infos, _ := inspected(t, dir)
	kept := KeptFile{Names: []string{"quarantine/x"}, Loss: Loss{Detail: "x"}}
	if err := os.MkdirAll(filepath.Join(dir, "quarantine", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	fold.meta = ""
	gone, err := Purge(Config{Dir: dir, Lanes: []string{"logs"}, NewFold: func(string) Fold { return fold }},
		func(g *GenerationInfo) bool { return g.Number != infos[0].Number }, []KeptFile{kept})
	if err != nil {
		t.Fatal(err)
	}
	if len(gone) != len(infos)-1 {
		t.Errorf("%d generations removed, want %d", len(gone), len(infos)-1)
	}
	left, records := inspected(t, dir)
	if left[0].Number != infos[0].Number || uint64(len(records)) != infos[0].Records {
		t.Errorf("left: %q", records)
	}
	if isThere(filepath.Join(dir, "quarantine", "x")) {
		t.Error("the file in quarantine is still there")
	}
	ledger, err := os.ReadFile(filepath.Join(dir, "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(ledger), `"reason":"purged"`); n != len(gone)+1 {
		t.Errorf("%d lines in the ledger, want %d:\n%s", n, len(gone)+1, ledger)
	}
	fold.meta = ""
	again := openStore(t, dir, withFold)
	if fold.meta != "cursor5" {
		t.Errorf("the fold is %q after the purge, want the last cursor", fold.meta)
	}
	if got := drain(t, again.Lane("logs"), true); uint64(len(got)) != infos[0].Records {
		t.Errorf("came back: %q", got)
	}
}
