package tail

import "slices"

// A queue is the files that have something to read, in three lines, each with the longest waiting
// first. Tailer.mu guards it.
//
//   - gone: files without a name. Only their handles keep them, and those go with the process.
//   - live: files that were written lately, and have little to read.
//   - bulk: a backlog, which must not delay the others, and compressed files.
type queue struct {
	lines [3][]*file
	turns int
}

const (
	gone = iota
	live
	bulk
)

// bulkBytes is how much unread makes a backlog.
const bulkBytes = 4 * windowBytes

// order is whose turn it is: every other one is that of files that may be lost, every fourth the
// backlog's. Who has nothing to read leaves it to the next.
var order = [4][3]int{{gone, live, bulk}, {live, gone, bulk}, {gone, live, bulk}, {bulk, live, gone}}

func (q *queue) push(f *file) {
	line := live
	switch {
	case f.gone || f.links == 0:
		line = gone
	case f.zip != nil || f.unread() > bulkBytes:
		line = bulk
	}
	q.lines[line] = append(q.lines[line], f)
}

func (q *queue) pop() *file {
	turn := order[q.turns%len(order)]
	q.turns++
	for _, line := range turn {
		if waiting := q.lines[line]; len(waiting) > 0 {
			f := waiting[0]
			waiting[0] = nil
			q.lines[line] = waiting[1:]
			return f
		}
	}
	return nil
}

func (q *queue) len() int { return len(q.lines[gone]) + len(q.lines[live]) + len(q.lines[bulk]) }

func (q *queue) remove(f *file) {
	for i := range q.lines {
		q.lines[i] = slices.DeleteFunc(q.lines[i], func(o *file) bool { return o == f })
	}
}
