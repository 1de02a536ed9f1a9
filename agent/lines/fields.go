package lines

// A slot is a place in a log record that a key of a line can fill. What it is filled with is
// looked at when the whole line has been read, since keys explain each other.
type slot uint8

const (
	other slot = iota // no such place: an attribute
	slotBody
	slotTime
	slotLevel
	slotLevelNumber
	slotLogger
	slotName
	slotTraceID
	slotSpanID
	slotTraceFlags
	slotTraceParent
	slotSpan
	slotException
	slotError
	slotStack
	slotPathname
	slotFilename
	slotLine
	slotFunction
	slotThread
	slotThreadName
	slotProcess
	slotCaller
	slotFile
	slotSource
	slotColor
	slotText
	slotRecord
	slots
)

// A field is what a key means. Of two keys for one slot the one with the lower rank is taken,
// and the other one becomes an attribute.
type field struct {
	key  string
	slot slot
	rank uint8
}

// levelname is Python's key for the name of a level.
const levelname = "levelname"

// fields is the table of the keys that everybody uses. No rank reaches builtinRanks.
var fields = [...]field{
	{"event", slotBody, 0},
	{"message", slotBody, 1},
	{"msg", slotBody, 2},
	{"@message", slotBody, 3}, // hclog

	{"timestamp", slotTime, 0},
	{"@timestamp", slotTime, 1}, // ECS, logstash, hclog
	{"time", slotTime, 2},       // slog, zerolog, logrus, pino, bunyan
	{"ts", slotTime, 3},         // zap
	{"asctime", slotTime, 4},    // python-json-logger
	{"date_time", slotTime, 5},  // ClickHouse
	{"t", slotTime, 6},          // log15

	{"level", slotLevel, 0},
	{"severity", slotLevel, 1},
	{levelname, slotLevel, 2},
	{"log.level", slotLevel, 3},
	{"@level", slotLevel, 4},
	{"lvl", slotLevel, 5},
	{"level_number", slotLevelNumber, 0},
	{"levelno", slotLevelNumber, 1},

	{"logger", slotLogger, 0},
	{"logger_name", slotLogger, 1},
	{"log.logger", slotLogger, 2},
	{"@module", slotLogger, 3},
	{"name", slotName, 0},

	{"trace_id", slotTraceID, 0},
	{"traceId", slotTraceID, 1},
	{"traceID", slotTraceID, 2},
	{"trace.id", slotTraceID, 3},
	{"otelTraceID", slotTraceID, 4}, // OpenTelemetry's logging instrumentation for Python
	{"TraceId", slotTraceID, 5},     // OpenTelemetry's data model
	{"traceid", slotTraceID, 6},
	{"span_id", slotSpanID, 0},
	{"spanId", slotSpanID, 1},
	{"spanID", slotSpanID, 2},
	{"span.id", slotSpanID, 3},
	{"otelSpanID", slotSpanID, 4},
	{"SpanId", slotSpanID, 5},
	{"spanid", slotSpanID, 6},
	{"trace_flags", slotTraceFlags, 0},
	{"traceFlags", slotTraceFlags, 1},
	{"otelTraceSampled", slotTraceFlags, 2},
	{"TraceFlags", slotTraceFlags, 3},
	{"traceparent", slotTraceParent, 0},
	{"span", slotSpan, 0},

	{"exception", slotException, 0},
	{"exc_info", slotException, 1},
	{"stack_trace", slotException, 2}, // logstash
	{"error", slotError, 0},
	{"err", slotError, 1},
	{"stack", slotStack, 0},
	{"stack_info", slotStack, 1},
	{"stacktrace", slotStack, 2}, // zap

	{"pathname", slotPathname, 0},
	{"filename", slotFilename, 0},
	{"lineno", slotLine, 0},
	{"func_name", slotFunction, 0},
	{"funcName", slotFunction, 1},
	{"func", slotFunction, 2},       // logrus
	{"callerfunc", slotFunction, 3}, // phuslu

	{"thread", slotThread, 0},
	{"thread_name", slotThreadName, 0},
	{"threadName", slotThreadName, 1},
	{"process", slotProcess, 0},
	{"pid", slotProcess, 1}, // pino, bunyan

	{"caller", slotCaller, 0},       // zap, zerolog
	{"@caller", slotCaller, 1},      // hclog
	{"file", slotFile, 0},           // logrus
	{"source", slotSource, 0},       // slog
	{"color_message", slotColor, 0}, // uvicorn
	{"text", slotText, 0},           // loguru
	{"record", slotRecord, 0},       // loguru
}

// hash mixes what keys mostly differ in.
func hash(key []byte) (h uint) {
	n := uint(len(key))
	if n > 0 {
		h = n*41 + uint(key[0])*3 + uint(key[n-1])*7 + uint(key[n>>1])*17
	}
	return h
}

// A held value fills a slot until the line is read.
type held struct {
	value token
	key   int // where its key begins, at the quote
	rank  uint8
}

// A line is what the slots hold. A slot counts only if its bit in have is set.
type line struct {
	have uint32
	held [slots]held
}

func (l *line) has(s slot) bool { return l.have&(1<<s) != 0 }

// take empties a slot and returns what it held; ok is false if that was nothing.
func (l *line) take(s slot) (h *held, ok bool) {
	ok = l.has(s)
	l.have &^= 1 << s
	return &l.held[s], ok
}

// notString is added to the rank of a body that is no string: any string comes before it.
const notString = maxFieldKeys + builtinRanks

// hold puts a value into its slot, or makes an attribute of it if the slot has a better one.
// A null only takes away what its own key gave before.
func (e *Encoder) hold(f *field, key int, value token) {
	h := &e.line.held[f.slot]
	if e.line.has(f.slot) && h.rank%notString == f.rank { // the same key twice
		e.record.dropped++
		e.line.take(f.slot)
	}
	if value.kind == null {
		return
	}
	rank := f.rank
	if f.slot == slotBody && value.kind != text {
		rank += notString
	}
	if e.line.has(f.slot) {
		if h.rank < rank {
			e.keep(&held{value, key, rank})
			return
		}
		e.keep(h)
	}
	e.line.have |= 1 << f.slot
	h.value, h.key, h.rank = value, key, rank
}

// keep makes an attribute of a value under its own key.
func (e *Encoder) keep(h *held) {
	if e.record.keys.count >= e.maxKeys {
		e.record.dropped++
		return
	}
	begun := e.record.begin(e.keyOf(h))
	e.record.attributes = e.appendHeld(e.record.attributes, h.value)
	e.record.end(begun)
}

func (e *Encoder) keyOf(h *held) []byte {
	s := scanner{text: e.scan.text, at: h.key}
	return e.text(s.str())
}

// appendHeld appends the AnyValue of a token.
func (e *Encoder) appendHeld(dst []byte, t token) []byte {
	if t.kind == text {
		return e.appendString(dst, e.scan.text, t)
	}
	s := scanner{text: e.scan.text, at: t.start}
	return e.appendValue(dst, &s, 1)
}

// text is what a text token stands for, until the next call.
func (e *Encoder) text(t token) []byte {
	if t.form == plain {
		return e.scan.text[t.start:t.end]
	}
	return e.decoded(t)
}

// decoded is apart so that text can be inlined.
//
//go:noinline
func (e *Encoder) decoded(t token) []byte {
	e.scratch = e.appendText(e.scratch[:0], e.scan.text, t)
	return e.scratch
}
