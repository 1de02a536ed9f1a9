package forward

import "fmt"

// A Signal is a kind of telemetry.
type Signal uint8

const (
	Logs Signal = iota + 1
	Traces
	Metrics
)

// Signals are all of them, in the order in which lanes and tables are listed.
var Signals = []Signal{Logs, Traces, Metrics}

// String is the name that metrics, lanes and URLs use.
func (s Signal) String() string {
	switch s {
	case Logs:
		return "logs"
	case Traces:
		return "traces"
	case Metrics:
		return "metrics"
	}
	return fmt.Sprintf("signal(%d)", uint8(s))
}

// A Batch is a run of telemetry of one signal in the bytes it arrived in: the protobuf
// encoding of one OTLP Export…ServiceRequest.
//
// Such a request is a single repeated field, so the concatenation of two encodings is an
// encoding of both: batching is append, and nothing is decoded on the way.
// Body may hold markers (see Marker), which any OTLP decoder skips as an unknown field.
type Batch struct {
	Signal Signal
	Items  int    // log records, spans or data points in Body
	Body   []byte // lent for the duration of Put; a Sink that keeps it copies it

	// Parts says where Body may be cut: each part is a request of its own. nil: one part.
	Parts []Part
	// Repeated: somebody on the way sent it before, on his own account; that attempt, with the same
	// fences, may still be under way.
	Repeated bool
	// Cursor travels with the batch into the log and is opaque to everybody but its source.
	Cursor []byte
}

// A Part ends at byte End of Body and holds Items.
type Part struct {
	End   int
	Items int
}
