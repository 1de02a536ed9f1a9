package main

import "sync/atomic"

// An outcome is what a sender knows about numbers it sent.
type outcome uint8

const (
	acked      outcome = iota // must be there, once
	unanswered                // may be there, once: no answer came, or one that does not tell
	refused                   // the answer was no; may be there, once, since a no is no promise
	outcomes
)

// A send is a run of numbers that was sent once. Numbers are never used again, whatever came of them.
type send struct {
	first   uint64
	count   uint32
	outcome outcome
	began   uint32 // ms since the start of the run
	took    uint32 // ms
}

// A book is what one writer knows of its numbers, from 0 on and without a gap. One goroutine
// writes it; total may be asked by others, and the rest when it is done.
type book struct {
	sends []send
	next  uint64
	total [outcomes]atomic.Uint64 // numbers
}

func (b *book) note(s send) {
	b.sends = append(b.sends, s)
	b.next = s.first + uint64(s.count)
	b.total[s.outcome].Add(uint64(s.count))
}
