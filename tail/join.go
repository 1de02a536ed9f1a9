package tail

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Modes of joining lines.
const (
	MultilineAuto = "auto" // stack traces of Python, Java, Go and Node, in lines that are no JSON
	MultilineNone = "none"
)

// MultilineConfig is how lines that belong together become one, with newlines in it. Names and
// meaning are those of the OpenTelemetry Collector where it has them.
type MultilineConfig struct {
	// Mode is auto or none. Empty is auto.
	Mode string
	// LineStartPattern, if set, is a regexp that the first line of each matches, instead of Mode.
	LineStartPattern string
	// MaxLines and MaxBytes of one; what is beyond begins another. 0: 256 and 256 KiB.
	MaxLines, MaxBytes int
	// ForceFlushPeriod is how long what was written may wait for more. 0: 1 s.
	ForceFlushPeriod time.Duration
}

const (
	defaultJoinLines = 256
	defaultJoinBytes = 256 << 10
	defaultJoinWait  = time.Second
)

// Validate names everything that is wrong.
func (c MultilineConfig) Validate() error {
	var errs []error
	if !slices.Contains([]string{"", MultilineAuto, MultilineNone}, c.Mode) {
		errs = append(errs, fmt.Errorf("multiline.mode: %q: use auto or none", c.Mode))
	}
	if _, err := regexp.Compile(c.LineStartPattern); err != nil {
		errs = append(errs, fmt.Errorf("multiline.line_start_pattern: %w", err))
	}
	if c.LineStartPattern != "" && c.Mode != "" {
		errs = append(errs, errors.New("multiline: mode or line_start_pattern, not both"))
	}
	if c.MaxLines < 0 || c.MaxBytes < 0 || c.ForceFlushPeriod < 0 {
		errs = append(errs, errors.New("multiline.max_lines, multiline.max_bytes, force_flush_period: cannot be negative"))
	}
	return errors.Join(errs...)
}

// A joining is a MultilineConfig, ready for use. nil joins nothing.
type joining struct {
	first              *regexp.Regexp // nil: stack traces
	maxLines, maxBytes int
	wait               time.Duration
}

// joining needs a valid configuration.
func (c MultilineConfig) joining() *joining {
	if c.Mode == MultilineNone {
		return nil
	}
	j := &joining{maxLines: c.MaxLines, maxBytes: c.MaxBytes, wait: c.ForceFlushPeriod}
	if c.LineStartPattern != "" {
		j.first = regexp.MustCompile(c.LineStartPattern)
	}
	if j.maxLines == 0 {
		j.maxLines = defaultJoinLines
	}
	if j.maxBytes == 0 {
		j.maxBytes = defaultJoinBytes
	}
	if j.wait == 0 {
		j.wait = defaultJoinWait
	}
	return j
}

// A block is lines that are or may become one. Until it is over, none of them is taken.
type block struct {
	lines  int // 0: there is none
	text   []byte
	line   Line   // of the first one, without its text
	from   origin // of all
	breaks int    // newlines in text between lines
	trace  trace
}

// put passes a line on, or keeps it as long as others may belong to it.
func (r *reader) put(c *Chunk, s stream, line Line, o origin) {
	if r.join == nil {
		c.add(line, &o)
		return
	}
	b := &r.keptOf(s).block
	if b.lines > 0 {
		if r.continues(b, line.Text) {
			if r.extendBlock(b, line, &o) {
				return
			}
			state := b.trace // what is beyond the limits is a line of its own, and its like with it
			b.line.Partial = true
			r.emitBlock(c, s)
			r.beginBlock(b, line, &o, state)
			return
		}
		r.emitBlock(c, s)
	}
	state, ok := trace{}, true
	if r.join.first == nil {
		state, ok = beginsTrace(line.Text)
	}
	if !ok {
		c.add(line, &o)
		return
	}
	r.beginBlock(b, line, &o, state)
}

// alone says whether it can be seen at once that no other line belongs to a line with that text,
// by the text and by the next line in the window: nothing continues a trace that does not begin with
// one of a few bytes. markup is what stands before the text in the file.
func (r *reader) alone(text, markup []byte) bool {
	switch {
	case r.join == nil:
		return true
	case r.join.first != nil:
		return false
	case len(text) > 0 && text[0] == '{':
		return true
	}
	next := r.split.data
	switch r.format {
	case FormatPlain:
	case FormatCRI:
		// The next line is of this stream, and full, if it says so at the same place.
		const from = len("stdout F ")
		n := len(markup)
		if n < from || len(next) <= n || markup[n-2] != 'F' || !bytes.Equal(next[n-from:n], markup[n-from:]) {
			return false
		}
		next = next[n:]
	default:
		return false
	}
	return len(next) > 0 && !beginsContinuation[next[0]]
}

// continues says whether a line belongs to the block, and notes what that says of the next one.
func (r *reader) continues(b *block, text []byte) bool {
	if r.join.first != nil {
		return !r.join.first.Match(text)
	}
	return b.trace.continues(text)
}

func (r *reader) beginBlock(b *block, line Line, o *origin, state trace) {
	b.trace, b.breaks = state, 0
	b.from.places = o.addTo(b.from.places[:0])
	b.from.pieces, b.from.lost, b.lines = o.pieces, o.lost, 1
	b.text = r.keepText(b.text[:0], line.Text, &b.from)
	b.line = line
	b.line.Text = nil
}

// extendBlock returns false when the block is as large as it may be.
func (r *reader) extendBlock(b *block, line Line, o *origin) bool {
	if b.lines >= r.join.maxLines || len(b.text)+1+len(line.Text) > r.join.maxBytes || len(b.from.places) >= maxPlaces {
		return false
	}
	if int(r.split.budget.Load()) <= len(line.Text) {
		return false
	}
	r.split.budget.Add(-1)
	b.text = append(b.text, '\n')
	b.breaks++
	b.text = r.keepText(b.text, line.Text, &b.from)
	b.from.places = o.addTo(b.from.places)
	b.from.pieces += o.pieces
	b.from.lost += o.lost
	b.line.Truncated = b.line.Truncated || line.Truncated
	b.line.Partial = b.line.Partial || line.Partial
	b.lines++
	return true
}

// keepText appends as much of text as memory allows.
func (r *reader) keepText(dst, text []byte, o *origin) []byte {
	n := max(0, min(len(text), int(r.split.budget.Load())))
	r.split.budget.Add(-int64(n))
	o.lost += len(text) - n
	return append(dst, text[:n]...)
}

// emitBlock passes on what the block has become. Blank lines at its end were waited for in vain.
func (r *reader) emitBlock(c *Chunk, s stream) {
	b := &r.kept[s].block
	begin := len(c.arena)
	c.arena = append(c.arena, b.text...)
	text := c.arena[begin:len(c.arena):len(c.arena)]
	for b.breaks > 0 && r.join.first == nil && bytes.HasSuffix(text, newline) {
		text = text[:len(text)-1]
		b.breaks--
	}
	line := b.line
	line.Text, line.breaks = text, b.breaks
	line.Truncated = line.Truncated || b.from.lost > 0
	c.add(line, &b.from)
	r.endBlock(b)
}

// endBlock leaves the trace as it is.
func (r *reader) endBlock(b *block) {
	r.split.budget.Add(int64(len(b.text)))
	b.text, b.lines, b.breaks = b.text[:0], 0, 0
	b.from = origin{places: b.from.places[:0]}
	if cap(b.text) > smallBuffer {
		b.text = nil
	}
}

// flush passes on what waits for more.
func (r *reader) flush(c *Chunk) {
	for i := range streams {
		if r.kept != nil && r.kept[i].block.lines > 0 {
			r.emitBlock(c, i)
		}
	}
}

// trimmed is text without the white space at its beginning.
func trimmed(text []byte) []byte { return bytes.TrimLeft(text, " \t") }
