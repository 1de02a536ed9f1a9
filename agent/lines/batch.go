package lines

import "google.golang.org/protobuf/encoding/protowire"

// A batch is the records of one body, by scope. Records are written one behind the other as
// they come; a run is a stretch of them with the same scope, and the runs of a scope are linked.
type batch struct {
	records []byte
	runs    []run
	items   int

	scopes []scopeRuns
	used   []int32          // scopes with records, in the order of their first one
	byName map[string]int32 // index in scopes
	last   int32            // scope that was asked for last
}

type run struct{ start, end, next int }

type scopeRuns struct {
	name        string
	first, last int // in runs
	size        int // bytes of its records; 0: none
}

const (
	noScope       = int32(0)
	maxScopes     = 1024 // remembered; more in one body stay attributes
	maxLoggerName = 255  // bytes
)

func (b *batch) reset() {
	b.records, b.runs, b.items = b.records[:0], b.runs[:0], 0
	for _, i := range b.used {
		b.scopes[i].size = 0
	}
	b.used, b.last = b.used[:0], noScope
	if b.byName == nil || len(b.scopes) >= maxScopes {
		b.byName = map[string]int32{"": noScope}
		b.scopes = append(b.scopes[:0], scopeRuns{})
	}
}

// scope returns the scope of that name, which is UTF-8; false if there are too many.
func (b *batch) scope(name []byte) (scope int32, ok bool) {
	if b.scopes[b.last].name == string(name) {
		return b.last, true
	}
	scope, ok = b.byName[string(name)]
	if !ok {
		if len(b.scopes) >= maxScopes || len(name) > maxLoggerName {
			return noScope, false
		}
		scope = int32(len(b.scopes))
		b.scopes = append(b.scopes, scopeRuns{name: string(name)})
		b.byName[b.scopes[scope].name] = scope
	}
	b.last = scope
	return scope, true
}

func (b *batch) add(scope int32, r *record) {
	start := len(b.records)
	b.records = r.appendTo(b.records)
	b.items++
	s, n := &b.scopes[scope], len(b.runs)
	switch {
	case s.size == 0:
		b.used = append(b.used, scope)
		s.first, s.last = n, n
		b.runs = append(b.runs, run{start: start, next: -1})
	case s.last != n-1:
		b.runs[s.last].next = n
		s.last = n
		b.runs = append(b.runs, run{start: start, next: -1})
	}
	b.runs[s.last].end = len(b.records)
	s.size += len(b.records) - start
}

// size is the length of what appendTo appends.
func (b *batch) size() (n int) {
	for _, i := range b.used {
		s := &b.scopes[i]
		n += 1 + protowire.SizeBytes(s.header()+s.size)
	}
	return n
}

// header is the length of the field that names the scope.
func (s *scopeRuns) header() int {
	if s.name == "" {
		return 0
	}
	return 1 + protowire.SizeBytes(1+protowire.SizeBytes(len(s.name)))
}

// appendTo appends one ScopeLogs for each scope.
func (b *batch) appendTo(dst []byte) []byte {
	for _, i := range b.used {
		s := &b.scopes[i]
		dst = protowire.AppendVarint(append(dst, resourceLogsScopeLogs), uint64(s.header()+s.size))
		if s.name != "" {
			var start int
			dst, start = begin(dst, scopeLogsScope)
			dst = end(appendBytes(dst, scopeName, s.name), start)
		}
		for at := s.first; at >= 0; at = b.runs[at].next {
			dst = append(dst, b.records[b.runs[at].start:b.runs[at].end]...)
		}
	}
	return dst
}
