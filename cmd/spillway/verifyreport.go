package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spillway-io/spillway/forward/clickhouse"
)

// A verifyReport is what verify --json prints. Lists end at --limit; counts do not.
type verifyReport struct {
	Clean     bool          `json:"clean"` // nothing is missing unexplained, and nothing is stored twice
	Signals   []signalCount `json:"signals"`
	Streams   []streamCount `json:"streams"`   // those with findings first
	Gaps      []gapLine     `json:"gaps"`      // that nothing explains
	Explained []gapLine     `json:"explained"` // and those that cannot be judged
	Repeats   []repeatLine  `json:"repeats"`
	Notes     []string      `json:"notes,omitempty"`

	fates fates
	limit int
	found map[streamKey]*counts
	at    streamKey // whose gaps come just now
	open  []gapLine // of it, unexplained
}

type streamKey struct{ signal, stream string }

// counts are of records: numbers, that is.
type counts struct {
	Gaps      uint64 `json:"gaps"`      // runs of numbers
	Missing   uint64 `json:"missing"`   // in gaps
	Explained uint64 `json:"explained"` // missing, and a node's ledger or log says why
	Unknown   uint64 `json:"unknown"`   // missing where rows have expired, or maybe on their way
	Twice     uint64 `json:"twice"`     // records, a table and partition at a time, that were stored more than once
	Pieces    uint64 `json:"in_pieces"` // that were stored by several INSERTs, each a part
}

func (c *counts) add(o counts) {
	c.Gaps += o.Gaps
	c.Missing += o.Missing
	c.Explained += o.Explained
	c.Unknown += o.Unknown
	c.Twice += o.Twice
	c.Pieces += o.Pieces
}

type signalCount struct {
	Signal  string `json:"signal"`
	Streams uint64 `json:"streams"`
	Records uint64 `json:"records"`
	counts
}

type streamCount struct {
	Signal  string `json:"signal"`
	Stream  string `json:"stream"`
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	Records uint64 `json:"records"`
	counts
}

type gapLine struct {
	Signal  string `json:"signal"`
	Stream  string `json:"stream"`
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`
	Records uint64 `json:"records"`
	Why     string `json:"why,omitempty"`
}

type repeatLine struct {
	Table     string    `json:"table"`
	Partition string    `json:"partition"`
	Stream    string    `json:"stream"`
	Seq       uint64    `json:"seq"`
	Inserts   uint64    `json:"inserts"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	LeastRows uint64    `json:"least_rows"` // of one INSERT
	MostRows  uint64    `json:"most_rows"`
	InPieces  bool      `json:"in_pieces"`
}

func newReport(f fates, limit int) *verifyReport {
	return &verifyReport{Signals: []signalCount{}, Streams: []streamCount{}, Gaps: []gapLine{}, Explained: []gapLine{}, Repeats: []repeatLine{},
		fates: f, limit: limit, found: make(map[streamKey]*counts)}
}

func (r *verifyReport) note(text string) { r.Notes = append(r.Notes, text) }

func (r *verifyReport) count(k streamKey) *counts {
	if r.found[k] == nil {
		r.found[k] = &counts{}
	}
	return r.found[k]
}

// room says whether a list of n may have another line.
func (r *verifyReport) room(n int) bool { return r.limit == 0 || n < r.limit }

func (r *verifyReport) gap(signal, stream string, g clickhouse.Gap) {
	if k := (streamKey{signal, stream}); k != r.at {
		r.endStream()
		r.at = k
	}
	c := r.count(r.at)
	for _, part := range r.fates[stream].explain(g.From, g.To) {
		line := gapLine{signal, stream, part.from, part.to, part.to - part.from + 1, part.why}
		switch {
		case part.why != "":
			c.Explained += line.Records
		case g.Recent:
			line.Why = "on its way, maybe"
			c.Unknown += line.Records
		case g.Expired:
			line.Why = "rows of that time have expired"
			c.Unknown += line.Records
		default:
			c.Gaps++
			c.Missing += line.Records
			if r.room(len(r.open)) {
				r.open = append(r.open, line)
			}
			continue
		}
		r.explained(line)
	}
}

func (r *verifyReport) explained(line gapLine) {
	if r.room(len(r.Explained)) {
		r.Explained = append(r.Explained, line)
	}
}

// endStream judges by losses without numbers: they explain what is missing if it is not more than was lost.
func (r *verifyReport) endStream() {
	c, lost := r.count(r.at), r.fates[r.at.stream]
	if c.Missing > 0 && lost != nil && (lost.unknown || c.Missing <= lost.lost) {
		for _, line := range r.open {
			line.Why = whyCorrupt + ", numbers not known"
			r.explained(line)
		}
		r.open = r.open[:0]
		c.Explained, c.Gaps, c.Missing = c.Explained+c.Missing, 0, 0
	}
	for _, line := range r.open {
		if r.room(len(r.Gaps)) {
			r.Gaps = append(r.Gaps, line)
		}
	}
	r.open = r.open[:0]
}

func (r *verifyReport) repeat(p clickhouse.Repeat) {
	c := r.count(streamKey{p.Signal, p.Stream})
	if p.InPieces() {
		c.Pieces++
	} else {
		c.Twice++
	}
	if r.room(len(r.Repeats)) {
		r.Repeats = append(r.Repeats, repeatLine{p.Table, p.Partition, p.Stream, p.Seq, p.Inserts, p.First.UTC(), p.Last.UTC(), p.Least, p.Most, p.InPieces()})
	}
}

// end adds up, and lists the streams.
func (r *verifyReport) end(seen []clickhouse.StreamSeen) {
	r.endStream()
	r.Clean = true
	for _, s := range seen {
		line := streamCount{Signal: s.Signal, Stream: s.ID, First: s.First, Last: s.Last, Records: s.Records}
		if c := r.found[streamKey{s.Signal, s.ID}]; c != nil {
			line.counts = *c
		}
		r.Clean = r.Clean && line.clean()
		if n := len(r.Signals); n == 0 || r.Signals[n-1].Signal != s.Signal {
			r.Signals = append(r.Signals, signalCount{Signal: s.Signal})
		}
		sum := &r.Signals[len(r.Signals)-1]
		sum.Streams++
		sum.Records += s.Records
		sum.add(line.counts)
		r.Streams = append(r.Streams, line)
	}
	slices.SortStableFunc(r.Streams, func(a, b streamCount) int { return cmp.Compare(a.rank(), b.rank()) })
	if r.limit > 0 && len(r.Streams) > r.limit {
		r.Streams = r.Streams[:r.limit]
	}
}

func (c counts) clean() bool { return c.Missing == 0 && c.Twice == 0 }

// rank puts what needs a look first.
func (c counts) rank() int {
	switch {
	case !c.clean():
		return 0
	case c != counts{}:
		return 1
	}
	return 2
}

func (r *verifyReport) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SIGNAL\tSTREAM\tFIRST\tLAST\tRECORDS\tMISSING\tEXPLAINED\tUNKNOWN\tTWICE\tIN PIECES")
	total := uint64(0)
	for _, s := range r.Streams {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", s.Signal, s.Stream, s.First, s.Last, s.Records, s.Missing, s.Explained, s.Unknown, s.Twice, s.Pieces)
	}
	for _, s := range r.Signals {
		total += s.Streams
	}
	if more := total - uint64(len(r.Streams)); more > 0 {
		fmt.Fprintf(w, "… and %d more streams: --limit\n", more)
	}
	for _, g := range r.Gaps {
		fmt.Fprintf(w, "missing: %s\n", g.text())
	}
	for _, g := range r.Explained {
		fmt.Fprintf(w, "explained or unknown: %s: %s\n", g.text(), g.Why)
	}
	for _, p := range r.Repeats {
		fmt.Fprintln(w, p.text())
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	for _, s := range r.Signals {
		fmt.Fprintf(w, "%s: streams %d, records %d, missing %d in %d gaps, explained %d, unknown %d, stored twice %d, in pieces %d\n",
			s.Signal, s.Streams, s.Records, s.Missing, s.Gaps, s.Explained, s.Unknown, s.Twice, s.Pieces)
	}
	if len(r.Signals) == 0 {
		fmt.Fprintln(w, "no rows with an identity")
	}
	return w.Flush()
}

func (g gapLine) text() string {
	numbers := fmt.Sprint(g.From)
	if g.To != g.From {
		numbers = fmt.Sprintf("%d to %d", g.From, g.To)
	}
	return fmt.Sprintf("%s stream %s seq %s", g.Signal, g.Stream, numbers)
}

func (p repeatLine) text() string {
	what, rows := "stored twice, or in equal pieces because rows were refused", fmt.Sprint(p.MostRows)
	if p.LeastRows != p.MostRows {
		what, rows = "stored twice", fmt.Sprintf("%d to %d", p.LeastRows, p.MostRows)
	}
	if p.InPieces {
		what = "stored in pieces"
	}
	return fmt.Sprintf("%s: %s partition %s stream %s seq %d: %d INSERTs of %s rows, %s to %s", what, p.Table, p.Partition, p.Stream, p.Seq,
		p.Inserts, rows, p.First.Format(time.RFC3339), p.Last.Format(time.RFC3339))
}
