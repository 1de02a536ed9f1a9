package tail

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var exact = cmp.AllowUnexported(progress{}, seam{}, identity{}, inode{}, fingerprint{}, span{})

func at(key uint64, ino uint64, done ...span) progress {
	head, _ := fingerprint{}.extend([]byte("the beginning"))
	return progress{key: key, id: identity{inode: inode{7, ino}, birth: -1, head: head}, path: "/var/log/a.log", done: done}
}

func apply(p *Positions, all ...progress) {
	for _, pr := range all {
		p.Apply(appendProgress(nil, pr))
	}
}

func TestCursorsSurviveTheirEncoding(t *testing.T) {
	want := at(1<<63, 1<<40, span{0, 10}, span{20, 1 << 62})
	got, _, err := decodeCursor(appendProgress(nil, want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got, exact); diff != "" {
		t.Fatal(diff)
	}
	_, keys, err := decodeCursor(appendForget(nil, []uint64{1, 2}))
	if err != nil || !slices.Equal(keys, []uint64{1, 2}) {
		t.Fatalf("got %d, %v", keys, err)
	}
}

func TestPositionsLearnInAnyOrder(t *testing.T) {
	all := []progress{at(1, 1, span{0, 10}), at(1, 1, span{10, 20}, span{25, 30}), at(1, 1, span{20, 25}), at(2, 2, span{5, 6})}
	for range 20 {
		p := NewPositions()
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		apply(p, all...)
		if !p.covers(1, spans{{0, 30}}) || p.covers(1, spans{{0, 31}}) || p.covers(2, spans{{4, 6}}) || p.covers(3, nil) {
			t.Fatalf("got %v", p.all())
		}
	}
}

func TestASnapshotIsTheWholeTruth(t *testing.T) {
	p := NewPositions()
	apply(p, at(1, 1, span{0, 10}), at(2, 1, span{0, 5}, span{7, 9}), at(1, 1, span{10, 12}))
	q := NewPositions()
	apply(q, at(9, 9, span{0, 1}))
	if err := q.Restore(p.Snapshot(nil)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Snapshot(nil), q.Snapshot([]byte("x"))[1:]) {
		t.Fatal("a snapshot of the restored positions differs")
	}
	// Of two files that were the same inode, the one last heard of counts.
	got, ok := q.find(identity{inode: inode{7, 1}}, []byte("the beginning and more"), 100, nil)
	if !ok || got.key != 1 {
		t.Fatalf("got %v", got)
	}
	if _, ok := q.find(identity{inode: inode{7, 1}}, []byte("the beginning"), 4, nil); ok {
		t.Fatal("a file that is shorter than its position was found")
	}
	if _, ok := q.find(identity{inode: inode{7, 1}, birth: 5}, []byte("the beginning"), 100, nil); ok {
		t.Fatal("a file of another birth was found")
	}
}

func TestABadSnapshotChangesNothing(t *testing.T) {
	p := NewPositions()
	apply(p, at(1, 1, span{0, 10}))
	before := p.Snapshot(nil)
	for _, bad := range [][]byte{nil, {2}, {1}, {1, 5}, before[:len(before)-1], append(slices.Clone(before), 0), {1, 1, 3, 1, 2, 0}} {
		if err := p.Restore(bad); err == nil {
			t.Errorf("%x was taken", bad)
		}
	}
	if !bytes.Equal(before, p.Snapshot(nil)) {
		t.Fatal("the positions changed")
	}
}

func TestForgottenFilesLeaveNothingBehind(t *testing.T) {
	p := NewPositions()
	apply(p, at(1, 1, span{0, 10}), at(2, 1, span{0, 10}))
	p.Apply(appendForget(nil, []uint64{1, 2, 3}))
	if len(p.files)+len(p.inodes) != 0 {
		t.Fatalf("got %v and %v", p.files, p.inodes)
	}
}

func TestPositionsAreBounded(t *testing.T) {
	p := NewPositions()
	for i := range uint64(maxFiles + 100) {
		apply(p, at(i, i, span{0, 1}))
	}
	if len(p.files) > maxFiles || p.files[0] != nil || p.files[maxFiles+99] == nil {
		t.Fatalf("%d files", len(p.files))
	}
	for i := range int64(3 * maxSpans) {
		apply(p, at(1, 1, span{2 * i, 2*i + 1}))
	}
	if n := len(p.files[1].done); n > maxSpans {
		t.Fatalf("%d spans", n)
	}
}

func TestSpansAreASet(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		var s spans
		var want [64]bool
		for range random.IntN(20) {
			start := random.IntN(60)
			end := start + random.IntN(64-start)
			s = s.add(int64(start), int64(end))
			for i := start; i < end; i++ {
				want[i] = true
			}
		}
		n := int64(0)
		for i := range want {
			in := s.gap(int64(i)).start != int64(i)
			if in != want[i] || in != s.covers(spans{{int64(i), int64(i) + 1}}) {
				t.Fatalf("byte %d of %v", i, s)
			}
			if in {
				n++
			}
		}
		if n != s.size() || !slices.IsSortedFunc(s, func(a, b span) int { return int(a.end - b.start + 1) }) {
			t.Fatalf("%v has %d bytes", s, n)
		}
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(appendProgress(nil, at(1, 2, span{0, 10}, span{20, 30})))
	f.Add(appendForget(nil, []uint64{1, 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := NewPositions()
		p.Apply(b)
		if pr, _, err := decodeCursor(b); err == nil && pr != nil {
			again, _, err := decodeCursor(appendProgress(nil, *pr))
			if diff := cmp.Diff(pr, again, exact); err != nil || diff != "" {
				t.Fatal(err, diff)
			}
		}
		if err := p.Restore(b); err == nil {
			if err := NewPositions().Restore(p.Snapshot(nil)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
