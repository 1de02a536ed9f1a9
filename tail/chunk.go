package tail

import "time"

// A Line is one line of a file, without its end.
type Line struct {
	Text      []byte    // lent until the chunk's Done
	Time      time.Time // when the container runtime took it, in UTC; zero for a plain file
	Stream    string    // stdout, stderr, or empty for a plain file
	Truncated bool      // it was longer than the limit, or than what memory allowed
	Partial   bool      // its end is not in the file and will not come, or came too late

	breaks int // in Text, put there between lines that were joined
}

// A Chunk is some lines of one file. All of it is lent until Done.
type Chunk struct {
	Path   string // where the file was when it was first seen
	Config int    // index of the Config that found the file; -1: none, there are no lines
	Lines  []Line // may be empty: then there is only the cursor to keep
	Cursor []byte // names the file and the bytes that the lines came from
	Bytes  int    // of the file, line ends and markup included

	out    bool     // Done is still to come
	file   *file    // nil: the cursor says what to forget
	forget []uint64 // then: these
	done   spans
	seam   seam // before the end of done
	tally  tally
	head   [fingerprintBytes]byte
	window []byte // what was read of the file; most lines are parts of it
	arena  []byte // the lines that had to be put together
}

const (
	// windowBytes is how much of a file is read in one turn.
	windowBytes = 256 << 10
	// maxLines of a chunk. A window of empty lines would otherwise need 18 MiB for them.
	maxLines = 16384
	// largeArena is how much room for joined lines a chunk that is done may hold on to.
	largeArena = 2 << 20
	// spareChunks is how many of them are kept for use again.
	spareChunks = 8
)

// An origin is where in the file a line comes from: from start to end, or from several places.
type origin struct {
	start, end int64
	places     spans // if not empty, these
	pieces     int   // lines of the file
	lost       int   // bytes of text that are not in the line
}

// size is the number of bytes in the file.
func (o *origin) size() int64 {
	if len(o.places) > 0 {
		return o.places.size()
	}
	return o.end - o.start
}

// addTo puts the places into a set.
func (o *origin) addTo(s spans) spans {
	if len(o.places) > 0 {
		return s.addAll(o.places)
	}
	return s.add(o.start, o.end)
}

// add puts a line into the chunk.
func (c *Chunk) add(l Line, o *origin) {
	c.Lines = append(c.Lines, l)
	c.done = o.addTo(c.done)
	t := &c.tally
	text := uint64(len(l.Text) - l.breaks)
	t.bytesEmitted += text
	t.bytesDropped += uint64(o.lost)
	t.bytesJoined += uint64(o.size()) - text - uint64(o.lost)
	t.linesEmitted++
	t.linesJoined += uint64(o.pieces - 1)
	if l.Truncated {
		t.truncated++
	}
	if l.Partial {
		t.partial++
	}
}

// addWhole is add for a line that is one of the file: nearly all of them.
func (c *Chunk) addWhole(text []byte, at time.Time, stream string, l rawLine, lost int) {
	c.Lines = append(c.Lines, Line{Text: text, Time: at, Stream: stream, Partial: l.cut, Truncated: lost > 0})
	c.done = c.done.add(l.start, l.end)
	t := &c.tally
	t.bytesEmitted += uint64(len(text))
	t.bytesDropped += uint64(lost)
	t.bytesJoined += uint64(l.end-l.start) - uint64(len(text)) - uint64(lost)
	t.linesEmitted++
	if lost > 0 {
		t.truncated++
	}
	if l.cut {
		t.partial++
	}
}

// skip says that a line of the file is nothing.
func (c *Chunk) skip(l rawLine) {
	c.done = c.done.add(l.start, l.end)
	c.tally.bytesJoined += uint64(l.end - l.start)
}

// seal writes the cursor and the sum.
func (c *Chunk) seal(f *file) {
	c.out, c.file = true, f
	c.Path, c.Config = f.path, f.cfg.index
	c.Bytes = int(c.tally.bytesRead())
	c.Cursor = appendProgress(c.Cursor[:0], progress{key: f.key, id: f.id, path: f.path, done: c.done, seam: c.seam, born: f.born, rungs: f.rungs})
}

// reset empties the chunk for use again.
func (c *Chunk) reset() {
	clear(c.Lines)
	if cap(c.arena) > largeArena {
		c.arena = nil
	}
	*c = Chunk{Config: -1, Lines: c.Lines[:0], Cursor: c.Cursor[:0], done: c.done[:0], window: c.window[:0], arena: c.arena[:0]}
}
