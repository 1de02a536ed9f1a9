package tail

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// A Stream is the lines of what cannot be read twice, such as a pipe. They are made as those of files are.
type Stream struct {
	in     io.Reader
	r      reader
	budget atomic.Int64
	chunk  Chunk
	buf    rolling
	head   []byte // the beginning, until the format is known
	more   bool   // there are lines in buf
	ended  bool
}

// NewStream reads in. Of cfg, only what is about lines counts.
func NewStream(in io.Reader, cfg Config) (*Stream, error) {
	cfg.Include = []string{"-"}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Stream{in: in, buf: rolling{data: make([]byte, 0, windowBytes)}}
	s.budget.Store(unfinishedBytes)
	s.r = newReader(0, identity{}, &config{Config: cfg, join: cfg.Multiline.joining()}, &s.budget)
	return s, nil
}

// Next is the next lines, lent until the one after. An error of in that is os.ErrDeadlineExceeded
// says that nothing came for a while: lines that wait for others are passed on, and there may be
// none. After the last line the error is io.EOF, or what in said.
func (s *Stream) Next() ([]Line, error) {
	s.chunk.reset()
	for len(s.chunk.Lines) == 0 {
		if s.more {
			var err error
			if s.more, err = s.r.read(&s.buf, nil, s.buf.end(), &s.chunk); err != nil {
				return nil, fmt.Errorf("BUG: a stream that is kept in memory: %w", err)
			}
			s.buf.forget(s.r.split.pos - seamBytes)
			continue
		}
		if s.ended {
			return nil, io.EOF
		}
		n, err := s.buf.fill(s.in)
		if s.r.format == FormatAuto {
			s.head = append(s.head, s.buf.data[len(s.buf.data)-n:]...)
			s.head = s.head[:min(len(s.head), fingerprintBytes)]
		}
		idle := errors.Is(err, os.ErrDeadlineExceeded)
		decided := s.r.decide(s.head, err != nil && (!idle || len(s.head) > 0))
		s.more = decided && s.buf.end() > s.r.split.pos
		switch {
		case err == nil:
		case idle:
			if !s.more {
				s.r.flush(&s.chunk)
			}
			return s.chunk.Lines, nil
		default:
			return s.finish(err)
		}
	}
	return s.chunk.Lines, nil
}

// finish returns all lines that are left.
func (s *Stream) finish(err error) ([]Line, error) {
	s.ended = true
	for s.more {
		var bug error
		if s.more, bug = s.r.read(&s.buf, nil, s.buf.end(), &s.chunk); bug != nil {
			return nil, fmt.Errorf("BUG: a stream that is kept in memory: %w", bug)
		}
	}
	s.r.finish(&s.chunk)
	if len(s.chunk.Lines) > 0 && err == io.EOF {
		err = nil
	}
	return s.chunk.Lines, err
}

// rolling is the end of what was read of a stream: what is not made into lines yet, and a little before.
type rolling struct {
	data  []byte
	start int64 // of data in the stream
}

func (b *rolling) end() int64 { return b.start + int64(len(b.data)) }

// fill reads once, up to a window.
func (b *rolling) fill(in io.Reader) (int, error) {
	if cap(b.data)-len(b.data) < windowBytes/2 {
		grown := make([]byte, len(b.data), len(b.data)+windowBytes)
		copy(grown, b.data)
		b.data = grown
	}
	n, err := in.Read(b.data[len(b.data):cap(b.data)])
	b.data = b.data[:len(b.data)+n]
	return n, err
}

// forget drops what is before that place.
func (b *rolling) forget(before int64) {
	if n := before - b.start; n > 0 {
		b.data = b.data[:copy(b.data, b.data[n:])]
		b.start = before
	}
}

// ReadAt is an io.ReaderAt's.
func (b *rolling) ReadAt(p []byte, at int64) (int, error) {
	n := 0
	if at >= b.start && at < b.end() {
		n = copy(p, b.data[at-b.start:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
