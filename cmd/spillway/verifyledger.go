package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/wal"
)

// fates is what nodes know of records that are not in the tables, by IngestStream.
type fates map[string]*fate

type fate struct {
	runs []fateRun
	// Losses whose numbers the ledger does not have, because they could not be read.
	lost    uint64 // items: as many records or fewer
	unknown bool   // nobody knows how many
}

// A fateRun is a run of numbers, both ends included, and what became of them.
type fateRun struct {
	from, to uint64
	why      string // a ledger's reason, or one of the following
}

const (
	whyHeld    = "held"    // in the log
	whyRefused = "refused" // a dead letter
	whyCorrupt = "corrupt" // without numbers in the ledger
)

func (f fates) of(stream string) *fate {
	if f[stream] == nil {
		f[stream] = &fate{}
	}
	return f[stream]
}

func (f fates) add(stream string, r fateRun) {
	s := f.of(stream)
	if n := len(s.runs); n > 0 && s.runs[n-1].why == r.why && s.runs[n-1].to+1 == r.from {
		s.runs[n-1].to = r.to
		return
	}
	s.runs = append(s.runs, r)
}

// read takes in a log directory or a ledger.
func (f fates) read(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return f.ledger(path)
	}
	found := false
	for _, name := range []string{"ledger.jsonl.1", "ledger.jsonl"} {
		err := f.ledger(filepath.Join(path, name))
		if err != nil && !absent(err) {
			return err
		}
		found = found || err == nil
	}
	if _, err := wal.Inspect(path); err != nil {
		if found {
			return nil // a copy of the ledger alone
		}
		return err
	}
	return f.log(path)
}

// ledger reads one loss a line. A line that is cut off was not written to its end.
func (f fates) ledger(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewReader(file)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var l wal.Loss
		if err := json.Unmarshal(line, &l); err != nil || l.Reason == "" {
			return fmt.Errorf("line %d is not of a ledger: name a node's ledger.jsonl or its log directory", n)
		}
		f.loss(l)
	}
}

func (f fates) loss(l wal.Loss) {
	id := idOfKey(l.Stream)
	if id == "" {
		return // the node did not know it either
	}
	// One record that was refused has no time; a loss of others without time has no numbers.
	if l.FromTime.IsZero() && l.FromSeq == 0 && l.ToSeq == 0 && l.Reason != whyRefused {
		s := f.of(id)
		s.lost += l.Items
		s.unknown = s.unknown || l.Items == 0
		return
	}
	f.add(id, fateRun{min(l.FromSeq, l.ToSeq), max(l.FromSeq, l.ToSeq), l.Reason})
}

// log takes in what a log holds, and its dead letters. Records that were delivered are among them until
// their generation is removed; they are in the tables, and nobody asks for them.
func (f fates) log(path string) error {
	for _, from := range []struct {
		selection
		why string
	}{{selection{toSeq: ^uint64(0)}, whyHeld}, {selection{toSeq: ^uint64(0), deadLetters: true}, whyRefused}} {
		_, err := from.read(path, func(r stored) error {
			if len(r.Data) == 0 {
				return nil // it carries a cursor, and has no number
			}
			err := from.units(r, func(u unit) error {
				if u.known {
					f.add(u.marker.StreamID(), fateRun{u.marker.Seq, u.marker.Seq, from.why})
				}
				return nil
			})
			if errors.Is(err, forward.ErrMarker) {
				return nil // spillway wal verify tells
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sort makes the runs of each stream ordered and disjoint. It comes after all reading.
func (f fates) sort() {
	for _, s := range f {
		slices.SortStableFunc(s.runs, func(a, b fateRun) int { return cmp.Compare(a.from, b.from) })
		var apart []fateRun
		for _, r := range s.runs {
			if n := len(apart); n > 0 && r.from <= apart[n-1].to {
				if r.to <= apart[n-1].to {
					continue
				}
				r.from = apart[n-1].to + 1
			}
			apart = append(apart, r)
		}
		s.runs = apart
	}
}

// explain cuts a gap where what is known of it changes; why is "" where nothing is.
func (s *fate) explain(from, to uint64) (parts []fateRun) {
	if s == nil {
		return []fateRun{{from, to, ""}}
	}
	i, _ := slices.BinarySearchFunc(s.runs, from, func(r fateRun, seq uint64) int { return cmp.Compare(r.to, seq) })
	for ; i < len(s.runs) && s.runs[i].from <= to; i++ {
		r := s.runs[i]
		if r.from > from {
			parts = append(parts, fateRun{from, r.from - 1, ""})
			from = r.from
		}
		parts = append(parts, fateRun{from, min(to, r.to), r.why})
		if r.to >= to {
			return parts
		}
		from = r.to + 1
	}
	return append(parts, fateRun{from, to, ""})
}
