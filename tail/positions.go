package tail

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// maxFiles bounds the files that are known and those that have a position. A node runs some
// hundred containers with a handful of files each.
const maxFiles = 32768

// Positions is what is safe of every file. It learns by Apply, in any order, and is as large
// as the files that are not forgotten yet, at most 32768; beyond that the one that was heard
// of least lately goes, and is read again if it still exists.
//
// It is safe for concurrent use.
type Positions struct {
	mu     sync.Mutex
	files  map[uint64]*position
	inodes map[inode][]*position
	clock  uint64 // counts Apply
}

type position struct {
	progress
	heard uint64 // the clock when a cursor last spoke of it
}

// NewPositions knows of no file.
func NewPositions() *Positions {
	p := &Positions{}
	p.clear()
	return p
}

func (p *Positions) clear() {
	p.files = make(map[uint64]*position)
	p.inodes = make(map[inode][]*position)
}

// Apply learns from the cursor of a chunk that is safe now. The caller keeps cursor. One that
// cannot be read teaches nothing: its bytes will be read again.
func (p *Positions) Apply(cursor []byte) {
	pr, forget, err := decodeCursor(cursor)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range forget {
		p.remove(key)
	}
	if pr != nil {
		p.advance(*pr)
	}
}

// needs mu
func (p *Positions) advance(pr progress) {
	p.clock++
	at := p.files[pr.key]
	if at == nil || at.id.inode != pr.id.inode {
		p.remove(pr.key)
		if len(p.files) >= maxFiles {
			p.evict()
		}
		p.files[pr.key] = &position{progress: pr, heard: p.clock}
		p.inodes[pr.id.inode] = append(p.inodes[pr.id.inode], p.files[pr.key])
		return
	}
	at.heard = p.clock
	at.path = pr.path
	if pr.id.head.n > at.id.head.n {
		at.id = pr.id
	}
	at.done = at.done.addAll(pr.done)
	if len(at.done) > maxSpans {
		at.done = at.done[:maxSpans] // read again rather than lost
	}
}

// needs mu
func (p *Positions) remove(key uint64) {
	at := p.files[key]
	if at == nil {
		return
	}
	delete(p.files, key)
	same := slices.DeleteFunc(p.inodes[at.id.inode], func(o *position) bool { return o == at })
	if len(same) == 0 {
		delete(p.inodes, at.id.inode)
		return
	}
	p.inodes[at.id.inode] = same
}

// evict makes room: an eighth at once, so that a full table does not sort at every file. Needs mu.
func (p *Positions) evict() {
	for _, at := range p.byAge()[:max(1, len(p.files)/8)] {
		p.remove(at.key)
	}
}

// byAge is all positions, the one heard of least lately first. Needs mu.
func (p *Positions) byAge() []*position {
	all := make([]*position, 0, len(p.files))
	for _, at := range p.files {
		all = append(all, at)
	}
	slices.SortFunc(all, func(a, b *position) int { return cmp.Compare(a.heard, b.heard) })
	return all
}

// snapshotVersion is the first byte of a snapshot. Then the number of files, and for each the
// length of a progress cursor and the cursor, the one heard of least lately first.
const snapshotVersion = 1

// Snapshot appends all positions to dst, in a form that Restore takes.
func (p *Positions) Snapshot(dst []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	dst = append(dst, snapshotVersion)
	dst = binary.AppendUvarint(dst, uint64(len(p.files)))
	var one []byte
	for _, at := range p.byAge() {
		one = appendProgress(one[:0], at.progress)
		dst = binary.AppendUvarint(dst, uint64(len(one)))
		dst = append(dst, one...)
	}
	return dst
}

// Restore replaces what p knows by a snapshot. After an error p is as before.
func (p *Positions) Restore(snapshot []byte) error {
	r := cursorReader{b: snapshot}
	if v := r.byte(); v != snapshotVersion {
		return fmt.Errorf("positions of version %d, this program knows %d", v, snapshotVersion)
	}
	all := make([]progress, 0, min(len(snapshot)/16, maxFiles))
	for range r.count(maxFiles) {
		pr, _, err := decodeCursor(r.bytes(r.count(len(snapshot))))
		if err != nil {
			return fmt.Errorf("positions: file %d: %w", len(all), err)
		}
		if pr == nil {
			return fmt.Errorf("positions: file %d: not a position", len(all))
		}
		all = append(all, *pr)
	}
	if r.bad || len(r.b) > 0 {
		return errors.New("positions: the snapshot is cut off or has something behind its end")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	for _, pr := range all {
		p.advance(pr)
	}
	return nil
}

// find is the position of the file with this inode, birth and beginning: of several the one
// last heard of. The file's size is what tells a short beginning from a truncated one.
func (p *Positions) find(id identity, head []byte, size int64) (progress, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best *position
	for _, at := range p.inodes[id.inode] {
		if at.id.birth != 0 && id.birth != 0 && at.id.birth != id.birth || at.done.end() > size {
			continue
		}
		if _, same := at.id.head.extend(head); same && (best == nil || at.heard > best.heard) {
			best = at
		}
	}
	if best == nil {
		return progress{}, false
	}
	found := best.progress
	found.done = slices.Clone(best.done)
	return found, true
}

// done is what is safe of the file.
func (p *Positions) done(key uint64) (spans, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.files[key]
	if at == nil {
		return nil, false
	}
	return slices.Clone(at.done), true
}

// covers says whether all of s is safe.
func (p *Positions) covers(key uint64, s spans) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.files[key]
	return at != nil && at.done.covers(s)
}

// all is a copy of every position.
func (p *Positions) all() []progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]progress, 0, len(p.files))
	for _, at := range p.files {
		pr := at.progress
		pr.done = slices.Clone(at.done)
		all = append(all, pr)
	}
	return all
}
