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

// spanRow is a Span but for its events and links, aliasing the request.
type spanRow struct {
	traceID, spanID, parentID []byte
	traceState, name          []byte
	kind                      uint64
	start, end                uint64
	statusCode                uint64
	statusMessage             []byte
	attributes                *attributes

	at    instant // made of start
	parts int     // where in the message the first event or link is; beyond its end if there is none
}

// duration is in nanoseconds; zero if either end is missing or they are swapped.
func (s *spanRow) duration() uint64 {
	if s.start == 0 || s.end < s.start {
		return 0
	}
	return s.end - s.start
}

// addSpan adds the row of one Span message, and its trace's time.
func (s *Set) addSpan(message []byte) error {
	s.count.Items++
	if err := s.repeat(s.header.bytes); err != nil {
		return err
	}
	sp := &s.span
	if err := sp.open(message, &s.attrs); err != nil {
		return err
	}
	sp.at = resolve(sp.start, s.origin.Accepted)
	r := s.place(traces, &sp.at)
	sp.at.note(&s.attrs)
	r.spans.add(sp)
	if err := s.addEventsAndLinks(message[sp.parts:], r); err != nil {
		return err
	}
	if !isZero(sp.traceID) {
		s.addTraceTime(sp.traceID, sp.at)
	}
	s.count.Rows++
	return nil
}

// open decodes a Span message, its attributes into a.
func (s *spanRow) open(message []byte, a *attributes) error {
	*s = spanRow{attributes: a, parts: len(message)}
	a.reset()
	c := walk(message)
	for start := 0; c.next(); start = c.at {
		switch c.tag {
		case spanTraceID:
			s.traceID = c.id(traceIDLen)
		case spanSpanID:
			s.spanID = c.id(spanIDLen)
		case spanParentID:
			s.parentID = c.id(spanIDLen)
		case spanTraceState:
			s.traceState = c.text()
		case spanName:
			s.name = c.text()
		case spanKind:
			s.kind = c.value
		case spanStart:
			s.start = c.value
		case spanEnd:
			s.end = c.value
		case spanAttributes:
			c.check(a.add(c.bytes))
		case spanEvents, spanLinks:
			s.parts = min(s.parts, start)
		case spanStatus:
			c.check(s.openStatus(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	return a.finish()
}

func (s *spanRow) openStatus(message []byte) error {
	const (
		statusMessage = 2<<3 | delimited
		statusCode    = 3<<3 | varint
	)
	c := walk(message)
	for c.next() {
		switch c.tag {
		case statusMessage:
			s.statusMessage = c.text()
		case statusCode:
			s.statusCode = c.value
		}
	}
	return c.err
}

// addEventsAndLinks adds those in fields, the rest of a span's message.
func (s *Set) addEventsAndLinks(fields []byte, to *Rows) error {
	c := walk(fields)
	for c.next() {
		switch c.tag {
		case spanEvents:
			if err := s.event.open(c.bytes, &s.partAttrs); err != nil {
				return fmt.Errorf("event: %w", err)
			}
			to.events.fill.add(&s.event)
		case spanLinks:
			if err := s.link.open(c.bytes, &s.partAttrs); err != nil {
				return fmt.Errorf("link: %w", err)
			}
			to.links.fill.add(&s.link)
		}
	}
	to.events.end()
	to.links.end()
	return c.err
}

// spanEvent is an Event, aliasing the request.
type spanEvent struct {
	time       uint64
	name       []byte
	attributes *attributes
}

// open decodes an Event message, its attributes into a.
func (e *spanEvent) open(message []byte, a *attributes) error {
	const (
		eventTime       = 1<<3 | fixed64
		eventName       = 2<<3 | delimited
		eventAttributes = 3<<3 | delimited
	)
	*e = spanEvent{attributes: a}
	a.reset()
	c := walk(message)
	for c.next() {
		switch c.tag {
		case eventTime:
			e.time = c.value
		case eventName:
			e.name = c.text()
		case eventAttributes:
			c.check(a.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	return a.finish()
}

// spanLink is a Link, aliasing the request.
type spanLink struct {
	traceID, spanID, state []byte
	attributes             *attributes
}

// open decodes a Link message, its attributes into a.
func (l *spanLink) open(message []byte, a *attributes) error {
	const (
		linkTraceID    = 1<<3 | delimited
		linkSpanID     = 2<<3 | delimited
		linkTraceState = 3<<3 | delimited
		linkAttributes = 4<<3 | delimited
	)
	*l = spanLink{attributes: a}
	a.reset()
	c := walk(message)
	for c.next() {
		switch c.tag {
		case linkTraceID:
			l.traceID = c.id(traceIDLen)
		case linkSpanID:
			l.spanID = c.id(spanIDLen)
		case linkTraceState:
			l.state = c.text()
		case linkAttributes:
			c.check(a.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	return a.finish()
}
