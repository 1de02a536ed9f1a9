package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
)

func TestWhatWasMissedIsInTheLedger(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wal")
	a := openAgent(t, dir, forward.ModeAlways)
	a.Missed(tail.Missed{Path: "/var/log/app.log", Bytes: 1234, Reason: tail.MissedGone})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	ledger, err := os.ReadFile(filepath.Join(dir, "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	ledger = bytes.TrimRight(ledger, "\x00\n")
	for _, want := range []string{`"lane":"logs"`, `"reason":"missed"`, `"bytes":1234`, `"detail":"/var/log/app.log: gone"`} {
		if !strings.Contains(string(ledger), want) {
			t.Errorf("no %s in %s", want, ledger)
		}
	}
}

// The files that are named are bounded; what is beyond is counted, too.
func TestMissedBytesAreCountedByFile(t *testing.T) {
	f := &Files{}
	for i := range 300 {
		f.missed.add(tail.Missed{Path: fmt.Sprintf("/%d.log", i), Bytes: 2, Reason: tail.MissedRateLimit})
	}
	f.missed.add(tail.Missed{Path: "/0.log", Bytes: 5, Reason: tail.MissedRateLimit})
	all := f.missed.all()
	if got := all[missedFile{"/0.log", "rate_limit"}]; got != 7 {
		t.Errorf("/0.log: %d", got)
	}
	if got := all[missedFile{"other", "rate_limit"}]; got != 2*(300-maxMissedFiles) {
		t.Errorf("other: %d", got)
	}
	if len(all) != maxMissedFiles+1 {
		t.Errorf("%d files are named", len(all))
	}
}
