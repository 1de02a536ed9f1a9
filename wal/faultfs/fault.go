package faultfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// A Kind is what a call asks of the file system.
type Kind string

// The kinds of call that can fail.
const (
	Mkdir    Kind = "mkdir"
	Open     Kind = "open"
	Create   Kind = "create" // an open that may make the file, and a new appender
	Read     Kind = "read"
	Write    Kind = "write"
	Sync     Kind = "sync"
	Truncate Kind = "truncate"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	ReadDir  Kind = "readdir"
	SyncDir  Kind = "syncdir"
)

// changing says that calls of this kind change what a crash leaves.
func (k Kind) changing() bool { return k != Open && k != Read && k != ReadDir }

// A Call was made.
type Call struct {
	Kind Kind
	Op   string // as package wal names it
	Path string
}

// A Fault makes calls fail.
type Fault struct {
	Kind  Kind   // "": any
	Op    string // "": any
	Path  string // "": any
	Skip  int    // so many matching calls go well first
	Times int    // how many fail then; 0: one; negative: all
	Err   error
	Torn  int  // of a failing write, how many bytes arrive
	Done  bool // the call takes effect all the same

	failed int
}

func (t *Fault) matches(c Call) bool {
	return (t.Kind == "" || t.Kind == c.Kind) && (t.Op == "" || t.Op == c.Op) && (t.Path == "" || t.Path == c.Path)
}

// Fail arms a fault beside those there are. The first that matches a call counts.
func (f *FS) Fail(t Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.Times == 0 {
		t.Times = 1
	}
	f.faults = append(f.faults, &t)
}

// Heal disarms all faults, and says whether any was met.
func (f *FS) Heal() (met bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.faults {
		met = met || t.failed > 0
	}
	f.faults = nil
	return met
}

// Calls are all that were made.
func (f *FS) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// enter notes a call, and returns the fault that is to befall it. It needs mu.
func (f *FS) enter(k Kind, op, path string) *Fault {
	c := Call{k, op, path}
	f.calls = append(f.calls, c)
	if k.changing() {
		if f.changes++; f.changes == f.snapAt {
			f.snap = f.cloneLocked()
		}
	}
	for _, t := range f.faults {
		if !t.matches(c) {
			continue
		}
		if t.Skip > 0 {
			t.Skip--
			continue
		}
		if t.Times > 0 && t.failed >= t.Times {
			continue
		}
		t.failed++
		return t
	}
	return nil
}

// do makes a call that a fault makes fail as a whole.
func (f *FS) do(k Kind, op, path string, effect func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.enter(k, op, path)
	if t != nil && !t.Done {
		return pathError(k, path, t.Err)
	}
	err := effect()
	if t != nil {
		err = t.Err
	}
	return pathError(k, path, err)
}

// SnapBefore has the state kept as it is before the n-th call that changes something, from 1.
func (f *FS) SnapBefore(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.snapAt = n
}

// Snap is the state that SnapBefore asked for, or nil while that call was not made.
func (f *FS) Snap() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.snap
}

// Changes is how many calls changed something.
func (f *FS) Changes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes
}

// cloneLocked copies everything but faults and calls.
func (f *FS) cloneLocked() *FS {
	done := make(map[*node]*node)
	var clone func(n *node) *node
	clone = func(n *node) *node {
		if c := done[n]; c != nil {
			return c
		}
		c := &node{dir: n.dir, data: slices.Clone(n.data), disk: slices.Clone(n.disk), holes: slices.Clone(n.holes)}
		done[n] = c
		if n.dir {
			c.names, c.durable = make(map[string]*node), make(map[string]*node)
			for name, child := range n.names {
				c.names[name] = clone(child)
			}
			for name, child := range n.durable {
				c.durable[name] = clone(child)
			}
		}
		return c
	}
	return &FS{root: clone(f.root), space: -1}
}

// Kill is what kill -9 leaves: all that was written, synced or not.
func (f *FS) Kill() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cloneLocked()
}

// PowerCut is what a power cut leaves: what was synced, and of the rest what rng says. With rng
// nil nothing of the rest.
func (f *FS) PowerCut(rng *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := f.cloneLocked()
	left.root = settle(left.root, rng, make(map[*node]*node))
	return left
}

// settle is n as it comes back. The order of choices is that of the names, so that a seed says all.
func settle(n *node, rng *rand.Rand, done map[*node]*node) *node {
	if c := done[n]; c != nil {
		return c
	}
	c := &node{dir: n.dir}
	done[n] = c
	if !n.dir {
		c.data = n.content(rng)
		c.disk = slices.Clone(c.data)
		return c
	}
	c.names, c.durable = make(map[string]*node), make(map[string]*node)
	all := maps.Clone(n.durable)
	maps.Copy(all, n.names)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		child := n.durable[name]
		if now := n.names[name]; now != child && rng != nil && rng.IntN(2) == 0 {
			child = now
		}
		if child != nil {
			c.names[name] = settle(child, rng, done)
			c.durable[name] = c.names[name]
		}
	}
	return c
}

// content is what is left of a file: what was synced, then some of what was not, then zeros
// where the size arrived and the bytes did not.
func (n *node) content(rng *rand.Rand) []byte {
	left := slices.Clone(n.disk)
	if rng == nil {
		return left
	}
	if len(n.data) < len(n.disk) { // shortened, and that was not synced
		if rng.IntN(2) == 0 {
			left = slices.Clone(n.data)
		}
		return left
	}
	size := len(n.disk) + rng.IntN(len(n.data)-len(n.disk)+1)
	left = append(left, n.data[len(n.disk):size]...)
	if rng.IntN(3) == 0 {
		left = append(left, make([]byte, rng.IntN(len(n.data)-size+1))...)
	}
	return left
}
