package schema

import "fmt"

// Fields of Exemplar.
const (
	exemplarTime       = 2<<3 | fixed64
	exemplarDouble     = 3<<3 | fixed64
	exemplarSpanID     = 4<<3 | delimited
	exemplarTraceID    = 5<<3 | delimited
	exemplarInt        = 6<<3 | fixed64
	exemplarAttributes = 7<<3 | delimited
)

// exemplar is an Exemplar, aliasing the request.
type exemplar struct {
	time            uint64
	value           float64
	spanID, traceID []byte
	attributes      *attributes
}

// addExemplars adds the row of a point's exemplars, which are its fields with that
// tag.
func (s *Set) addExemplars(point []byte, tag uint32, to *Rows) error {
	c := walk(point)
	for c.next() {
		if c.tag != tag {
			continue
		}
		if err := s.exemplar.open(c.bytes, &s.partAttrs); err != nil {
			return fmt.Errorf("exemplar: %w", err)
		}
		to.exemplars.fill.add(&s.exemplar)
	}
	to.exemplars.end()
	return c.err
}

// open decodes an Exemplar message, its attributes into a.
func (e *exemplar) open(message []byte, a *attributes) error {
	*e = exemplar{attributes: a}
	a.reset()
	c := walk(message)
	for c.next() {
		switch c.tag {
		case exemplarTime:
			e.time = c.value
		case exemplarDouble:
			e.value = c.float()
		case exemplarInt:
			e.value = float64(int64(c.value))
		case exemplarSpanID:
			e.spanID = c.id(spanIDLen)
		case exemplarTraceID:
			e.traceID = c.id(traceIDLen)
		case exemplarAttributes:
			c.check(a.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	return a.finish()
}
