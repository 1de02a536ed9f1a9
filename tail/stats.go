package tail

// Stats is the account of a Tailer since New.
//
//	BytesRead = BytesEmitted + BytesJoined + BytesDropped
//	LinesRead = LinesEmitted + LinesJoined
//
// Chunks are counted when they are taken, so that what is offered again is counted once.
type Stats struct {
	FilesKnown int
	FilesOpen  int

	BytesRead    uint64 // of files, in chunks that were taken
	BytesEmitted uint64 // text of lines
	BytesJoined  uint64 // line ends, and what runtimes write around a line or its pieces
	BytesDropped uint64 // text beyond the limit of a line
	BytesMissed  uint64 // in files that were truncated or vanished before they were read; at least
	BytesUnread  uint64 // in known files, not in a chunk that was taken

	LinesRead    uint64 // as they stand in the file
	LinesEmitted uint64
	LinesJoined  uint64 // pieces that went into the line of another one

	Truncated  uint64 // lines that were cut
	Partial    uint64 // lines without an end
	Restarts   uint64 // files that were truncated or overwritten, and read from the start
	Rotations  uint64 // files that were found under another name
	ReadErrors uint64

	RateLimited uint64 // turns that were put off because a source was over its budget
}

// A tally is what a chunk adds to the stats.
type tally struct {
	bytesEmitted, bytesJoined, bytesDropped uint64
	linesEmitted, linesJoined               uint64
	truncated, partial                      uint64
}

func (t tally) bytesRead() uint64 { return t.bytesEmitted + t.bytesJoined + t.bytesDropped }

func (s *Stats) add(t tally) {
	s.BytesRead += t.bytesRead()
	s.BytesEmitted += t.bytesEmitted
	s.BytesJoined += t.bytesJoined
	s.BytesDropped += t.bytesDropped
	s.LinesRead += t.linesEmitted + t.linesJoined
	s.LinesEmitted += t.linesEmitted
	s.LinesJoined += t.linesJoined
	s.Truncated += t.truncated
	s.Partial += t.partial
}

// Stats is a snapshot.
func (t *Tailer) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.FilesKnown = len(t.files)
	s.FilesOpen = t.open.Len()
	for _, f := range t.files {
		s.BytesUnread += uint64(f.unread())
	}
	return s
}
