package loki

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
)

// Bounds of a request, beside its size. Labels and structured metadata may be as many and as large
// as Loki takes by default, or more.
const (
	maxEntries       = 1 << 17 // and streams: an empty one is two bytes in protobuf, and more as OTLP
	maxLabels        = 128     // of a stream
	maxLabelBytes    = 32 << 10
	maxOfAll         = 64  // bytes of a label that is on each record of its stream
	maxMetadata      = 128 // of an entry
	maxMetadataBytes = 64 << 10
	maxTenant        = 150 // bytes
)

// converting bounds conversions under way: they only use the processor, and each has buffers.
var converting = make(chan struct{}, runtime.GOMAXPROCS(0))

var converters = sync.Pool{New: func() any { return &converter{encoder: lines.NewEncoder(lines.Options{})} }}

// An output is what a request becomes. taken of it is counted by the limiter.
type output struct {
	body  []byte
	items int
	taken int64
}

// A pair is a label, or a part of structured metadata.
type pair struct{ name, value string }

// A converter makes OTLP of one request. Of each stream it is told the labels, between unlabeled
// and labeled, then the entries, each behind its metadata, and the end. It is for one goroutine at
// a time, and used again.
type converter struct {
	encoder *lines.Encoder
	limiter *forward.Limiter
	tenant  string
	now     time.Time
	out     output

	entries    int            // and streams
	labels     []pair         // of the stream at hand
	labelBytes int            // in them
	source     string         // its stdout or stderr
	ofAll      []lines.Remark // that its labels make on each line
	remarks    []lines.Remark // of the entry at hand
	line       []byte
}

func (c *converter) begin(l *forward.Limiter, tenant string, now time.Time) {
	c.limiter, c.tenant, c.now, c.entries = l, tenant, now, 0
}

// unlabeled begins a stream.
func (c *converter) unlabeled() error {
	c.labels, c.labelBytes = c.labels[:0], 0
	return c.count()
}

// count counts a stream or an entry.
func (c *converter) count() error {
	if c.entries++; c.entries > maxEntries {
		return &forward.RefusedError{Reason: forward.ReasonTooLarge, Err: fmt.Errorf("more than %d streams and entries: send smaller batches", maxEntries)}
	}
	return nil
}

// label adds to the labels of the stream.
func (c *converter) label(p pair) error {
	c.labelBytes += len(p.name) + len(p.value)
	if len(c.labels) == maxLabels || c.labelBytes > maxLabelBytes {
		return fmt.Errorf("more than %d labels or %d bytes of them: send fewer with a stream", maxLabels, maxLabelBytes)
	}
	c.labels = append(c.labels, p)
	return nil
}

// labeled says that there are no more labels.
func (c *converter) labeled() error {
	resource, err := c.describe()
	if err != nil {
		return err
	}
	c.remarks = c.remarks[:0]
	c.encoder.Begin(resource)
	return nil
}

// metadata adds to the structured metadata of the entry that follows.
func (c *converter) metadata(p pair, size *int) error {
	*size += len(p.name) + len(p.value)
	switch {
	case p.name == "":
		return errors.New("structured metadata without a name")
	case *size > maxMetadataBytes || len(c.remarks) == maxMetadata:
		return fmt.Errorf("more than %d pairs or %d bytes of structured metadata: send less with an entry", maxMetadata, maxMetadataBytes)
	}
	if !says(p) {
		return nil
	}
	c.remarks = append(c.remarks, lines.Remark{Key: p.name, Value: p.value, About: subjects[p.name]})
	return nil
}

// entry adds a record to the stream. line is not kept.
func (c *converter) entry(at time.Time, line []byte) error {
	if err := c.count(); err != nil {
		return err
	}
	c.remarks = append(c.remarks, c.ofAll...)
	c.encoder.AddSent(line, at, c.now, c.remarks, c.source)
	c.remarks = c.remarks[:0]
	return nil
}

// end ends the stream.
func (c *converter) end() error {
	body, items := c.encoder.Finish()
	if err := c.limiter.Take(int64(len(body))); err != nil {
		return err
	}
	c.out.taken += int64(len(body))
	c.out.body = append(c.out.body, body...)
	c.out.items += items
	return nil
}

// clip is s for an error message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}

var errTime = errors.New("not a time from 1970 to 2262")

// errAt says in which stream, and in which entry of it unless that is -1, err was found.
func errAt(stream, entry int, err error) error {
	if entry < 0 {
		return fmt.Errorf("streams[%d]: %w", stream, err)
	}
	return fmt.Errorf("streams[%d], entry %d: %w", stream, entry, err)
}
