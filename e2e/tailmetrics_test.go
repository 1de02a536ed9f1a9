package e2e

import (
	"testing"

	"github.com/spillway-io/spillway/e2e/kit"
)

// balanced asserts the tailer's equations: what was read is what was emitted, joined and dropped.
func balanced(t *testing.T, m map[string]float64) {
	t.Helper()
	bytes := func(outcome string) float64 {
		return kit.Total(m, "spillway_tail_bytes_total", `outcome="`+outcome+`"`)
	}
	lines := func(outcome string) float64 {
		return kit.Total(m, "spillway_tail_lines_total", `outcome="`+outcome+`"`)
	}
	if read, out := bytes("read"), bytes("emitted")+bytes("joined")+bytes("dropped"); read != out {
		t.Errorf("tail: %.0f bytes read are not the %.0f that were emitted, joined and dropped", read, out)
	}
	if read, out := lines("read"), lines("emitted")+lines("joined"); read != out {
		t.Errorf("tail: %.0f lines read are not the %.0f that were emitted and joined", read, out)
	}
}

// missedNothing asserts that no byte of a file was given up, beside the equations.
func missedNothing(t *testing.T, m map[string]float64) {
	t.Helper()
	balanced(t, m)
	if missed, known := kit.Total(m, "spillway_tail_missed_bytes_total"), kit.Total(m, "spillway_tail_bytes_total", `outcome="missed"`); missed+known != 0 {
		t.Errorf("tail: %.0f bytes are missed by file, %.0f in all", missed, known)
		for sample, n := range m {
			if kit.Total(map[string]float64{sample: n}, "spillway_tail_missed_bytes_total") > 0 {
				t.Errorf("%s %.0f", sample, n)
			}
		}
	}
}
