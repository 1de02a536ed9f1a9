package agent

import (
	"slices"
	"strconv"
	"strings"
)

// A place is how far a journal was read: the cursor of the last entry, and behind it that of the
// last one of each other writer. Writers number their entries; the files of one machine mostly
// have one writer, those of many machines in one directory many.
type place []string

const (
	maxWriters = 16
	// maxCursor is above what systemd makes of a cursor, in bytes; 16 of them fit into a mark.
	maxCursor = 240
)

func parsePlace(value []byte) (p place) {
	for line := range strings.Lines(string(value)) {
		if c := strings.TrimSuffix(line, "\n"); c != "" && len(c) <= maxCursor && len(p) < maxWriters {
			p = append(p, c)
		}
	}
	return p
}

func (p place) value() []byte { return []byte(strings.Join(p, "\n")) }

// last is the cursor of the last entry; empty: none was read.
func (p place) last() string {
	if len(p) == 0 {
		return ""
	}
	return p[0]
}

// with is p after that entry.
func (p place) with(cursor string) place {
	id, _, _, _ := cursorParts(cursor)
	out := append(make(place, 0, len(p)+1), cursor)
	for _, c := range p {
		if other, _, _, _ := cursorParts(c); other != id && len(out) < maxWriters {
			out = append(out, c)
		}
	}
	return out
}

// covers says whether that entry was read: an entry of its writer was that is as late. Both number
// and time must say so, since a machine that was put back to an earlier state numbers anew.
func (p place) covers(cursor string) bool {
	id, number, at, ok := cursorParts(cursor)
	return ok && slices.ContainsFunc(p, func(c string) bool {
		same, n, t, ok := cursorParts(c)
		return ok && same == id && number <= n && at <= t
	})
}

// missed is how many entries of the last one's writer are between that and this one, those that
// filters leave out included.
func (p place) missed(cursor string) (entries uint64, ok bool) {
	id, number, _, ok := cursorParts(cursor)
	same, n, _, known := cursorParts(p.last())
	if !ok || !known || same != id || number <= n {
		return 0, false
	}
	return number - n - 1, true
}

// cursorParts takes a cursor apart: who wrote the entry, its number and its time. systemd does not
// promise this form, though it has not changed; without it ok is false.
func cursorParts(cursor string) (writer string, number, at uint64, ok bool) {
	found := 0
	for part := range strings.SplitSeq(cursor, ";") {
		key, value, _ := strings.Cut(part, "=")
		var err error
		switch key {
		case "s":
			writer = value
		case "i":
			number, err = strconv.ParseUint(value, 16, 64)
		case "t":
			at, err = strconv.ParseUint(value, 16, 64)
		default:
			continue
		}
		if err != nil {
			return "", 0, 0, false
		}
		found++
	}
	return writer, number, at, found == 3
}
