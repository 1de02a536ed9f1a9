package tail

import (
	"bytes"
	"sync/atomic"
	"unicode/utf8"
)

// A rawLine is a line as it stands in the file, without its newline.
type rawLine struct {
	text       []byte // lent until the splitter is fed again
	lost       int    // bytes beyond the limit, between text and the newline
	start, end int64  // in the file, newline included
	cut        bool   // there was no newline
}

// A splitter cuts the bytes of a file, fed window by window, into lines. Of a line that does
// not end in its window it keeps the beginning, and gives it back when the rest has come.
type splitter struct {
	max    int           // bytes of a line that are kept
	budget *atomic.Int64 // how many more bytes all splitters together may keep

	pos   int64  // where in the file data begins, or the next window
	data  []byte // lent
	zeros bool   // there are NULs in the window, or in what is held
	begun bool   // a line began at start, and held is what is kept of it
	start int64
	held  []byte
	lost  int

	out  []byte // what was held of a line of this window: lent
	free []byte // the same of an earlier window: its room is used again
}

// smallBuffer is how much room a buffer that is not needed at the moment may hold on to.
const smallBuffer = 16 << 10

// feed takes the bytes of the file at pos. The lines of the window before are not valid any more.
func (s *splitter) feed(data []byte) {
	if s.out != nil && cap(s.out) <= smallBuffer {
		s.free = s.out[:0]
	}
	s.out, s.data = nil, data
	s.zeros = bytes.IndexByte(data, 0) >= 0 || bytes.IndexByte(s.held, 0) >= 0
}

// trimNULs is b without the NULs it begins with: what a file system fills a file with whose bytes
// it lost, and what is in front of a writer that did not notice that its file was truncated.
func trimNULs(b []byte) []byte {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

// next is the next complete line.
func (s *splitter) next() (rawLine, bool) {
	i := bytes.IndexByte(s.data, '\n')
	if i < 0 {
		return rawLine{}, false
	}
	l := rawLine{text: s.data[:i], start: s.pos}
	s.data = s.data[i+1:]
	s.pos += int64(i) + 1
	l.end = s.pos
	if s.begun {
		s.keep(l.text)
		return s.takeHeld(l.end, false), true
	}
	if s.zeros {
		l.text = trimNULs(l.text)
	}
	if len(l.text) > s.max {
		l.lost = len(l.text) - s.max
		l.text = l.text[:s.max]
	}
	return l, true
}

// park keeps the line that has begun at the end of the window, all of whose complete lines were taken.
func (s *splitter) park() {
	if len(s.data) == 0 {
		return
	}
	s.begin()
	s.keep(s.data)
	s.pos += int64(len(s.data))
	s.data = nil
}

// begin notes that a line has begun.
func (s *splitter) begin() {
	if !s.begun {
		s.begun, s.start = true, s.pos
	}
}

// skip goes on at pos, before which there are only NULs.
func (s *splitter) skip(pos int64) {
	s.begin()
	s.pos = pos
}

// leave gives back what was not taken of the window: the next one begins there.
func (s *splitter) leave() { s.data = nil }

// rest is the line that has begun, as if it had ended here.
func (s *splitter) rest() (rawLine, bool) {
	if !s.begun {
		return rawLine{}, false
	}
	return s.takeHeld(s.pos, true), true
}

// moveTo forgets everything and goes on at pos.
func (s *splitter) moveTo(pos int64) {
	s.budget.Add(int64(len(s.held)))
	*s = splitter{max: s.max, budget: s.budget, pos: pos}
}

func (s *splitter) keep(b []byte) {
	if len(s.held) == 0 && s.lost == 0 {
		b = trimNULs(b)
	}
	n := min(len(b), s.max-len(s.held), int(max(s.budget.Load(), 0)))
	s.budget.Add(-int64(n))
	if s.held == nil {
		s.held, s.free = s.free, nil
	}
	s.held = append(s.held, b[:n]...)
	s.lost += len(b) - n
}

// release gives back the room that is kept for the next line.
func (s *splitter) release() {
	s.out, s.free, s.data = nil, nil, nil
}

func (s *splitter) takeHeld(end int64, cut bool) rawLine {
	l := rawLine{text: s.held, lost: s.lost, start: s.start, end: end, cut: cut}
	s.budget.Add(int64(len(s.held)))
	s.out, s.held, s.lost, s.begun = s.held, nil, 0, false
	return l
}

// trimLine takes the carriage return off a line's end and cuts it to max bytes, not through
// the middle of a character. It returns how many bytes the cut took.
func trimLine(b []byte, limit int, complete bool) (text []byte, lost int) {
	if complete && len(b) > 0 && b[len(b)-1] == '\r' {
		b = b[:len(b)-1]
	}
	if len(b) <= limit {
		return b, 0
	}
	n := limit
	for n > limit-utf8.UTFMax && n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n], len(b) - n
}
