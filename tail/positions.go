package tail

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
	marks  map[string]mark // by name
	clock  uint64          // counts Apply
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
	p.marks = nil
}

// Apply learns from the cursor of a chunk that is safe now. The caller keeps cursor. One that
// cannot be read teaches nothing: its bytes will be read again.
func (p *Positions) Apply(cursor []byte) {
	if m, ok := decodeMark(cursor); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.mark(m)
		return
	}
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
	if at == nil {
		if len(p.files) >= maxFiles {
			p.evict()
		}
		p.files[pr.key] = &position{progress: pr, heard: p.clock}
		p.inodes[pr.id.inode] = append(p.inodes[pr.id.inode], p.files[pr.key])
		return
	}
	at.heard = p.clock
	at.path = pr.path
	if pr.id.inode != at.id.inode {
		p.move(at, pr.id)
	}
	if pr.id.head.n > at.id.head.n {
		at.id.head, at.rungs = pr.id.head, pr.rungs
	}
	at.born = min(at.born, pr.born)
	if pr.seam.end > at.seam.end {
		at.seam = pr.seam
	}
	at.done = at.done.addAll(pr.done)
	if len(at.done) > maxSpans {
		at.done = at.done[:maxSpans] // read again rather than lost
	}
}

// move notes that the content is in another file now: it was copied or compressed. Needs mu.
func (p *Positions) move(at *position, to identity) {
	p.unlist(at)
	at.id.inode, at.id.birth = to.inode, to.birth
	p.inodes[to.inode] = append(p.inodes[to.inode], at)
}

// needs mu
func (p *Positions) remove(key uint64) {
	at := p.files[key]
	if at == nil {
		return
	}
	delete(p.files, key)
	p.unlist(at)
}

// needs mu
func (p *Positions) unlist(at *position) {
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

// A snapshot's first byte is its version. Then come the number of files, and for each the length
// of a progress cursor and the cursor, the one heard of least lately first. In version 2 the same
// follows for marks, by name. Without marks it is version 1, which earlier programs read.
const (
	snapshotVersion   = 1
	snapshotWithMarks = 2
)

// Snapshot appends all positions to dst, in a form that Restore takes.
func (p *Positions) Snapshot(dst []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	version := byte(snapshotVersion)
	if len(p.marks) > 0 {
		version = snapshotWithMarks
	}
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(len(p.files)))
	var one []byte
	for _, at := range p.byAge() {
		one = appendProgress(one[:0], at.progress)
		dst = binary.AppendUvarint(dst, uint64(len(one)))
		dst = append(dst, one...)
	}
	if version == snapshotWithMarks {
		dst = p.appendMarks(dst)
	}
	return dst
}

// Restore replaces what p knows by a snapshot. After an error p is as before.
func (p *Positions) Restore(snapshot []byte) error {
	r := cursorReader{b: snapshot}
	version := r.byte()
	if version != snapshotVersion && version != snapshotWithMarks {
		return fmt.Errorf("positions of version %d, this program knows %d", version, snapshotWithMarks)
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
	var marks []mark
	if version == snapshotWithMarks {
		marks = r.marks()
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
	for _, m := range marks {
		p.mark(m)
	}
	return nil
}

// has says whether a file of that inode has a position; it may be another one.
func (p *Positions) has(id inode) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.inodes[id]) > 0
}

// find is the position of the file with this inode, birth and content, which the file of this
// size begins with head: of several the one last heard of.
func (p *Positions) find(id identity, head []byte, size int64, file io.ReaderAt) (progress, bool) {
	p.mu.Lock()
	var found []*position
	for _, at := range p.inodes[id.inode] {
		if at.id.birth != 0 && id.birth != 0 && at.id.birth != id.birth || at.done.end() > size {
			continue
		}
		if _, same := at.id.head.extend(head); same {
			found = append(found, at)
		}
	}
	slices.SortFunc(found, func(a, b *position) int { return cmp.Compare(b.heard, a.heard) })
	copies := make([]progress, 0, len(found))
	for _, at := range found {
		copies = append(copies, at.copy())
	}
	p.mu.Unlock()
	_, zipped := file.(*gunzip)
	for _, at := range copies {
		if zipped && at.id.birth != 0 && at.id.birth == id.birth {
			return at, true // nobody writes to it in place, and to decompress it may take long
		}
		if same, err := at.seam.holds(file); same || err != nil { // rather trust it than read it twice
			return at, true
		}
	}
	return progress{}, false
}

// copy needs Positions.mu.
func (at *position) copy() progress {
	pr := at.progress
	pr.done = slices.Clone(at.done)
	return pr
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
		all = append(all, at.copy())
	}
	return all
}
