package lines

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Options say how lines are read.
type Options struct {
	// Parse is auto, which reads lines of JSON and strips others of ANSI escape sequences, or
	// none, which takes every line as it is.
	Parse string
	Zone  *time.Location // of times without one; nil is UTC

	// MaxDepth is how deep arrays and objects may nest in an attribute; what is deeper is kept
	// as its JSON. 0 is 16; above 24 counts as 24, so that the messages stay below the 100
	// levels that protobuf decoders allow.
	MaxDepth int

	// MaxKeys is how many attributes a record can have of a line, and how many entries an object
	// in one of them. The others are dropped and counted in dropped_attributes_count. 0 is 256.
	MaxKeys int
}

const (
	defaultDepth  = 16
	greatestDepth = 24
	defaultKeys   = 256
)

// An Encoder makes OTLP of lines: Begin, any number of Adds, Finish, and again. Its buffers grow
// to the largest body and stay. It is for one goroutine at a time.
type Encoder struct {
	auto     bool
	zone     *time.Location
	maxDepth int
	maxKeys  int

	resource *Resource
	batch    batch
	body     []byte

	// The line at hand.
	sent    int64 // the time that its sender gave it, in nanoseconds since the epoch; 0: none
	scan    scanner
	guesses guesses
	minute  minute
	line    line
	record  record
	scratch []byte  // of text, until the next text
	stack   []byte  // a stack trace that is put together
	marks   []token // where its parts are
}

// NewEncoder makes an encoder.
func NewEncoder(o Options) *Encoder {
	e := &Encoder{auto: o.Parse != "none", zone: o.Zone, maxDepth: o.MaxDepth, maxKeys: o.MaxKeys}
	if e.zone == nil {
		e.zone = time.UTC
	}
	if e.maxDepth <= 0 {
		e.maxDepth = defaultDepth
	}
	e.maxDepth = min(e.maxDepth, greatestDepth)
	if e.maxKeys <= 0 {
		e.maxKeys = defaultKeys
	}
	return e
}

// Begin starts a body of lines from r. What the last Finish returned is no longer valid.
func (e *Encoder) Begin(r *Resource) {
	e.resource = r
	e.batch.reset()
}

// Add makes one log record of a line without its end. at is when the container runtime saw the
// line, zero if nobody noted it, and observed is when we did. stream is stdout, stderr or empty.
// truncated says that the end of the line is missing, partial that it is not a whole line. text
// is not kept.
func (e *Encoder) Add(text []byte, at, observed time.Time, stream string, truncated, partial bool) {
	if at.IsZero() {
		at = observed
	}
	r := &e.record
	r.reset()
	ns := unixNano(at)
	if ns != 0 {
		r.setTime(recordObservedTime, ns)
	}
	scope := e.encode(text, ns)
	r.addStream(stream)
	if truncated {
		r.addBool("log.truncated", true)
	}
	if partial {
		r.addBool("log.partial", true)
	}
	e.batch.add(scope, r)
	e.scan.text = nil
}

// unixNano is at in nanoseconds since the epoch, 0 if that is zero or nonsense.
func unixNano(at time.Time) int64 {
	if s := at.Unix(); s <= 0 || s >= math.MaxInt64/int64(time.Second) {
		return 0
	}
	return at.UnixNano()
}

func (r *record) addStream(stream string) {
	switch stream {
	case "":
	case "stdout":
		r.addReady(stdout)
	case "stderr":
		r.addReady(stderr)
	default:
		addString(r, iostream, strings.ToValidUTF8(stream, "\uFFFD"))
	}
}

// iostream is the attribute that says which stream a line came from. There are mostly two.
const iostream = "log.iostream"

var stdout, stderr = newReady(iostream, "stdout"), newReady(iostream, "stderr")

// encode fills the record from a line and returns its scope.
func (e *Encoder) encode(line []byte, observed int64) (scope int32) {
	r := &e.record
	if !e.auto {
		r.setBody(line, appendValid)
		return noScope
	}
	e.scan = scanner{text: line}
	if e.scan.peek() != '{' {
		r.setBody(bytes.TrimSuffix(line, []byte("\r")), appendPlain)
		return noScope
	}
	head := len(r.fields)
	e.line.have = 0
	e.object()
	if e.scan.fault == "" {
		return e.resolve(observed)
	}
	r.reset()
	r.fields = r.fields[:head]
	r.setBody(line, appendValid)
	e.scratch = append(append(e.scratch[:0], e.scan.fault...), " at byte "...)
	addString(r, "log.parse_error", strconv.AppendInt(e.scratch, int64(e.scan.at), 10))
	return noScope
}

// object reads the line: attributes go into the record, the rest is held.
func (e *Encoder) object() {
	s, r := &e.scan, &e.record
	for last := uint8(0); ; {
		start := s.at
		g, right := e.guesses.after(last, s)
		name := g.name
		if !right {
			key, more := s.member(last == 0)
			if !more {
				break
			}
			name = e.text(key)
			g = e.guesses.learn(last, s.text[start:s.at], start, key, name)
		}
		last = e.guesses[last].next
		if g.meaning.slot != other {
			e.hold(g.meaning, start+g.quote, s.any())
			continue
		}
		if r.keys.count >= e.maxKeys {
			r.dropped++
			s.any()
			continue
		}
		r.admit(name, g.hash)
		r.attributes = e.appendMember(r.attributes, recordAttributes, name, s, 1)
	}
	if s.peek(); s.fault == "" && s.at < len(s.text) {
		s.fail(s.at, faultTrailing)
	}
}

// resolve puts what is held into its places.
func (e *Encoder) resolve(observed int64) (scope int32) {
	r := &e.record
	e.timestamp(observed)
	namesLogger := e.severity()
	if h, ok := e.line.take(slotBody); ok {
		dst, start := begin(r.fields, recordBody)
		r.fields = end(e.appendHeld(dst, h.value), start)
	} else {
		r.setBody(e.scan.text, appendValid)
	}
	scope = e.logger(namesLogger)
	e.trace()
	e.exception()
	e.callsite()
	return scope
}

// logger returns the scope that a line names.
func (e *Encoder) logger(named bool) (scope int32) {
	logger, ok := e.line.take(slotLogger)
	if name, has := e.line.take(slotName); has {
		if named && !ok {
			logger, ok = name, true
		} else {
			e.keep(name)
		}
	}
	if !ok {
		return noScope
	}
	if logger.value.kind == text {
		if scope, ok := e.batch.scope(e.text(logger.value)); ok {
			return scope
		}
	}
	e.keep(logger)
	return noScope
}

// setBody makes a string of a line the body.
func (r *record) setBody(line []byte, appendTo func(dst, line []byte) []byte) {
	dst, body := begin(r.fields, recordBody)
	dst, value := begin(dst, valueString)
	r.fields = end(end(appendTo(dst, line), value), body)
}

// Finish returns the ExportLogsServiceRequest of all lines since Begin, and their number. It has
// one ResourceLogs, and in it one ScopeLogs for each logger. Without lines it is empty. The body
// is the encoder's, and valid until the next Begin.
func (e *Encoder) Finish() (body []byte, items int) {
	if e.batch.items == 0 {
		return nil, 0
	}
	size := len(e.resource.encoded) + e.batch.size()
	e.body = protowire.AppendVarint(append(e.body[:0], requestResourceLogs), uint64(size))
	e.body = append(e.body, e.resource.encoded...)
	e.body = e.batch.appendTo(e.body)
	return e.body, e.batch.items
}
