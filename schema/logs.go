package schema

import "fmt"

// Fields of LogRecord.
const (
	logTime           = 1<<3 | fixed64
	logSeverityNumber = 2<<3 | varint
	logSeverityText   = 3<<3 | delimited
	logBody           = 5<<3 | delimited
	logAttributes     = 6<<3 | delimited
	logFlags          = 8<<3 | fixed32
	logTraceID        = 9<<3 | delimited
	logSpanID         = 10<<3 | delimited
	logObserved       = 11<<3 | fixed64
	logEventName      = 12<<3 | delimited
)

// logRow is a LogRecord, aliasing the request.
type logRow struct {
	time, observed  uint64
	severityNumber  uint8
	flags           uint8
	severityText    []byte
	body            []byte // AnyValue
	traceID, spanID []byte
	eventName       []byte
	attributes      *attributes

	// Made of them.
	at, observedAt instant
	bodyText       []byte
}

// addLog adds the row of one LogRecord message.
func (s *Set) addLog(message []byte) error {
	s.count.Items++
	if err := s.repeat(s.header.bytes); err != nil {
		return err
	}
	l := &s.log
	err := l.open(message, &s.attrs)
	if err != nil {
		return err
	}
	if l.bodyText, err = s.attrs.text(l.body); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	time := l.time
	if time == 0 {
		time = l.observed
	}
	l.at = resolve(time, s.origin.Accepted)
	l.observedAt = resolve(l.observed, s.origin.Accepted)
	r := s.place(logs, &l.at)
	l.at.note(&s.attrs)
	r.logs.add(l)
	s.count.Rows++
	return nil
}

// open decodes a LogRecord message, its attributes into a.
func (l *logRow) open(message []byte, a *attributes) error {
	*l = logRow{attributes: a}
	a.reset()
	c := walk(message)
	for c.next() {
		switch c.tag {
		case logTime:
			l.time = c.value
		case logObserved:
			l.observed = c.value
		case logSeverityNumber:
			l.severityNumber = uint8(c.value)
		case logSeverityText:
			l.severityText = c.text()
		case logBody:
			l.body = c.bytes
		case logAttributes:
			c.check(a.add(c.bytes))
		case logFlags:
			l.flags = uint8(c.value)
		case logTraceID:
			l.traceID = c.id(traceIDLen)
		case logSpanID:
			l.spanID = c.id(spanIDLen)
		case logEventName:
			l.eventName = c.text()
		}
	}
	if c.err != nil {
		return c.err
	}
	return a.finish()
}
