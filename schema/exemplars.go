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

type exemplarColumns struct {
	attributes      *arrays[*maps]
	time            *arrays[*numbers[uint32]]
	value           *arrays[*numbers[float64]]
	spanID, traceID *arrays[*strs]
}

func bindExemplars(r *Rows) exemplarColumns {
	return exemplarColumns{
		attributes: must[*arrays[*maps]](r, "Exemplars.FilteredAttributes"),
		time:       must[*arrays[*numbers[uint32]]](r, "Exemplars.TimeUnix"),
		value:      must[*arrays[*numbers[float64]]](r, "Exemplars.Value"),
		spanID:     must[*arrays[*strs]](r, "Exemplars.SpanId"),
		traceID:    must[*arrays[*strs]](r, "Exemplars.TraceId"),
	}
}

// addExemplars adds the row of a point's exemplars, which are its fields with that
// tag. The point's own attributes are lost from s.attrs.
func (s *Set) addExemplars(point []byte, tag uint32, to *exemplarColumns) error {
	c := walk(point)
	for c.next() {
		if c.tag != tag {
			continue
		}
		if err := s.addExemplar(c.bytes, to); err != nil {
			return fmt.Errorf("exemplar: %w", err)
		}
	}
	to.attributes.end()
	to.time.end()
	to.value.end()
	to.spanID.end()
	to.traceID.end()
	return c.err
}

func (s *Set) addExemplar(message []byte, to *exemplarColumns) error {
	var time uint64
	var value float64
	var spanID, traceID []byte
	s.attrs.reset()
	c := walk(message)
	for c.next() {
		switch c.tag {
		case exemplarTime:
			time = c.value
		case exemplarDouble:
			value = c.float()
		case exemplarInt:
			value = float64(int64(c.value))
		case exemplarSpanID:
			spanID = c.id(spanIDLen)
		case exemplarTraceID:
			traceID = c.id(traceIDLen)
		case exemplarAttributes:
			c.check(s.attrs.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	if err := s.attrs.finish(); err != nil {
		return err
	}
	to.attributes.elems.add(&s.attrs)
	to.time.elems.add(seconds(time))
	to.value.elems.add(value)
	to.spanID.elems.addHex(spanID)
	to.traceID.elems.addHex(traceID)
	return nil
}
