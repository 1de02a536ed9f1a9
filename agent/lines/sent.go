package lines

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// A Remark is what the sender of a line says about it beside the line.
type Remark struct {
	Key, Value string
	About      Subject
}

// A Subject is what a Remark is about.
type Subject uint8

const (
	AboutNothing  Subject = iota // an attribute
	AboutLevel                   // the name of a level
	AboutTraceID                 // hexadecimal digits
	AboutSpanID                  // hexadecimal digits
	AboutNumber                  // an attribute that is an integer
	AboutPriority                // a digit, syslog's; left out if the line or a level says how severe it is
	Subjects      = iota         // how many there are
)

// metadata is put before the key of a remark that contradicts the line.
const metadata = "metadata."

// AddSent makes one log record of a line without its end, which somebody sent with a time of its
// own, at, and remarks. That time is the record's whatever the line says; if it is zero, the
// line's counts as in Add. observed is when we saw it. stream is stdout, stderr or empty.
//
// The line comes first: a remark fills a place that the line leaves empty. One that says what the
// line says is left out. Any other becomes an attribute, with metadata. before its key if the line
// has an attribute of that key. A span id counts only if there is a trace id. text and remarks are
// not kept.
func (e *Encoder) AddSent(text []byte, at, observed time.Time, remarks []Remark, stream string) {
	r := &e.record
	r.reset()
	ns := unixNano(observed)
	if ns != 0 {
		r.setTime(recordObservedTime, ns)
	}
	if e.sent = unixNano(at); e.sent != 0 {
		r.setTime(recordTime, e.sent)
	}
	scope := e.encode(text, ns)
	e.sent = 0
	e.sentTrace(remarks)
	for i := range remarks {
		switch m := &remarks[i]; m.About {
		case AboutNothing:
			e.remark(m)
		case AboutNumber:
			e.remarkNumber(m)
		case AboutLevel:
			e.sentLevel(m)
		}
	}
	for i := range remarks {
		if m := &remarks[i]; m.About == AboutPriority {
			r.setPriority(m.Value)
		}
	}
	r.addStream(stream)
	e.finish(scope)
}

// sentTrace fills in what the line does not say of its trace.
func (e *Encoder) sentTrace(remarks []Remark) {
	r := &e.record
	c := r.trace
	for i := range remarks {
		if m := &remarks[i]; m.About == AboutTraceID {
			var id [16]byte
			switch ok := parseID(id[:], []byte(m.Value)); {
			case ok && (id == c.trace || id == [16]byte{}): // says nothing new
			case ok && !c.valid():
				c.trace = id
			default:
				e.remark(m)
			}
		}
	}
	for i := range remarks {
		if m := &remarks[i]; m.About == AboutSpanID {
			var id [8]byte
			switch ok := parseID(id[:], []byte(m.Value)); {
			case ok && (id == c.span || id == [8]byte{}):
			case ok && c.valid() && !c.hasSpan():
				c.span = id
			default:
				e.remark(m)
			}
		}
	}
	switch {
	case !r.trace.valid():
		r.setTrace(&c)
	case !r.trace.hasSpan() && c.hasSpan():
		r.setSpan(&c)
	}
}

// sentLevel fills in the severity, unless the line or an earlier remark has done so.
func (e *Encoder) sentLevel(m *Remark) {
	r := &e.record
	name := []byte(strings.ToValidUTF8(m.Value, "\uFFFD"))
	severity := severityOf(name)
	switch {
	case r.leveled && severity != 0 && severity == r.severity: // says nothing new
	case r.leveled || r.severity != 0 && r.severity != severity:
		e.remark(m)
	default:
		r.severity = severity
		r.setLevel(name)
	}
}

// remarkNumber makes an attribute of m that is an integer, if it is one and the line has none of that key.
func (e *Encoder) remarkNumber(m *Remark) {
	r := &e.record
	v, err := strconv.ParseInt(m.Value, 10, 64)
	if _, end := find(r.attributes, 0, []byte(m.Key)); err != nil || end != 0 {
		e.remark(m)
		return
	}
	r.addInt(m.Key, v)
}

// remark makes an attribute of m, unless the line has the same.
func (e *Encoder) remark(m *Remark) {
	r := &e.record
	key, value := strings.ToValidUTF8(m.Key, "\uFFFD"), strings.ToValidUTF8(m.Value, "\uFFFD")
	if start, end := find(r.attributes, 0, []byte(key)); end != 0 {
		if e.same(r.attributes[start:end], []byte(key), value) {
			return
		}
		key = metadata + key
	}
	addString(r, key, value)
}

// same tells whether an attribute has that value: as it is, or as what the text stands for.
func (e *Encoder) same(attribute, key []byte, value string) bool {
	e.scratch = appendStringEntry(e.scratch[:0], recordAttributes, key, []byte(value))
	if bytes.Equal(attribute, e.scratch) {
		return true
	}
	dst, begun := beginEntry(e.scratch[:0], recordAttributes, key)
	if v, err := strconv.ParseInt(value, 10, 64); err == nil {
		dst = appendInt(dst, v)
	} else if v, err := strconv.ParseFloat(value, 64); err == nil {
		dst = appendDouble(dst, v)
	} else if v, err := strconv.ParseBool(value); err == nil {
		dst = appendBool(dst, v)
	}
	e.scratch = endEntry(dst, begun)
	return bytes.Equal(attribute, e.scratch)
}
