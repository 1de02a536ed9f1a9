package main

import (
	"fmt"
	"io"
	"time"
)

// A report is what came of a run.
type report struct {
	dir      string // where everything of the run is
	seed     uint64
	took     time.Duration // with faults
	disk     string        // what agent A's log was on
	kills    *counters     // by process
	faults   *counters     // by kind
	sent     [outcomes]uint64
	tally    tally
	findings []string // what else went wrong
}

func (r *report) finding(format string, args ...any) {
	r.findings = append(r.findings, fmt.Sprintf(format, args...))
}

func (r *report) good() bool {
	return r.tally.lost == 0 && r.tally.duplicated == 0 && len(r.findings) == 0
}

// print ends with the line that counts.
func (r *report) print(out io.Writer) {
	for _, p := range r.tally.paths {
		fmt.Fprintln(out, p)
	}
	for _, f := range r.findings {
		fmt.Fprintln(out, "found:", f)
	}
	if r.disk == "directory" {
		fmt.Fprintln(out, "the disk was never full: nothing can be mounted here; run as root")
	}
	fmt.Fprintf(out, "kills: %s\n", r.kills)
	fmt.Fprintf(out, "faults: %s\n", r.faults)
	fmt.Fprintf(out, "records: acknowledged %d, %.0f a second; not answered %d, of which stored %d; refused %d, of which stored %d; disk %s\n", r.sent[acked],
		float64(r.sent[acked])/r.took.Seconds(), r.sent[unanswered], r.tally.stored[unanswered], r.sent[refused], r.tally.stored[refused], r.disk)
	fmt.Fprintln(out, r)
}

func (r *report) String() string {
	return fmt.Sprintf("torture: seed %d, kills %d, records %d, lost %d, duplicated %d", r.seed, sum(r.kills.all()), r.sent[acked], r.tally.lost, r.tally.duplicated)
}
