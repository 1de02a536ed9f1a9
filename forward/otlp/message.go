package otlp

import "github.com/spillway-io/spillway/forward"

// The messages of OTLP 1.x, as far as a walk needs to know them: what wire type each field
// has, what must be UTF-8, which fields are ids, which come once. Numbers are from
// opentelemetry-proto v1.11; TestMessagesMatchTheProtocol holds them against its descriptors.

type kind uint8

const (
	unknown kind = iota
	varint
	fixed32
	fixed64
	text  // UTF-8
	blob  // any bytes
	id16  // trace id: 0 or 16 bytes
	id8   // span id: 0 or 8 bytes
	inner // a message
	packedVarint
	packedFixed64
)

type field struct {
	kind     kind
	repeated bool
	item     bool  // each one is an item: a log record, span or data point
	oneof    uint8 // fields of the same non-zero number exclude each other
	msg      *message

	wire uint64 // the wire type that kind has
	bit  uint32 // of what may come once: the field, or its oneof; 0 when repeated
}

// A message is indexed by field number; the largest number in OTLP is 16.
type message struct {
	name   string
	fields [17]field
}

func (m *message) set(number int, f field) *message {
	switch f.kind {
	case varint:
		f.wire = 0
	case fixed64:
		f.wire = 1
	case fixed32:
		f.wire = 5
	default:
		f.wire = 2
	}
	switch {
	case f.oneof != 0:
		f.bit = 1 << (len(m.fields) - 1 + int(f.oneof))
	case !f.repeated:
		f.bit = 1 << (number - 1)
	}
	m.fields[number] = f
	return m
}

func (m *message) one(k kind, numbers ...int) *message {
	for _, n := range numbers {
		m.set(n, field{kind: k})
	}
	return m
}

func (m *message) many(number int, of *message) *message {
	return m.set(number, field{kind: inner, repeated: true, msg: of})
}

func (m *message) items(number int, of *message) *message {
	return m.set(number, field{kind: inner, repeated: true, item: true, msg: of})
}

func (m *message) single(number int, of *message) *message {
	return m.set(number, field{kind: inner, msg: of})
}

func (m *message) choice(group uint8, k kind, numbers ...int) *message {
	for _, n := range numbers {
		m.set(n, field{kind: k, oneof: group})
	}
	return m
}

func (m *message) choiceOf(group uint8, number int, of *message) *message {
	return m.set(number, field{kind: inner, oneof: group, msg: of})
}

var (
	anyValue = &message{name: "AnyValue"}
	keyValue = (&message{name: "KeyValue"}).one(text, 1).single(2, anyValue).one(varint, 3)
	resource = (&message{name: "Resource"}).many(1, keyValue).one(varint, 2).many(3, entityRef)
	scope    = (&message{name: "InstrumentationScope"}).one(text, 1, 2).many(3, keyValue).one(varint, 4)

	entityRef = (&message{name: "EntityRef"}).one(text, 1, 2).
			set(3, field{kind: text, repeated: true}).set(4, field{kind: text, repeated: true})
)

// AnyValue is recursive, so it is completed here.
func init() {
	arrayValue := (&message{name: "ArrayValue"}).many(1, anyValue)
	kvList := (&message{name: "KeyValueList"}).many(1, keyValue)
	anyValue.choice(1, text, 1).choice(1, varint, 2, 3, 8).choice(1, fixed64, 4).
		choiceOf(1, 5, arrayValue).choiceOf(1, 6, kvList).choice(1, blob, 7)
}

var (
	logRecord = (&message{name: "LogRecord"}).one(fixed64, 1, 11).one(varint, 2, 7).one(text, 3, 12).
			single(5, anyValue).many(6, keyValue).one(fixed32, 8).one(id16, 9).one(id8, 10)
	scopeLogs    = (&message{name: "ScopeLogs"}).single(1, scope).items(2, logRecord).one(text, 3)
	resourceLogs = (&message{name: "ResourceLogs"}).single(1, resource).many(2, scopeLogs).one(text, 3)
	logsRequest  = (&message{name: "ExportLogsServiceRequest"}).many(1, resourceLogs)
)

var (
	spanEvent  = (&message{name: "Event"}).one(fixed64, 1).one(text, 2).many(3, keyValue).one(varint, 4)
	spanLink   = (&message{name: "Link"}).one(id16, 1).one(id8, 2).one(text, 3).many(4, keyValue).one(varint, 5).one(fixed32, 6)
	spanStatus = (&message{name: "Status"}).one(text, 2).one(varint, 3)
	span       = (&message{name: "Span"}).one(id16, 1).one(id8, 2, 4).one(text, 3, 5).one(varint, 6, 10, 12, 14).one(fixed64, 7, 8).
			many(9, keyValue).many(11, spanEvent).many(13, spanLink).single(15, spanStatus).one(fixed32, 16)
	scopeSpans    = (&message{name: "ScopeSpans"}).single(1, scope).items(2, span).one(text, 3)
	resourceSpans = (&message{name: "ResourceSpans"}).single(1, resource).many(2, scopeSpans).one(text, 3)
	tracesRequest = (&message{name: "ExportTraceServiceRequest"}).many(1, resourceSpans)
)

var (
	exemplar = (&message{name: "Exemplar"}).many(7, keyValue).one(fixed64, 2).choice(1, fixed64, 3, 6).one(id8, 4).one(id16, 5)

	numberPoint = (&message{name: "NumberDataPoint"}).many(7, keyValue).one(fixed64, 2, 3).choice(1, fixed64, 4, 6).
			many(5, exemplar).one(varint, 8)
	histogramPoint = (&message{name: "HistogramDataPoint"}).many(9, keyValue).one(fixed64, 2, 3, 4, 5, 11, 12).
			set(6, field{kind: packedFixed64, repeated: true}).set(7, field{kind: packedFixed64, repeated: true}).
			many(8, exemplar).one(varint, 10)
	buckets  = (&message{name: "Buckets"}).one(varint, 1).set(2, field{kind: packedVarint, repeated: true})
	expPoint = (&message{name: "ExponentialHistogramDataPoint"}).many(1, keyValue).one(fixed64, 2, 3, 4, 5, 7, 12, 13, 14).
			one(varint, 6, 10).single(8, buckets).single(9, buckets).many(11, exemplar)
	quantile     = (&message{name: "ValueAtQuantile"}).one(fixed64, 1, 2)
	summaryPoint = (&message{name: "SummaryDataPoint"}).many(7, keyValue).one(fixed64, 2, 3, 4, 5).many(6, quantile).one(varint, 8)

	gauge        = (&message{name: "Gauge"}).items(1, numberPoint)
	sum          = (&message{name: "Sum"}).items(1, numberPoint).one(varint, 2, 3)
	histogram    = (&message{name: "Histogram"}).items(1, histogramPoint).one(varint, 2)
	expHistogram = (&message{name: "ExponentialHistogram"}).items(1, expPoint).one(varint, 2)
	summary      = (&message{name: "Summary"}).items(1, summaryPoint)

	metric = (&message{name: "Metric"}).one(text, 1, 2, 3).choiceOf(1, 5, gauge).choiceOf(1, 7, sum).choiceOf(1, 9, histogram).
		choiceOf(1, 10, expHistogram).choiceOf(1, 11, summary).many(12, keyValue)
	scopeMetrics    = (&message{name: "ScopeMetrics"}).single(1, scope).many(2, metric).one(text, 3)
	resourceMetrics = (&message{name: "ResourceMetrics"}).single(1, resource).many(2, scopeMetrics).one(text, 3)
	metricsRequest  = (&message{name: "ExportMetricsServiceRequest"}).many(1, resourceMetrics)
)

// request is the message that a body of s encodes.
func request(s forward.Signal) *message {
	switch s {
	case forward.Logs:
		return logsRequest
	case forward.Traces:
		return tracesRequest
	case forward.Metrics:
		return metricsRequest
	}
	return nil
}
