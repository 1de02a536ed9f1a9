package tail

import (
	"math"
	"slices"
	"sort"
)

// A span is the bytes [start, end) of a file.
type span struct{ start, end int64 }

// spans is a set of bytes of a file: sorted, and no two of its spans touch.
type spans []span

// add puts [start, end) into the set. The usual case is the next bytes of the last span.
func (s spans) add(start, end int64) spans {
	if start >= end {
		return s
	}
	n := len(s)
	if n == 0 || start > s[n-1].end {
		return append(s, span{start, end})
	}
	if start >= s[n-1].start {
		s[n-1].end = max(s[n-1].end, end)
		return s
	}
	from := sort.Search(n, func(i int) bool { return s[i].end >= start })
	to := sort.Search(n, func(i int) bool { return s[i].start > end })
	if from < to {
		start, end = min(start, s[from].start), max(end, s[to-1].end)
	}
	return slices.Replace(s, from, to, span{start, end})
}

func (s spans) addAll(o spans) spans {
	for _, p := range o {
		s = s.add(p.start, p.end)
	}
	return s
}

// gap is the first hole that ends after pos: its part from pos on. The hole behind the last
// span has no end.
func (s spans) gap(pos int64) span {
	i := sort.Search(len(s), func(i int) bool { return s[i].end >= pos })
	if i < len(s) && s[i].start <= pos {
		pos = s[i].end
		i++
	}
	if i < len(s) {
		return span{pos, s[i].start}
	}
	return span{pos, math.MaxInt64}
}

// covers says whether all of o is in the set.
func (s spans) covers(o spans) bool {
	for _, p := range o {
		i := sort.Search(len(s), func(i int) bool { return s[i].end >= p.end })
		if i == len(s) || s[i].start > p.start {
			return false
		}
	}
	return true
}

// until is the part of the set that is before end.
func (s spans) until(end int64) (part spans) {
	for _, p := range s {
		part = part.add(p.start, min(p.end, end))
	}
	return part
}

// end is where the last span ends.
func (s spans) end() int64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].end
}

// size is the number of bytes in the set.
func (s spans) size() (n int64) {
	for _, p := range s {
		n += p.end - p.start
	}
	return n
}
