package otlp

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/spillway-io/spillway/forward"
)

// MaxRecord is the size above which a request is cut into several records, in bytes of
// protobuf: small enough for any peer's message limit, large enough that a batch is one.
const MaxRecord = 1 << 20

// below is, for each signal, the fields that lead from the request down to its items. A level
// with several numbers is the oneof of metric kinds.
var below = map[forward.Signal][][]uint64{
	forward.Logs:    {{1}, {2}, {2}},
	forward.Traces:  {{1}, {2}, {2}},
	forward.Metrics: {{1}, {2}, {2}, {5, 7, 9, 10, 11}, {1}},
}

// Count walks body down to its log records, spans or data points, and no further, and says how
// many there are: for a sink that looks at the rest itself. Markers between records are passed.
func Count(s forward.Signal, body []byte) (items int, err error) {
	items, err = count(body, below[s])
	if err != nil {
		return 0, fmt.Errorf("%w: %s%w", ErrMalformed, request(s).name, err)
	}
	return items, nil
}

func count(b []byte, path [][]uint64) (items int, err error) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 {
			return 0, errTag
		}
		b = b[n:]
		if tag&7 != 2 || !slices.Contains(path[0], tag>>3) {
			if b, err = skip(b, tag&7); err != nil {
				return 0, fmt.Errorf("[%d]%w", tag>>3, err)
			}
			continue
		}
		var p []byte
		if p, b, err = lengthDelimited(b); err != nil {
			return 0, fmt.Errorf("[%d]%w", tag>>3, err)
		}
		if len(path) == 1 {
			items++
			continue
		}
		n, err = count(p, path[1:])
		if err != nil {
			return 0, fmt.Errorf("[%d]%w", tag>>3, err)
		}
		items += n
	}
	return items, nil
}

// Cut turns a checked body into a Batch whose parts are at most limit bytes each, as far as
// resource, scope, metric and item boundaries allow. What stands beside the children of a cut
// message (resource, scope, a metric's name) is repeated in each piece. A body within the
// limit is used as it is; otherwise the batch has a body of its own.
func Cut(s forward.Signal, body []byte, items, limit int) forward.Batch {
	b := forward.Batch{Signal: s, Items: items, Body: body}
	if len(body) <= limit || items <= 1 {
		return b
	}
	c := cutter{path: below[s]}
	b.Body = make([]byte, 0, len(body)+len(body)/16)
	for _, p := range c.cut(body, 0, limit) {
		b.Body = append(b.Body, p.bytes...)
		b.Parts = append(b.Parts, forward.Part{End: len(b.Body), Items: p.items})
	}
	return b
}

type cutter struct {
	path [][]uint64
}

// fieldOverhead is the most that a tag and a length take, in bytes.
const fieldOverhead = 11

// A piece is an encoded message, or a part of one, that is a message again.
type piece struct {
	bytes []byte
	items int
}

// A child is a field of a message that is on the path to the items.
type child struct {
	tag   uint64
	bytes []byte
}

// cut divides the message b, which is level steps below the request, into pieces of at most limit bytes.
func (c *cutter) cut(b []byte, level, limit int) []piece {
	if len(b) <= limit || level == len(c.path) {
		return []piece{{b, c.count(b, level)}}
	}
	head, children := c.split(b, level)
	if len(head) > limit/4 {
		return []piece{{b, c.count(b, level)}} // repeating so much would blow the request up
	}
	var out []piece
	var cur piece
	flush := func() {
		if cur.bytes != nil {
			out = append(out, cur)
		}
		cur = piece{}
	}
	for _, ch := range children {
		for _, p := range c.cut(ch.bytes, level+1, limit-len(head)-fieldOverhead) {
			size := uvarintLen(ch.tag) + uvarintLen(uint64(len(p.bytes))) + len(p.bytes)
			if cur.bytes != nil && len(cur.bytes)+size > limit {
				flush()
			}
			if cur.bytes == nil {
				cur.bytes = append(make([]byte, 0, len(head)+size), head...)
			}
			cur.bytes = binary.AppendUvarint(cur.bytes, ch.tag)
			cur.bytes = binary.AppendUvarint(cur.bytes, uint64(len(p.bytes)))
			cur.bytes = append(cur.bytes, p.bytes...)
			cur.items += p.items
		}
	}
	flush()
	return out
}

// split separates the children on the path from all other fields. b was checked.
func (c *cutter) split(b []byte, level int) (head []byte, children []child) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		rest, _ := skip(b[n:], tag&7)
		if c.onPath(tag>>3, level) {
			p, _, _ := lengthDelimited(b[n:])
			children = append(children, child{tag, p})
		} else {
			head = append(head, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	return head, children
}

func (c *cutter) onPath(number uint64, level int) bool {
	for _, n := range c.path[level] {
		if n == number {
			return true
		}
	}
	return false
}

// count is the number of items in the message b.
func (c *cutter) count(b []byte, level int) (items int) {
	if level == len(c.path) {
		return 1
	}
	_, children := c.split(b, level)
	if level == len(c.path)-1 {
		return len(children)
	}
	for _, ch := range children {
		items += c.count(ch.bytes, level+1)
	}
	return items
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}
