package tail

import (
	"strings"
	"testing"
)

// While the log is full every chunk counts: what would be lost with the process goes first, and a
// backlog does not delay what is written now.
func TestWhatMayBeLostGoesFirstAndABacklogDelaysNobody(t *testing.T) {
	var q queue
	rest := map[string]int{"backlog": 6, "gone": 3, "live": 3}
	push := func(name string) {
		f := &file{name: name, links: 1}
		switch name {
		case "backlog":
			f.size = bulkBytes + 1
		case "gone":
			f.gone = true
		}
		q.push(f)
	}
	for name := range rest {
		push(name)
	}
	var turns []string
	for f := q.pop(); f != nil; f = q.pop() {
		turns = append(turns, f.name)
		if rest[f.name]--; rest[f.name] > 0 {
			push(f.name)
		}
	}
	want := "gone live gone backlog gone live live backlog backlog backlog backlog backlog"
	if got := strings.Join(turns, " "); got != want || q.len() != 0 {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
