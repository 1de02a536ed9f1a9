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

	Fields Fields // keys that come before the built-in ones

	// DecimalIDs says that trace and span ids in decimal digits are decimal numbers, as ddtrace
	// writes them, and that its keys hold them. Without it digits are hexadecimal, since nobody
	// can tell.
	DecimalIDs bool

	// Rules give text that is no JSON a severity. The first one that matches counts.
	Rules []SeverityRule

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
	decimal  bool
	rules    []SeverityRule
	keys     *vocabulary
	maxDepth int
	maxKeys  int

	resource *Resource
	batch    batch
	body     []byte
	invalid  int

	// The line at hand.
	sent    int64 // the time that its sender gave it, in nanoseconds since the epoch; 0: none
	scan    scanner
	guesses guesses
	minute  minute
	line    line
	record  record
	repairs bool    // it had bytes that are not UTF-8
	scratch []byte  // of text, until the next text
	stack   []byte  // a stack trace that is put together
	marks   []token // where its parts are
}

// NewEncoder makes an encoder.
func NewEncoder(o Options) *Encoder {
	e := &Encoder{auto: o.Parse != "none", zone: o.Zone, decimal: o.DecimalIDs, rules: o.Rules, keys: o.vocabulary(), maxDepth: o.MaxDepth, maxKeys: o.MaxKeys}
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
	e.invalid = 0
}

// Invalid is how many lines since Begin had bytes that are not UTF-8, each of which became U+FFFD.
func (e *Encoder) Invalid() int { return e.invalid }

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
	e.finish(scope)
}

// finish adds the record to its scope and lets go of the line.
func (e *Encoder) finish(scope int32) {
	e.batch.add(scope, &e.record)
	e.scan.text = nil
	if e.repairs {
		e.invalid++
		e.repairs = false
	}
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
		e.ruled(e.setBody(line))
		return noScope
	}
	e.scan = scanner{text: line}
	if e.scan.peek() != '{' {
		e.plainText(bytes.TrimSuffix(line, []byte("\r")))
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
	e.ruled(e.setBody(line))
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
			g = e.guesses.learn(e.keys, last, s.text[start:s.at], start, key, name)
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
	e.loguru()
	e.timestamp(observed)
	namesLogger := e.severity()
	if h, ok := e.line.take(slotBody); ok {
		dst, start := begin(r.fields, recordBody)
		r.fields = end(e.appendHeld(dst, h.value), start)
	} else {
		e.setBody(e.scan.text)
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

// setBody makes a string of a line the body, and returns it as it is there.
func (e *Encoder) setBody(line []byte) (body []byte) {
	dst, begun := beginBody(e.record.fields)
	return e.record.endBody(e.appendValid(dst, line), begun)
}

// A bodyString is a body under construction: where its AnyValue and its string begin.
type bodyString struct{ value, text int }

func beginBody(dst []byte) ([]byte, bodyString) {
	dst, value := begin(dst, recordBody)
	dst, text := begin(dst, valueString)
	return dst, bodyString{value, text}
}

func (r *record) endBody(dst []byte, begun bodyString) (body []byte) {
	n := len(dst) - begun.text
	r.fields = end(end(dst, begun.text), begun.value)
	return r.fields[len(r.fields)-n:]
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
