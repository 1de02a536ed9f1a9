package tail

import (
	"bytes"
	"time"
)

// A piece is what one line of a container runtime's file holds: a line of the container, or a
// part of one.
type piece struct {
	text    []byte
	time    time.Time
	stream  stream
	partial bool // another piece of the same stream follows
}

// A stream is one of a container's outputs. The pieces of a line are all from one stream.
type stream uint8

const (
	stdout stream = iota
	stderr
	streams
)

func (s stream) String() string { return [...]string{"stdout", "stderr"}[s] }

func parseStream(b []byte) (stream, bool) {
	switch string(b) {
	case "stdout":
		return stdout, true
	case "stderr":
		return stderr, true
	}
	return 0, false
}

// parseCRI takes a line of the Kubernetes CRI log format apart:
//
//	2016-10-06T00:17:09.669794202Z stdout F the text
//
// The third field is a list of tags, split by colons; the first one says whether the text is
// a full line (F) or a part (P). The text is a part of b.
func parseCRI(b []byte) (piece, bool) {
	when, b, ok := bytes.Cut(b, space)
	if !ok {
		return piece{}, false
	}
	from, b, ok := bytes.Cut(b, space)
	if !ok {
		return piece{}, false
	}
	tags, text, _ := bytes.Cut(b, space) // an empty text may come without its space
	p := piece{text: text}
	if p.stream, ok = parseStream(from); !ok {
		return piece{}, false
	}
	switch {
	case len(tags) == 0 || len(tags) > 1 && tags[1] != ':':
		return piece{}, false
	case tags[0] == 'P':
		p.partial = true
	case tags[0] != 'F':
		return piece{}, false
	}
	p.time, ok = parseTime(when)
	return p, ok
}

var space = []byte{' '}
