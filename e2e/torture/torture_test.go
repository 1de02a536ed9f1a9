package main

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// A minute of what make torture does for longer.
func TestTorture(t *testing.T) {
	r, err := torture(t.Context(), options{duration: time.Minute, seed: rand.Uint64(), out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	r.print(t.Output())
	if !r.good() {
		t.Error("not everything that was acknowledged is there, once; see above")
	}
	if n, records := sum(r.kills.all()), r.sent[acked]; n < 3 || records < 60_000 {
		t.Errorf("%d kills, %d records: too little happened", n, records)
	}
}

// Without the check for redelivered records there are duplicates, and the harness sees them.
func TestTheHarnessSeesDuplicates(t *testing.T) {
	r, err := torture(t.Context(), options{duration: 30 * time.Second, seed: rand.Uint64(), tags: "spillway_unchecked", onlyRepeats: true, out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	r.print(t.Output())
	defer func() {
		if !t.Failed() {
			os.RemoveAll(r.dir)
		}
	}()
	if r.tally.duplicated == 0 || r.tally.lost > 0 || len(r.findings) > 0 || r.good() {
		t.Errorf("duplicated %d, lost %d, findings %d, good %t: want duplicates only", r.tally.duplicated, r.tally.lost, len(r.findings), r.good())
	}
}
