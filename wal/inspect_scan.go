package wal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// A scanner reads one file from front to back.
type scanner struct {
	r     reader
	limit int64
	info  *GenerationInfo
	visit func(Found) error
	// head is for an export, where each header begins a generation; nil: the file is one generation.
	head func(f frame, at int64) error

	tag    uint32 // of the generation's frames; 0: the first one tells
	headed bool   // a header was read
	bad    *Damage
	good   int64  // where the last good frame ends
	last   uint64 // items of the file up to there
	newer  int64  // where the last frame of a newer version ends
	upTo   uint64 // items of the file up to there
}

func (s *scanner) run() error {
	for {
		f, n, err := parseEntry(s.r.buf)
		if err == nil && !s.mine(f) {
			err = errTag
		}
		switch {
		case err == nil:
			at := s.r.at
			s.r.step(n)
			if err := s.frame(f, at); err != nil {
				return err
			}
		case errors.Is(err, errShort) && s.r.at+int64(len(s.r.buf)) < s.limit:
			if err := s.r.fill(s.limit); err != nil {
				return err
			}
		case len(s.r.buf) == 0:
			return nil
		default:
			if s.bad == nil {
				s.bad = &Damage{From: s.r.at, Reason: err.Error()}
			}
			if n == 0 {
				n = min(resync(s.r.buf), len(s.r.buf))
			}
			s.r.step(n)
			if errors.Is(err, errNewer) { // whole, and so it was written on purpose
				s.newer, s.upTo = s.r.at, f.inFile
			}
		}
	}
}

// mine says that f was written to this generation: data that looks like a frame was not.
func (s *scanner) mine(f frame) bool {
	if s.head != nil && f.typ == frameGeneration {
		return true
	}
	if s.tag == 0 {
		s.tag = f.tag
	}
	return s.tag == f.tag
}

func (s *scanner) frame(f frame, at int64) error {
	s.closeDamage(at, f.inFile-min(f.inFile, uint64(f.items)))
	switch f.typ {
	case frameGeneration:
		s.headed = true
		if s.head != nil {
			s.tag = f.tag
			if err := s.head(f, at); err != nil {
				return err
			}
		} else if h, err := parseGenHeader(f.data); err == nil && s.info.Records == 0 {
			s.info.Stream, s.info.StreamKnown = h.stream, true
		}
	case frameRecord:
		if err := s.record(f, at); err != nil {
			return err
		}
	}
	s.good, s.last = s.r.at, f.inFile
	return nil
}

// closeDamage ends a damaged run at to; before is how many items of the file are before that.
func (s *scanner) closeDamage(to int64, before uint64) {
	if s.bad == nil {
		return
	}
	d := *s.bad
	s.bad = nil
	d.To, d.Items, d.Known = to, before-min(before, s.last), true
	s.info.Damage = append(s.info.Damage, d)
}

func (s *scanner) record(f frame, at int64) error {
	g := s.info
	if !g.StreamKnown && g.Records == 0 {
		g.Stream = madeUp(g.Lane, g.Number, f)
	}
	if g.Records == 0 {
		g.Oldest, g.Newest = f.accepted, f.accepted
	}
	if named(int(f.items), f.data) {
		if !g.numbered {
			g.FirstSeq, g.numbered = f.seq, true
		}
		g.FirstSeq, g.ToSeq = min(g.FirstSeq, f.seq), max(g.ToSeq, f.seq)
	}
	g.Oldest, g.Newest = min(g.Oldest, f.accepted), max(g.Newest, f.accepted)
	g.Records++
	g.Items += uint64(f.items)
	if s.visit == nil {
		return nil
	}
	err := s.visit(Found{Lane: g.Lane, Generation: g.Number, Offset: at, Stream: g.Stream, StreamKnown: g.StreamKnown, Open: g.State == Unsealed,
		Seq: f.seq, Items: f.items, CumItems: f.cumItems, Accepted: f.accepted, Meta: f.meta, Data: f.data})
	if err != nil {
		return visitError{err}
	}
	return nil
}

// madeUp is the stream of records of which no header tells it. It follows from the lane, the
// generation and the first record that is left, so that it is the same each time.
func madeUp(lane string, num uint64, f frame) (k Key) {
	b := append([]byte("spillway wal: header lost: "), lane...)
	for _, v := range []uint64{num, f.seq, f.cumItems, uint64(f.accepted), uint64(payloadCRC(f.meta, f.data))} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	sum := sha256.Sum256(b)
	copy(k[:], sum[:])
	return k
}

// settle judges what is left when the file is read: the rest of an open generation was never
// acknowledged; before a stated end it is damage. Then it holds the statement against what is there.
func (s *scanner) settle() {
	g := s.info
	if !g.EndStated {
		if s.newer > s.good {
			s.closeDamage(s.newer, s.upTo)
		}
		g.End = max(s.good, s.newer)
		g.Ignored = g.Bytes - g.End
		return
	}
	g.Ignored = max(0, g.Bytes-g.End)
	if s.bad == nil && g.Bytes < g.End {
		s.bad = &Damage{From: g.Bytes, Reason: errShort.Error()}
	}
	s.closeDamage(g.End, g.stated.items)
	if lost, _ := g.LostItems(); len(g.Problems) == 0 && (g.Items+lost != g.stated.items || len(g.Damage) == 0 && g.Records != g.stated.records) {
		g.Problems = append(g.Problems, fmt.Sprintf("a later header states records %d, items %d before %d; there are records %d, items %d, and %d are lost",
			g.stated.records, g.stated.items, g.End, g.Records, g.Items, lost))
	}
}
