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

// logRecord is a LogRecord but for its attributes, aliasing the request.
type logRecord struct {
	time, observed  uint64
	severityNumber  uint8
	flags           uint8
	severityText    []byte
	body            []byte // AnyValue
	traceID, spanID []byte
	eventName       []byte
}

type logColumns struct {
	timestamp, observed *numbers[int64]
	traceID, spanID     *strs
	flags               *numbers[uint8]
	severityText        *lowCard
	severityNumber      *numbers[uint8]
	body, eventName     *strs
	attributes          *maps
}

func bindLogs(r *Rows) *logColumns {
	return &logColumns{
		timestamp:      must[*numbers[int64]](r, "Timestamp"),
		observed:       must[*numbers[int64]](r, "ObservedTimestamp"),
		traceID:        must[*strs](r, "TraceId"),
		spanID:         must[*strs](r, "SpanId"),
		flags:          must[*numbers[uint8]](r, "TraceFlags"),
		severityText:   must[*lowCard](r, "SeverityText"),
		severityNumber: must[*numbers[uint8]](r, "SeverityNumber"),
		body:           must[*strs](r, "Body"),
		eventName:      must[*strs](r, "EventName"),
		attributes:     must[*maps](r, "LogAttributes"),
	}
}

// addLog adds the row of one LogRecord message.
func (s *Set) addLog(message []byte) error {
	s.count.Items++
	if err := s.repeat(s.header.bytes); err != nil {
		return err
	}
	l, err := openLog(message, &s.attrs)
	if err != nil {
		return err
	}
	body, err := s.attrs.text(l.body)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	time := l.time
	if time == 0 {
		time = l.observed
	}
	at := resolve(time, s.origin.Accepted)
	r := s.place(logs, &at)
	at.note(&s.attrs)

	c := r.logs
	c.timestamp.add(at.nanos)
	c.observed.add(resolve(l.observed, s.origin.Accepted).nanos)
	c.traceID.addHex(l.traceID)
	c.spanID.addHex(l.spanID)
	c.flags.add(l.flags)
	c.severityText.add(l.severityText)
	c.severityNumber.add(l.severityNumber)
	c.body.add(body)
	c.eventName.add(l.eventName)
	c.attributes.add(&s.attrs)
	s.count.Rows++
	return nil
}

// openLog decodes a LogRecord message, its attributes into a.
func openLog(message []byte, a *attributes) (logRecord, error) {
	var l logRecord
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
			l.severityText = c.bytes
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
			l.eventName = c.bytes
		}
	}
	if c.err != nil {
		return l, c.err
	}
	return l, a.finish()
}
