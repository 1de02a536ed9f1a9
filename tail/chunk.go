package tail

import "time"

// A Line is one line of a file, without its end.
type Line struct {
	Text      []byte    // lent until the chunk's Done
	Time      time.Time // when the container runtime took it, in UTC; zero for a plain file
	Stream    string    // stdout, stderr, or empty for a plain file
	Truncated bool      // it was longer than the limit, or than what memory allowed
	Partial   bool      // its end is not in the file and will not come, or came too late
}

// A Chunk is some lines of one file. All of it is lent until Done.
type Chunk struct {
	Path   string // where the file was when it was first seen
	Lines  []Line // may be empty: then there is only the cursor to keep
	Cursor []byte // names the file and the bytes that the lines came from
	Bytes  int    // of the file, line ends and markup included

	out    bool     // Done is still to come
	file   *file    // nil: the cursor says what to forget
	forget []uint64 // then: these
	done   spans
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

// add puts a line into the chunk, made of so many pieces with raw bytes in the file, lost of
// which are not in it.
func (c *Chunk) add(l Line, raw int64, pieces, lost int) {
	c.Lines = append(c.Lines, l)
	t := &c.tally
	t.bytesEmitted += uint64(len(l.Text))
	t.bytesDropped += uint64(lost)
	t.bytesJoined += uint64(raw) - uint64(len(l.Text)) - uint64(lost)
	t.linesEmitted++
	t.linesJoined += uint64(pieces - 1)
	if l.Truncated {
		t.truncated++
	}
	if l.Partial {
		t.partial++
	}
}

// seal writes the cursor and the sum.
func (c *Chunk) seal(f *file) {
	c.out, c.file = true, f
	c.Path = f.path
	c.Bytes = int(c.tally.bytesRead())
	c.Cursor = appendProgress(c.Cursor[:0], progress{key: f.key, id: f.id, path: f.path, done: c.done})
}

// reset empties the chunk for use again.
func (c *Chunk) reset() {
	clear(c.Lines)
	if cap(c.arena) > largeArena {
		c.arena = nil
	}
	*c = Chunk{Lines: c.Lines[:0], Cursor: c.Cursor[:0], done: c.done[:0], window: c.window[:0], arena: c.arena[:0]}
}
