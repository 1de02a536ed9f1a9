package tail

import (
	"path/filepath"
	"slices"
	"time"
)

// A content is what a file held, and how much of that is safe. It outlives the file: the file is
// truncated after it was copied (copytruncate), or removed after it was compressed. Whoever has the
// same content is its heir, has its key, and is read on where it was not read yet. So a content is
// read once however often it moves, and is forgotten when nobody has it.
type content struct {
	progress
	cfg        *config
	root       string    // of path
	name, real string    // where it was last
	size       int64     // how long it was when it was last looked at; -1: not known
	since      time.Time // when it lost its file
	away       bool      // its file was not there at the start, and may only be away: its position is kept
	givenUp    bool      // what is not read of it is not to be read
}

// unread is what is known not to be safe.
func (c *content) unread() int64 { return max(0, c.size-c.done.size()) }

// beginsOtherwise says whether a file with that head cannot hold any of it.
func (c *content) beginsOtherwise(head []byte) bool {
	if n := c.id.head.n; n == 0 || len(head) < n {
		return n == 0 || !c.rungs.begin(head)
	}
	_, ok := c.id.head.extend(head)
	return !ok
}

// leave notes that the content is not in its file any more. settle finds its heir, or ends it. Needs mu.
func (t *Tailer) leave(c content) {
	c.done, c.since = slices.Clone(c.done), t.clock()
	t.orphans = append(t.orphans, &c)
	t.scanSoon()
}

// patience is how long something that cannot be told is waited for: a file that somebody is still
// compressing, or a directory that changes whenever it is listed.
const patience = 30 * time.Second

// settle finds the heirs of what lost its file. What has none, nobody can read any more. Needs mu.
func (t *Tailer) settle(places directories) {
	type log struct {
		cfg    *config
		beside []string
		told   verdict
	}
	logs, asked := make(map[string]*log), make(map[*content]bool)
	add := func(root string, cfg *config, paths ...string) {
		l := logs[root]
		if l == nil {
			l = &log{cfg: cfg}
			logs[root] = l
		}
		l.beside = addRoots(l.beside, paths...)
	}
	for _, o := range t.orphans {
		add(o.root, o.cfg, o.path, o.name, o.real)
		asked[o] = true
	}
	for f := range t.strays {
		add(f.root, f.cfg, f.path, f.name, f.real)
	}
	clear(t.strays)
	for root, l := range logs {
		l.told = t.sweep(root, l.cfg, l.beside, places)
	}
	t.orphans = slices.DeleteFunc(t.orphans, func(o *content) bool {
		if !asked[o] {
			return false // it lost its file only now
		}
		switch told := logs[o.root].told; {
		case told == stale:
			return false
		case told == unclear && t.clock().Sub(o.since) < patience:
			t.scanSoon()
			return false
		}
		t.part(o)
		return true
	})
}

// part ends a content that has no heir. Needs mu.
func (t *Tailer) part(o *content) {
	if o.away {
		t.away = append(t.away, o)
		return
	}
	if n := o.unread(); o.id.head.n == 0 {
		// Nobody had looked into it: what it held since is one that is not known.
		r := t.search(o.root, o.cfg, o.name, o.real)
		if n > 0 {
			r.lost = append(r.lost, o)
		}
	} else if n > 0 {
		t.missedContent(o)
	}
	t.parted = append(t.parted, parting{content: *o})
}

func (t *Tailer) missedContent(o *content) {
	t.miss(Missed{Path: o.path, Config: o.cfg.index, Bytes: o.unread(), Reason: MissedGone})
}

// sweep takes in what lies beside a log, looks rotated from it, and holds a content that is known. It
// returns differs if all of it could be told. Needs mu.
func (t *Tailer) sweep(root string, cfg *config, beside []string, places directories) (told verdict) {
	for _, base := range beside {
		l := places.list(filepath.Dir(base))
		if l.torn {
			told = max(told, unclear)
		}
		for _, s := range l.rotated[base] {
			if s.size == 0 {
				continue
			}
			if v := t.knows(s); v != differs {
				if v == unclear {
					told = max(told, unclear)
				}
				continue
			}
			// After a start there may be hundreds of contents and of files, which are not to be opened for each.
			if head, ok := l.heads[s.inode]; ok && !t.mayHold(root, head) {
				continue
			}
			s.cfg = cfg
			c, v := t.claim(s, root)
			if c != nil {
				l.heads[s.inode] = c.head
				c.close()
			}
			if v == unclear || v == stale {
				told = max(told, v)
			}
		}
	}
	return told
}

// mayHold says whether a file with that head may hold a content of a log that lost its file. Needs mu.
func (t *Tailer) mayHold(root string, head []byte) bool {
	may := func(o *content) bool { return o.root == root && !o.beginsOtherwise(head) }
	for f := t.origins[root]; f != nil; f = f.next {
		if of := f.content(); f.isAway() && may(&of) {
			return true
		}
	}
	for o := range t.lost() {
		if may(o) {
			return true
		}
	}
	return false
}
