package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/wal"
)

// The wal commands look at a log directory from outside; only purge changes anything. docs/wal.md has examples.
func (p *program) walCommand() *cobra.Command {
	c := &cobra.Command{Use: "wal", Short: "look into a node's log, take what is in it elsewhere, remove it"}
	c.AddCommand(p.walLs(), p.walVerify(), p.walDump(), p.walExport(), p.walReplay(), p.walPurge())
	return c
}

// inspect is for a path that the caller named.
func inspect(path string) (*wal.Inspector, error) {
	in, err := wal.Inspect(path)
	if err != nil {
		return nil, usageError{err}
	}
	return in, nil
}

// A generationLine is what ls says of a generation.
type generationLine struct {
	Lane         string    `json:"lane"`
	Generation   string    `json:"generation"`
	Stream       string    `json:"stream"` // as IngestStream in the tables; "" when the header is damaged
	State        wal.State `json:"state"`
	Bytes        int64     `json:"bytes"`
	Records      uint64    `json:"records"`
	Items        uint64    `json:"items"`
	Oldest       string    `json:"oldest,omitempty"`
	Newest       string    `json:"newest,omitempty"`
	DamagedBytes int64     `json:"damaged_bytes"`
	Error        string    `json:"error,omitempty"`
}

// A listing is ls --json.
type listing struct {
	Generations  []generationLine `json:"generations"`
	Bytes        int64            `json:"bytes"`
	Records      uint64           `json:"records"`
	Items        uint64           `json:"items"`
	DamagedBytes int64            `json:"damaged_bytes"`
	Quarantine   int              `json:"quarantine"`
	DeadLetters  int              `json:"dead_letters"`
}

func (p *program) walLs() *cobra.Command {
	asJSON := false
	c := &cobra.Command{Use: "ls DIR|FILE", Short: "list the generations and what is in them", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			in, err := inspect(args[0])
			if err != nil {
				return err
			}
			infos, err := in.Read("", nil)
			if err != nil {
				return usageError{err}
			}
			l := newListing(infos)
			if l.Quarantine, l.DeadLetters, err = asides(args[0]); err != nil {
				return usageError{err}
			}
			if asJSON {
				enc := json.NewEncoder(p.stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(l)
			}
			return p.printListing(l)
		}}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return c
}

func newListing(infos []*wal.GenerationInfo) *listing {
	l := &listing{Generations: []generationLine{}}
	for _, g := range infos {
		line := generationLine{Lane: g.Lane, Generation: fmt.Sprintf("%016x", g.Number), State: g.State, Bytes: g.Bytes,
			Records: g.Records, Items: g.Items, Oldest: moment(g.Oldest), Newest: moment(g.Newest), DamagedBytes: g.DamagedBytes()}
		if g.StreamKnown {
			line.Stream = streamID(g.Stream)
		}
		if g.Err != nil {
			line.Error = g.Err.Error()
		}
		l.Generations = append(l.Generations, line)
		l.Bytes += g.Bytes
		l.Records += g.Records
		l.Items += g.Items
		l.DamagedBytes += line.DamagedBytes
	}
	return l
}

func (p *program) printListing(l *listing) error {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LANE\tGENERATION\tSTREAM\tSTATE\tBYTES\tRECORDS\tITEMS\tOLDEST\tNEWEST\tDAMAGED")
	open := false
	for _, g := range l.Generations {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%d\n", g.Lane, g.Generation, orDash(g.Stream[:min(8, len(g.Stream))]), g.State, g.Bytes,
			g.Records, g.Items, orDash(g.Oldest), orDash(g.Newest), g.DamagedBytes)
		open = open || g.State == wal.Unsealed && g.Records > 0
	}
	fmt.Fprintf(w, "total: generations %d, bytes %d, records %d, items %d, damaged bytes %d\n", len(l.Generations), l.Bytes, l.Records, l.Items, l.DamagedBytes)
	fmt.Fprintf(w, "quarantine: %d, dead letters: %d\n", l.Quarantine, l.DeadLetters)
	if open {
		fmt.Fprintln(w, openNote)
	}
	return w.Flush()
}

const openNote = "where an open generation ends is known to its process only: its last records may not be acknowledged yet"

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// moment is a time for people; "" when there is none.
func moment(ns int64) string {
	if ns == 0 {
		return ""
	}
	return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000Z")
}

// streamID is what tables call a stream. The key itself may claim the stream, so it is never printed.
func streamID(k wal.Key) string { return forward.Marker{Stream: k}.StreamID() }

// asides counts what lies in quarantine and how many dead letters there are.
func asides(dir string) (quarantine, letters int, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, "quarantine"))
	if err != nil && !absent(err) {
		return 0, 0, err
	}
	names, err := letterNames(dir)
	return len(entries), len(names), err
}

func (p *program) walVerify() *cobra.Command {
	return &cobra.Command{Use: "verify DIR|FILE", Short: "read every frame: exit 0 clean, 1 damage found, 2 cannot be read", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			in, err := inspect(args[0])
			if err != nil {
				return err
			}
			v := verifier{p: p}
			infos, err := in.Read("", v.record)
			if err != nil {
				return usageError{err}
			}
			return v.judge(infos)
		}}
}

// A verifier reads everything and reports what is wrong.
type verifier struct {
	p       *program
	seen    wal.Seen
	repeats int
}

// maxRepeats is how many repeated identities are printed; all are counted.
const maxRepeats = 20

func (v *verifier) record(r wal.Found) error {
	if len(r.Data) == 0 && r.Items == 0 || v.seen.Add(r.Stream, r.Seq) {
		return nil // what only carries a cursor has no number of its own
	}
	if v.repeats++; v.repeats > maxRepeats {
		return nil
	}
	_, err := fmt.Fprintf(v.p.stdout, "%s/%016x at %d: stream %s seq %d is there twice\n", r.Lane, r.Generation, r.Offset, streamID(r.Stream), r.Seq)
	return err
}

func (v *verifier) judge(infos []*wal.GenerationInfo) error {
	var records, items, lost uint64
	var damaged int64
	bad, unreadable, exact := v.repeats > 0, false, true
	for _, g := range infos {
		for _, line := range faults(g) {
			fmt.Fprintln(v.p.stdout, line)
			bad = true
		}
		if g.State == wal.Unsealed && g.Ignored > 0 {
			fmt.Fprintf(v.p.stdout, "%s: the last %d bytes are a write that did not finish; it was not acknowledged\n", g.Name, g.Ignored)
		}
		n, known := g.LostItems()
		records, items, lost, damaged = records+g.Records, items+g.Items, lost+n, damaged+g.DamagedBytes()
		exact, unreadable = exact && known, unreadable || g.Err != nil
	}
	least := ""
	if !exact {
		least = "at least "
	}
	if _, err := fmt.Fprintf(v.p.stdout, "verified: generations %d, records %d, items %d, damaged bytes %d, items lost %s%d\n", len(infos), records, items, damaged, least, lost); err != nil {
		return err
	}
	switch {
	case unreadable:
		return usageError{errors.New("some of it cannot be read; see above")}
	case bad:
		return errors.New("damage found; see above")
	}
	return nil
}

// faults says, a line each, what is wrong with a generation.
func faults(g *wal.GenerationInfo) (lines []string) {
	for _, d := range g.Damage {
		items := fmt.Sprint(d.Items)
		if !d.Known {
			items = "not known"
		}
		lines = append(lines, fmt.Sprintf("%s: damaged from %d to %d, items lost %s: %s", g.Name, d.From, d.To, items, d.Reason))
	}
	for _, problem := range g.Problems {
		lines = append(lines, g.Name+": "+problem)
	}
	switch {
	case g.Err != nil:
		lines = append(lines, fmt.Sprintf("%s: cannot be read: %v", g.Name, g.Err))
	case g.State == wal.Unreadable && len(lines) == 0:
		lines = append(lines, fmt.Sprintf("%s: nothing in its %d bytes is a frame", g.Name, g.Bytes))
	}
	return lines
}

// A selection says which records dump, export and replay take.
type selection struct {
	lane, stream            string
	fromSeq, toSeq          uint64
	quarantine, deadLetters bool
}

func (s *selection) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.lane, "lane", "", "only this lane: logs, traces, metrics or parked-…")
	c.Flags().StringVar(&s.stream, "stream", "", "only this stream: the beginning of its IngestStream, or of its key as the ledger has it")
	c.Flags().Uint64Var(&s.fromSeq, "from-seq", 0, "only from this seq on")
	c.Flags().Uint64Var(&s.toSeq, "to-seq", ^uint64(0), "only up to this seq")
	c.Flags().BoolVar(&s.quarantine, "quarantine", false, "what lies in quarantine/, instead of the lanes")
	c.Flags().BoolVar(&s.deadLetters, "deadletter", false, "what lies in deadletter/, instead of the lanes")
	c.Flags().Lookup("to-seq").DefValue = "the last"
}

// A stored record is one of the log, of quarantine, or a dead letter.
type stored struct {
	wal.Found
	refused string // of a dead letter: why
}

// read shows every record of the sources to visit, which selects by the units in it.
func (s *selection) read(path string, visit func(stored) error) (infos []*wal.GenerationInfo, err error) {
	in, err := inspect(path)
	if err != nil {
		return nil, err
	}
	plain := func(f wal.Found) error { return visit(stored{Found: f}) }
	if s.quarantine {
		if infos, err = in.ReadQuarantine(s.lane, plain); err != nil {
			return infos, err
		}
	}
	if s.deadLetters {
		if err := readLetters(path, s.lane, visit); err != nil {
			return infos, err
		}
	}
	if s.quarantine || s.deadLetters {
		return infos, nil
	}
	return in.Read(s.lane, plain)
}

// A unit is a record with one identity. A record of the log is one, unless it came with
// markers: then each part that a marker covers is one.
type unit struct {
	stored
	marker forward.Marker
	known  bool // the stream is the node's; else made up, because a header is damaged
	body   []byte
}

// units takes a record apart and shows visit what is selected.
func (s *selection) units(r stored, visit func(unit) error) error {
	for part, err := range forward.Records(r.Data) {
		if err != nil {
			return fmt.Errorf("%s/%016x at %d: %w", r.Lane, r.Generation, r.Offset, err)
		}
		u := unit{stored: r, body: part.Body, known: true}
		if part.Marker != nil {
			u.marker = *part.Marker
		} else {
			u.known = r.StreamKnown
			u.marker = forward.Marker{Stream: r.Stream, Seq: r.Seq, Length: uint32(len(r.Data)), Accepted: r.Accepted, Items: r.Items, CumItems: r.CumItems}
		}
		if !s.takes(u.marker) {
			continue
		}
		if err := visit(u); err != nil {
			return err
		}
	}
	return nil
}

func (s *selection) takes(m forward.Marker) bool {
	if m.Seq < s.fromSeq || m.Seq > s.toSeq {
		return false
	}
	prefix := strings.ToLower(s.stream)
	return prefix == "" || strings.HasPrefix(m.StreamID(), prefix) || strings.HasPrefix(hex.EncodeToString(m.Stream[:]), prefix)
}

// signalOf is the signal of a lane; false when it is none that we know.
func signalOf(lane string) (forward.Signal, bool) {
	for _, s := range forward.Signals {
		if s.String() == strings.TrimPrefix(lane, "parked-") {
			return s, true
		}
	}
	return 0, false
}

// warn says on stderr what could not be read, and whether there was such.
func (p *program) warn(infos []*wal.GenerationInfo) (damaged bool) {
	for _, g := range infos {
		for _, line := range faults(g) {
			fmt.Fprintln(p.stderr, line)
			damaged = true
		}
	}
	return damaged
}
