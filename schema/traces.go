package schema

import "fmt"

// Fields of Span.
const (
	spanTraceID    = 1<<3 | delimited
	spanSpanID     = 2<<3 | delimited
	spanTraceState = 3<<3 | delimited
	spanParentID   = 4<<3 | delimited
	spanName       = 5<<3 | delimited
	spanKind       = 6<<3 | varint
	spanStart      = 7<<3 | fixed64
	spanEnd        = 8<<3 | fixed64
	spanAttributes = 9<<3 | delimited
	spanEvents     = 11<<3 | delimited
	spanLinks      = 13<<3 | delimited
	spanStatus     = 15<<3 | delimited
)

var (
	spanKinds = [][]byte{[]byte("Unspecified"), []byte("Internal"), []byte("Server"),
		[]byte("Client"), []byte("Producer"), []byte("Consumer")}
	statusCodes = [][]byte{[]byte("Unset"), []byte("Ok"), []byte("Error")}
)

// enumName is the name of a value, "" of one that has none.
func enumName(names [][]byte, value uint64) []byte {
	if value < uint64(len(names)) {
		return names[value]
	}
	return nil
}

// span is a Span but for its attributes, events and links, aliasing the request.
type span struct {
	traceID, spanID, parentID []byte
	traceState, name          []byte
	kind                      uint64
	start, end                uint64
	statusCode                uint64
	statusMessage             []byte
}

// duration is in nanoseconds; zero if either end is missing or they are swapped.
func (s *span) duration() uint64 {
	if s.start == 0 || s.end < s.start {
		return 0
	}
	return s.end - s.start
}

type spanColumns struct {
	timestamp                 *numbers[int64]
	traceID, spanID, parentID *strs
	traceState                *strs
	name, kind                *lowCard
	attributes                *maps
	duration                  *numbers[uint64]
	statusCode                *lowCard
	statusMessage             *strs

	eventTimestamp  *arrays[*numbers[int64]]
	eventName       *arrays[*lowCard]
	eventAttributes *arrays[*maps]
	linkTraceID     *arrays[*strs]
	linkSpanID      *arrays[*strs]
	linkTraceState  *arrays[*strs]
	linkAttributes  *arrays[*maps]
}

func bindSpans(r *Rows) *spanColumns {
	return &spanColumns{
		timestamp:       must[*numbers[int64]](r, "Timestamp"),
		traceID:         must[*strs](r, "TraceId"),
		spanID:          must[*strs](r, "SpanId"),
		parentID:        must[*strs](r, "ParentSpanId"),
		traceState:      must[*strs](r, "TraceState"),
		name:            must[*lowCard](r, "SpanName"),
		kind:            must[*lowCard](r, "SpanKind"),
		attributes:      must[*maps](r, "SpanAttributes"),
		duration:        must[*numbers[uint64]](r, "Duration"),
		statusCode:      must[*lowCard](r, "StatusCode"),
		statusMessage:   must[*strs](r, "StatusMessage"),
		eventTimestamp:  must[*arrays[*numbers[int64]]](r, "Events.Timestamp"),
		eventName:       must[*arrays[*lowCard]](r, "Events.Name"),
		eventAttributes: must[*arrays[*maps]](r, "Events.Attributes"),
		linkTraceID:     must[*arrays[*strs]](r, "Links.TraceId"),
		linkSpanID:      must[*arrays[*strs]](r, "Links.SpanId"),
		linkTraceState:  must[*arrays[*strs]](r, "Links.TraceState"),
		linkAttributes:  must[*arrays[*maps]](r, "Links.Attributes"),
	}
}

// addSpan adds the row of one Span message, and its trace's time.
func (s *Set) addSpan(message []byte) error {
	s.count.Items++
	if err := s.repeat(s.header.bytes); err != nil {
		return err
	}
	sp, err := openSpan(message, &s.attrs)
	if err != nil {
		return err
	}
	at := resolve(sp.start, s.origin.Accepted)
	r := s.place(traces, &at)
	at.note(&s.attrs)

	c := r.spans
	c.timestamp.add(at.nanos)
	c.traceID.addHex(sp.traceID)
	c.spanID.addHex(sp.spanID)
	c.parentID.addHex(sp.parentID)
	c.traceState.add(sp.traceState)
	c.name.add(sp.name)
	c.kind.add(enumName(spanKinds, sp.kind))
	c.attributes.add(&s.attrs)
	c.duration.add(sp.duration())
	c.statusCode.add(enumName(statusCodes, sp.statusCode))
	c.statusMessage.add(sp.statusMessage)
	if err := s.addEventsAndLinks(message, c); err != nil {
		return err
	}
	if !isZero(sp.traceID) {
		s.addTraceTime(sp.traceID, at)
	}
	s.count.Rows++
	return nil
}

// openSpan decodes a Span message, its attributes into a.
func openSpan(message []byte, a *attributes) (span, error) {
	var s span
	a.reset()
	c := walk(message)
	for c.next() {
		switch c.tag {
		case spanTraceID:
			s.traceID = c.id(traceIDLen)
		case spanSpanID:
			s.spanID = c.id(spanIDLen)
		case spanParentID:
			s.parentID = c.id(spanIDLen)
		case spanTraceState:
			s.traceState = c.bytes
		case spanName:
			s.name = c.bytes
		case spanKind:
			s.kind = c.value
		case spanStart:
			s.start = c.value
		case spanEnd:
			s.end = c.value
		case spanAttributes:
			c.check(a.add(c.bytes))
		case spanStatus:
			c.check(s.openStatus(c.bytes))
		}
	}
	if c.err != nil {
		return s, c.err
	}
	return s, a.finish()
}

func (s *span) openStatus(message []byte) error {
	const (
		statusMessage = 2<<3 | delimited
		statusCode    = 3<<3 | varint
	)
	c := walk(message)
	for c.next() {
		switch c.tag {
		case statusMessage:
			s.statusMessage = c.bytes
		case statusCode:
			s.statusCode = c.value
		}
	}
	return c.err
}

func (s *Set) addEventsAndLinks(message []byte, to *spanColumns) error {
	c := walk(message)
	for c.next() {
		switch c.tag {
		case spanEvents:
			if err := s.addEvent(c.bytes, to); err != nil {
				return fmt.Errorf("event: %w", err)
			}
		case spanLinks:
			if err := s.addLink(c.bytes, to); err != nil {
				return fmt.Errorf("link: %w", err)
			}
		}
	}
	to.eventTimestamp.end()
	to.eventName.end()
	to.eventAttributes.end()
	to.linkTraceID.end()
	to.linkSpanID.end()
	to.linkTraceState.end()
	to.linkAttributes.end()
	return c.err
}

func (s *Set) addEvent(message []byte, to *spanColumns) error {
	const (
		eventTime       = 1<<3 | fixed64
		eventName       = 2<<3 | delimited
		eventAttributes = 3<<3 | delimited
	)
	var time uint64
	var name []byte
	s.attrs.reset()
	c := walk(message)
	for c.next() {
		switch c.tag {
		case eventTime:
			time = c.value
		case eventName:
			name = c.bytes
		case eventAttributes:
			c.check(s.attrs.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	to.eventTimestamp.elems.add(nanos(time))
	to.eventName.elems.add(name)
	if err := s.attrs.finish(); err != nil {
		return err
	}
	to.eventAttributes.elems.add(&s.attrs)
	return nil
}

func (s *Set) addLink(message []byte, to *spanColumns) error {
	const (
		linkTraceID    = 1<<3 | delimited
		linkSpanID     = 2<<3 | delimited
		linkTraceState = 3<<3 | delimited
		linkAttributes = 4<<3 | delimited
	)
	var traceID, spanID, state []byte
	s.attrs.reset()
	c := walk(message)
	for c.next() {
		switch c.tag {
		case linkTraceID:
			traceID = c.id(traceIDLen)
		case linkSpanID:
			spanID = c.id(spanIDLen)
		case linkTraceState:
			state = c.bytes
		case linkAttributes:
			c.check(s.attrs.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	to.linkTraceID.elems.addHex(traceID)
	to.linkSpanID.elems.addHex(spanID)
	to.linkTraceState.elems.add(state)
	if err := s.attrs.finish(); err != nil {
		return err
	}
	to.linkAttributes.elems.add(&s.attrs)
	return nil
}
