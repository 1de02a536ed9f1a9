package tail

import (
	"iter"
	"slices"
)

// claim takes in the file of s, which is unknown and lies beside a log, if what it holds is known: as the heir
// of a content that lost its file, as read if it holds less, or as a copy of a file that is read, which
// is left alone until that one is gone. Then, and if it cannot be told yet, there is no candidate; else it is
// the caller's. Needs mu.
func (t *Tailer) claim(s sighting, root string) (*candidate, verdict) {
	if t.isCopy(s) {
		return nil, same
	}
	c, err := t.openCandidate(s)
	t.onceLocked(s.path, "log file cannot be opened, trying again at each scan", err)
	if c == nil {
		t.isStill(s)
		return nil, unclear // perhaps it has another name by now, or was compressed
	}
	if t.tooMany(s.path) {
		c.close()
		return nil, unclear
	}
	v, f, o := t.whose(c, root)
	if f != nil && f.isAway() {
		of := f.content()
		o = &of
		if v == same {
			t.unlist(f)
		}
		f = nil
	}
	switch {
	case f != nil:
		if len(t.copies) < maxFiles {
			t.copies[s.inode] = twin{s, f, f.key, c.shared}
		}
	case o != nil && o.givenUp:
		t.cover(c, o.path, o.born, spans{}.add(0, c.size))
		return nil, same
	case o != nil && v == same:
		t.orphans, t.away = without(t.orphans, o.key), without(t.away, o.key)
		t.parted = slices.DeleteFunc(t.parted, func(p parting) bool { return p.key == o.key })
		t.begin(c, o.path, o)
		return nil, same
	case o != nil:
		t.cover(c, o.path, o.born, o.done.until(min(c.length(), o.done.end())))
		return nil, same
	case v == differs || v == unclear && !c.isEmpty() && t.isStill(s):
		return c, differs
	}
	c.close()
	return nil, v
}

// whose finds the content of a log that c holds, or the beginning of: that of a file that is read, or one that lost
// its file. Of several it is the one that has most in common. Needs mu.
func (t *Tailer) whose(c *candidate, root string) (found verdict, f *file, o *content) {
	if c.isEmpty() {
		return unclear, nil, nil
	}
	if p, own := t.pos.find(c.id, c.head, c.length(), c.source()); own {
		for o := range t.lost() {
			if o.key == p.key {
				return same, nil, o // it was only away
			}
		}
		return differs, nil, nil
	}
	most, open := int64(-1), differs
	better := func(v verdict, shared int64) bool {
		switch {
		case v == unclear || v == stale:
			open = max(open, v)
		case v != differs && (shared > most || shared == most && v == same && found == less):
			found, most, c.shared = v, shared, shared
			return true
		}
		return false
	}
	for other := range t.lost() {
		if tw, ok := t.copies[c.id.inode]; ok && tw.key == other.key && tw.seen() == c.seen.seen() {
			switch v := c.copyOf(other, tw); v {
			case differs: // it went on otherwise
			case same, less:
				return v, nil, other
			default:
				return v, nil, nil
			}
		}
		if other.root == root && !other.beginsOtherwise(c.head) && better(c.holds(other)) {
			o = other
		}
	}
	for l := t.origins[root]; l != nil; l = l.next {
		if of := l.content(); l.rotated && of.id.head.n > 0 && of.beginsOtherwise(c.head) && l.isAsRead() {
			continue // nobody writes over it any more
		}
		v, shared := c.against(l)
		if v == stale || v == unclear {
			t.push(l) // what it held went somewhere, and it may be what c is a copy of now
		}
		if better(v, shared) {
			f, o = l, nil
		}
	}
	if f == nil && o == nil {
		return open, nil, nil
	}
	return found, f, o
}

// lost is the contents that lost their file. Needs mu.
func (t *Tailer) lost() iter.Seq[*content] {
	return func(yield func(*content) bool) {
		for _, all := range [][]*content{t.orphans, t.away} {
			for _, o := range all {
				if !yield(o) {
					return
				}
			}
		}
		for i := range t.parted {
			if !yield(&t.parted[i].content) {
				return
			}
		}
	}
}

func without(all []*content, key uint64) []*content {
	return slices.DeleteFunc(all, func(o *content) bool { return o.key == key })
}

// knows says whether the file of s is one that is known: same or differs, or unclear if it has another name by
// now. Needs mu.
func (t *Tailer) knows(s sighting) verdict {
	f := t.files[s.inode]
	if f == nil {
		return differs
	}
	v := f.at(s)
	if v == differs {
		t.replaced(f)
	}
	return v
}
