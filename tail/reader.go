package tail

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"
)

// A reader turns the bytes of one file into lines, and knows which of them are taken. It may
// begin anew at any time: what is taken it steps over.
type reader struct {
	key    uint64
	id     identity
	format string // FormatAuto until it is decided
	asked  string // what the configuration says
	max    int    // bytes of a line
	taken  spans  // in chunks that were taken
	split  splitter
	runs   [streams]run
}

// A run is a line whose last piece has not come yet.
type run struct {
	text   []byte
	lost   int
	pieces int
	places spans // of the pieces, between which there may be lines of the other stream
	time   time.Time
}

const (
	// maxPlaces bounds the holes that an unfinished run leaves in what is taken. A line with more
	// interruptions is ended before its end.
	maxPlaces = 128
	// markup is how much longer than its text a line may be because of what the CRI format puts before it.
	markup = 256
	// unfinishedBytes bounds what all files together keep of lines whose end has not come.
	unfinishedBytes = 64 << 20
)

func newReader(key uint64, id identity, cfg Config, budget *atomic.Int64) reader {
	return reader{
		key: key, id: id, format: FormatAuto, asked: cfg.Format, max: cfg.maxLine(),
		split: splitter{max: cfg.maxLine() + markup, budget: budget},
	}
}

// rewind forgets what is unfinished and begins anew with the first byte that is not taken.
func (r *reader) rewind() {
	r.split.moveTo(0)
	for i := range r.runs {
		r.endRun(&r.runs[i])
	}
}

// startOver makes r the reader of the file's new content.
func (r *reader) startOver(key uint64, id identity) {
	r.rewind()
	r.key, r.id, r.taken, r.format = key, id, nil, FormatAuto
}

// unfinished says whether there is a line that waits for its end.
func (r *reader) unfinished() bool {
	return r.split.begun || slices.ContainsFunc(r.runs[:], func(r run) bool { return r.pieces > 0 })
}

// decide finds the format by the first line, of which head is the beginning. It cannot while
// there is too little of it, unless that is all there will be.
func (r *reader) decide(head []byte, last bool) bool {
	switch {
	case r.format != FormatAuto:
	case r.asked != FormatAuto:
		r.format = r.asked
	default:
		line, _, complete := bytes.Cut(head, newline)
		if !complete && len(head) < fingerprintBytes && !last {
			return false
		}
		r.format = sniff(line, complete)
	}
	return true
}

func sniff(line []byte, complete bool) string {
	if _, ok := parseCRI(line); ok {
		return FormatCRI
	}
	if _, _, ok := parseDocker(line, nil); ok || !complete && bytes.HasPrefix(line, []byte(`{"log":"`)) {
		return FormatDocker
	}
	return FormatPlain
}

// read reads one window of a file of this size, and puts the lines that end in it into c.
// It says whether there is more.
func (r *reader) read(file io.ReaderAt, size int64, c *Chunk) (more bool, err error) {
	hole := r.taken.gap(r.split.pos)
	if hole.start > r.split.pos {
		// What was taken before a restart begins here. It began with a new line, so a line that has no end has one now.
		if l, ok := r.split.rest(); ok {
			r.line(c, l)
		}
		r.split.moveTo(hole.start)
	}
	n := min(windowBytes, hole.end-hole.start, size-hole.start)
	if n <= 0 {
		return false, nil
	}
	c.window = slices.Grow(c.window[:0], int(n))[:n]
	got, err := file.ReadAt(c.window, hole.start)
	if err != nil && err != io.EOF {
		return false, fmt.Errorf("read %d bytes at %d: %w", n, hole.start, err)
	}
	r.split.feed(c.window[:got])
	for len(c.Lines) < maxLines {
		l, ok := r.split.next()
		if !ok {
			r.split.park()
			return got > 0 && r.split.pos < size, nil
		}
		r.line(c, l)
	}
	r.split.leave()
	return true, nil
}

// finish puts the lines into c whose end will not come.
func (r *reader) finish(c *Chunk) {
	if l, ok := r.split.rest(); ok {
		r.line(c, l)
	}
	for i := range r.runs {
		if r.runs[i].pieces > 0 {
			r.emitRun(c, stream(i), true)
		}
	}
}

// line takes one line of the file. What is not in the file's format is passed on as it stands.
func (r *reader) line(c *Chunk, l rawLine) {
	var p piece
	ok := false
	switch r.format {
	case FormatCRI:
		p, ok = parseCRI(l.text)
	case FormatDocker:
		p, c.arena, ok = parseDocker(l.text, c.arena)
	}
	if !ok {
		r.emit(c, Line{Text: l.text, Partial: l.cut}, l)
		return
	}
	run := &r.runs[p.stream]
	if !p.partial && run.pieces == 0 {
		r.emit(c, Line{Text: p.text, Time: p.time, Stream: p.stream.String(), Partial: l.cut}, l)
		return
	}
	r.extend(run, p, l)
	if !p.partial || len(run.places) >= maxPlaces {
		r.emitRun(c, p.stream, p.partial || l.cut)
	}
}

// emit passes on a line of the file that is one by itself.
func (r *reader) emit(c *Chunk, line Line, l rawLine) {
	text, lost := trimLine(line.Text, r.max, !l.cut && l.lost == 0)
	line.Text = text
	lost += l.lost
	line.Truncated = lost > 0
	c.add(line, l.end-l.start, 1, lost)
	c.done = c.done.add(l.start, l.end)
}

// extend puts a piece to its run.
func (r *reader) extend(run *run, p piece, l rawLine) {
	if run.pieces == 0 {
		run.time = p.time
	}
	// One byte over the limit, so that trimLine sees where the character begins.
	n := max(0, min(len(p.text), r.max+1-len(run.text), int(r.split.budget.Load())))
	r.split.budget.Add(-int64(n))
	run.text = append(run.text, p.text[:n]...)
	run.lost += len(p.text) - n + l.lost
	run.pieces++
	run.places = run.places.add(l.start, l.end)
}

// emitRun passes on the line that the pieces of s make.
func (r *reader) emitRun(c *Chunk, s stream, partial bool) {
	run := &r.runs[s]
	begin := len(c.arena)
	c.arena = append(c.arena, run.text...)
	text, lost := trimLine(c.arena[begin:len(c.arena):len(c.arena)], r.max, run.lost == 0 && !partial)
	lost += run.lost
	c.add(Line{Text: text, Time: run.time, Stream: s.String(), Truncated: lost > 0, Partial: partial},
		run.places.size(), run.pieces, lost)
	c.done = c.done.addAll(run.places)
	r.endRun(run)
}

func (r *reader) endRun(run *run) {
	r.split.budget.Add(int64(len(run.text)))
	run.text, run.places = run.text[:0], run.places[:0]
	run.lost, run.pieces = 0, 0
	if cap(run.text) > smallBuffer {
		run.text = nil
	}
}
