package tail

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func wantMark(t *testing.T, p *Positions, name string, number uint64, value string) {
	t.Helper()
	if n, v, ok := p.Mark(name); !ok || n != number || string(v) != value {
		t.Errorf("mark %q is %d %q %v, want %d %q", name, n, v, ok, number, value)
	}
}

func TestOfAMarkTheHighestNumberCountsInAnyOrder(t *testing.T) {
	var all [][]byte
	for i := range uint64(10) {
		all = append(all, AppendMark(nil, "a", i, fmt.Append(nil, "a", i)), AppendMark(nil, "b", 100+i, fmt.Append(nil, "b", i)))
	}
	for range 20 {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		p := NewPositions()
		for _, c := range all {
			p.Apply(c)
		}
		wantMark(t, p, "a", 9, "a9")
		wantMark(t, p, "b", 109, "b9")
		if _, _, ok := p.Mark("c"); ok {
			t.Error("a name that nobody marked has a mark")
		}
	}
}

func TestMarksArePartOfASnapshot(t *testing.T) {
	p := NewPositions()
	apply(p, at(1, 1, span{0, 10}))
	plain := p.Snapshot(nil)
	if plain[0] != snapshotVersion {
		t.Error("a snapshot without marks is not one that earlier programs read")
	}
	p.Apply(AppendMark(nil, "journal", 7, []byte("s=1;i=2")))
	p.Apply(AppendMark(nil, "", 0, nil))
	q := NewPositions()
	if err := q.Restore(p.Snapshot(nil)); err != nil {
		t.Fatal(err)
	}
	wantMark(t, q, "journal", 7, "s=1;i=2")
	wantMark(t, q, "", 0, "")
	if !q.covers(1, spans{{0, 10}}) || !bytes.Equal(p.Snapshot(nil), q.Snapshot(nil)) {
		t.Error("the snapshot of what was restored differs")
	}
	if err := q.Restore(plain); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := q.Mark("journal"); ok {
		t.Error("a snapshot without marks left one")
	}
}

func TestABadMarkTeachesNothing(t *testing.T) {
	good := AppendMark(nil, "journal", 7, []byte("here"))
	p := NewPositions()
	p.Apply(good)
	for i := range good {
		p.Apply(AppendMark(nil, "journal", 9, []byte("there"))[:i])
	}
	p.Apply(append(AppendMark(nil, "journal", 9, []byte("there")), 0))
	wantMark(t, p, "journal", 7, "here")
	before := p.Snapshot(nil)
	for n := range len(before) {
		if err := p.Restore(before[:n]); err == nil {
			t.Errorf("%d bytes of a snapshot of %d were taken", n, len(before))
		}
	}
	wantMark(t, p, "journal", 7, "here")
}

func TestMarksAreBounded(t *testing.T) {
	p := NewPositions()
	for i := range maxMarks + 10 {
		p.Apply(AppendMark(nil, fmt.Sprint(i), 1, nil))
	}
	p.Apply(AppendMark(nil, "0", 2, []byte("known ones move on")))
	wantMark(t, p, "0", 2, "known ones move on")
	if len(p.marks) != maxMarks {
		t.Errorf("%d names", len(p.marks))
	}
	defer func() {
		if recover() == nil {
			t.Error("a name of 2000 bytes was taken")
		}
	}()
	AppendMark(nil, strings.Repeat("x", 2000), 1, nil)
}

func FuzzMark(f *testing.F) {
	f.Add(AppendMark(nil, "journal", 7, []byte("here")))
	p := NewPositions()
	p.Apply(AppendMark(nil, "journal", 7, []byte("here")))
	apply(p, at(1, 2, span{0, 10}))
	f.Add(p.Snapshot(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := decodeMark(b); ok {
			q := NewPositions()
			q.Apply(b)
			wantMark(t, q, m.name, m.number, string(m.value))
		}
		q := NewPositions()
		if err := q.Restore(b); err == nil {
			again := NewPositions()
			if err := again.Restore(q.Snapshot(nil)); err != nil || !bytes.Equal(again.Snapshot(nil), q.Snapshot(nil)) {
				t.Fatal(err)
			}
		}
	})
}
