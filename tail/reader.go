package tail

import (
	"bytes"
	"errors"
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
	seam   []byte // the bytes before split.pos, as they were when they were read
	join   *joining
	kept   *[streams]kept // nil: nothing, as of nearly every file at any time
}

// A kept is what waits for more of a stream.
type kept struct {
	run   run
	block block
}

func (r *reader) keptOf(s stream) *kept {
	if r.kept == nil {
		r.kept = new([streams]kept)
	}
	return &r.kept[s]
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
	// seamBytes is how much before the place where reading goes on is compared with what was read there.
	seamBytes = 64
)

// errOverwritten says that the file does not go on where reading stopped: before that place there
// are other bytes now.
var errOverwritten = errors.New("overwritten")

func newReader(key uint64, id identity, cfg *config, budget *atomic.Int64) reader {
	return reader{
		key: key, id: id, format: FormatAuto, asked: cfg.Format, max: cfg.maxLine(), join: cfg.join,
		split: splitter{max: cfg.maxLine() + markup, budget: budget},
	}
}

// rewind forgets what is unfinished and begins anew with the first byte that is not taken.
func (r *reader) rewind() {
	r.moveTo(0)
	if r.kept == nil {
		return
	}
	for i := range r.kept {
		r.endRun(&r.kept[i].run)
		r.endBlock(&r.kept[i].block)
	}
}

// moveTo goes on at pos.
func (r *reader) moveTo(pos int64) {
	r.split.moveTo(pos)
	r.seam = r.seam[:0]
}

// startOver makes r the reader of the file's new content.
func (r *reader) startOver(key uint64, id identity) {
	r.rewind()
	r.key, r.id, r.taken, r.format = key, id, nil, FormatAuto
}

// unfinished says whether there is a line that waits for its end.
func (r *reader) unfinished() bool {
	return r.split.begun || r.holds() || r.kept != nil && slices.ContainsFunc(r.kept[:], func(k kept) bool { return k.run.pieces > 0 })
}

// holds says whether there are whole lines that wait for what may belong to them.
func (r *reader) holds() bool {
	return r.kept != nil && slices.ContainsFunc(r.kept[:], func(k kept) bool { return k.block.lines > 0 })
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
	line = trimNULs(line)
	if _, ok := parseCRI(line); ok {
		return FormatCRI
	}
	if _, _, ok := parseDocker(line, nil); ok || !complete && bytes.HasPrefix(line, []byte(`{"log":"`)) {
		return FormatDocker
	}
	return FormatPlain
}

// read reads one window of a file of this size, and puts the lines that end in it into c.
// It says whether there is more. The file began with head a moment ago.
func (r *reader) read(file io.ReaderAt, head []byte, size int64, c *Chunk) (more bool, err error) {
	hole := r.taken.gap(r.split.pos)
	if hole.start > r.split.pos {
		// What was taken before a restart begins here. It began with a new line, so a line that has no end has one now.
		if l, ok := r.split.rest(); ok {
			r.line(c, l)
		}
		r.flush(c)
		r.moveTo(hole.start)
	}
	if data := nextData(file, hole.start, min(hole.end, size)); data > hole.start && len(r.split.held) == 0 {
		r.split.skip(data)
		r.seam = r.seam[:0]
		return data < size, nil
	}
	n := max(0, min(windowBytes, hole.end-hole.start, size-hole.start))
	if n == 0 && len(r.seam) == 0 {
		return false, nil
	}
	before := int64(len(r.seam))
	c.window = slices.Grow(c.window[:0], int(before+n))[:before+n]
	got, err := file.ReadAt(c.window, hole.start-before)
	if err != nil && err != io.EOF {
		return false, fmt.Errorf("read %d bytes at %d: %w", n, hole.start, err)
	}
	if int64(got) < before || !bytes.Equal(c.window[:before], r.seam) {
		return false, errOverwritten
	}
	window := c.window[:got]
	if n := min(len(head), got); hole.start == 0 && !bytes.Equal(window[:n], head[:n]) {
		return false, errOverwritten // since then
	}
	if r.split.begun && bytes.HasPrefix(window[before:], nuls) {
		if l, ok := r.split.rest(); ok {
			r.line(c, l) // its end was lost
		}
	}
	r.split.feed(window[before:])
	for len(c.Lines) < maxLines {
		l, ok := r.split.next()
		if !ok {
			r.split.park()
			r.see(window, hole.start-before, c)
			return int64(got) > before && r.split.pos < size, nil
		}
		r.line(c, l)
	}
	r.split.leave()
	r.see(window, hole.start-before, c)
	return true, nil
}

// see remembers what stands before the place where reading goes on, and before the end of what
// the chunk says is safe. window was read at start.
func (r *reader) see(window []byte, start int64, c *Chunk) {
	r.seam = append(r.seam[:0], seamIn(window, start, r.split.pos)...)
	if end := c.done.end(); end > start && end <= start+int64(len(window)) {
		c.seam = newSeam(end, seamIn(window, start, end))
	}
}

// seamIn is the last bytes before end, of a window that was read at start.
func seamIn(window []byte, start, end int64) []byte {
	window = window[:max(0, min(end-start, int64(len(window))))]
	return window[max(0, len(window)-seamBytes):]
}

// finish puts the lines into c whose end will not come.
func (r *reader) finish(c *Chunk) {
	if l, ok := r.split.rest(); ok {
		r.line(c, l)
	}
	for i := range streams {
		if r.kept != nil && r.kept[i].run.pieces > 0 {
			r.emitRun(c, i, true)
		}
	}
	r.flush(c)
}

// line takes one line of the file. What is not in the file's format is passed on as it stands.
func (r *reader) line(c *Chunk, l rawLine) {
	if r.split.zeros && l.lost == 0 {
		l = r.torn(c, l)
	}
	if len(l.text) == 0 && l.cut {
		c.skip(l) // nothing but NULs
		return
	}
	var p piece
	ok := false
	switch r.format {
	case FormatCRI:
		p, ok = parseCRI(l.text)
	case FormatDocker:
		p, c.arena, ok = parseDocker(l.text, c.arena)
	}
	if !ok {
		r.whole(c, piece{text: l.text}, "", l)
		return
	}
	if !p.partial && (r.kept == nil || r.kept[p.stream].run.pieces == 0) {
		r.whole(c, p, p.stream.String(), l)
		return
	}
	run := &r.keptOf(p.stream).run
	r.extend(run, p, l)
	if !p.partial || len(run.places) >= maxPlaces {
		r.emitRun(c, p.stream, p.partial || l.cut)
	}
}

// tornNULs is how many NULs in a row end a line: fewer may be somebody's text.
const tornNULs = 4

// torn passes on what stands before NULs in the midst of a line: its end was lost with the machine,
// or with what a truncation took. It returns what stands behind.
func (r *reader) torn(c *Chunk, l rawLine) rawLine {
	for {
		i := bytes.Index(l.text, nuls)
		if i < 0 {
			return l
		}
		behind := trimNULs(l.text[i:])
		textEnd := l.end
		if !l.cut {
			textEnd--
		}
		before := rawLine{text: l.text[:i], start: l.start, end: textEnd - int64(len(behind)), cut: true}
		l.text, l.start = behind, before.end
		zeros := r.split.zeros
		r.split.zeros = false
		r.line(c, before)
		r.split.zeros = zeros
	}
}

var nuls = make([]byte, tornNULs)

// whole takes a line that is one line of the file, and trims it.
func (r *reader) whole(c *Chunk, p piece, from string, l rawLine) {
	text, lost := trimLine(p.text, r.max, !l.cut && l.lost == 0)
	lost += l.lost
	if (r.kept == nil || r.kept[p.stream].block.lines == 0) && r.alone(text, l.text[:max(0, len(l.text)-len(p.text))]) {
		c.addWhole(text, p.time, from, l, lost)
		return
	}
	r.put(c, p.stream, Line{Text: text, Time: p.time, Stream: from, Partial: l.cut, Truncated: lost > 0},
		origin{start: l.start, end: l.end, pieces: 1, lost: lost})
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
	run := &r.kept[s].run
	begin := len(c.arena)
	c.arena = append(c.arena, run.text...)
	text, lost := trimLine(c.arena[begin:len(c.arena):len(c.arena)], r.max, run.lost == 0 && !partial)
	lost += run.lost
	r.put(c, s, Line{Text: text, Time: run.time, Stream: s.String(), Truncated: lost > 0, Partial: partial},
		origin{places: run.places, pieces: run.pieces, lost: lost})
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

// idle gives back the buffers of a file that does not grow, as far as nothing is in them.
func (r *reader) idle() {
	if !r.split.begun {
		r.split.release()
	}
	if !r.unfinished() {
		r.kept = nil
	}
}
