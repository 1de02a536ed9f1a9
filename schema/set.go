package schema

import (
	"cmp"
	"errors"
	"iter"
	"slices"
)

// An Origin is where a body comes from. Together with its bytes it decides every
// row that is made of it.
type Origin struct {
	// Stream and Seq identify the log record that the body is. Stream is the
	// hexadecimal form of the first 128 bits of SHA-256 of the stream's key;
	// "" means that the body has no identity.
	Stream string
	Seq    uint64

	// Accepted is when we took the body in, in unix nanoseconds. It stands in
	// for timestamps that are zero, before 1971, after 2104 or more than 24 h
	// later than itself; the original, if there was one, is kept in the
	// attribute "spillway.original_timestamp".
	Accepted int64
}

// Count is what became of one body. Items = Rows + Unstorable.
type Count struct {
	Items      int // log records, spans or metric points
	Rows       int // rows of them; those of the trace time ranges are not counted
	Unstorable int // points without a value that do not say that none was recorded

	// UnknownKinds is the number of metrics whose points are of a kind that we do
	// not know, or that have none. What they hold cannot be counted as items.
	UnknownKinds int
}

// A Set holds the rows of one request, a Rows for each table and partition. It is
// meant to be reused, and not for concurrent use.
type Set struct {
	rows   []*Rows             // by table, then partition
	recent [tableCount]*Rows   // the last one used of each table
	free   [tableCount][]*Rows // empty ones, for reuse

	// The body being decoded.
	body       uint64 // counts bodies
	origin     Origin
	count      Count
	touched    []*Rows         // that got rows from it
	partitions [tableCount]int // of touched
	repeatable int             // bytes of texts that may still be repeated
	header     header
	headers    uint64     // counts headers
	attrs      attributes // of the item at hand
	partAttrs  attributes // of one of its events, links or exemplars
	atHand                // the item itself
}

// atHand is what is being decoded. It is here, and not on the stack, because the
// fills are called through function values.
type atHand struct {
	log      logRow
	span     spanRow
	event    spanEvent
	link     spanLink
	metric   metric // that the point belongs to
	point    pointRow
	exemplar exemplar
}

// release lets go of the request.
func (a *atHand) release() {
	lists := a.point.numberLists
	if lists.size() > maxArena {
		lists = numberLists{}
	}
	*a = atHand{point: pointRow{numberLists: lists}}
}

// maxPartitions is how many partitions of one table the rows of one body may
// fall into. A real request has one or two, a file imported after a year some
// hundred. Beyond it rows are dated to when they were accepted: each partition
// costs memory here and an INSERT later, out of proportion to the few bytes of a
// row that asks for it.
const maxPartitions = 400

// maxRepeat is how many times its own length a body may grow to because the texts
// of resources, scopes and metrics are repeated in each of their rows. Real ones
// grow by ten; one made for the purpose could grow by a hundred thousand.
const (
	maxRepeat     = 64
	minRepeatable = 1 << 20 // shorter bodies are taken to be this long
)

// ErrTooLarge says that a body's rows would take memory out of proportion to its
// length, because it has large resource attributes, or a large metric description,
// and very many items. Parts of it may well fit.
var ErrTooLarge = errors.New("resource, scope and metric texts are too large to be repeated in every row")

// What Reset keeps for each table.
const (
	maxFree      = 4
	maxFreeBytes = 4 << 20
)

// NewSet returns an empty set.
func NewSet() *Set { return &Set{} }

// Buckets yields the set's Rows that are not empty, in the order in which they are
// to be inserted. They belong to the set until its Reset.
func (s *Set) Buckets() iter.Seq[*Rows] {
	return func(yield func(*Rows) bool) {
		for _, r := range s.rows {
			if r.Len() > 0 && !yield(r) {
				return
			}
		}
	}
}

// Bytes is about what the rows take in memory.
func (s *Set) Bytes() int {
	n := 0
	for _, r := range s.rows {
		n += r.Bytes()
	}
	return n
}

// Reset drops all rows. It keeps memory for another request of a usual size.
func (s *Set) Reset() {
	for _, r := range s.rows {
		i := r.table.ordinal
		if len(s.free[i]) < maxFree && r.Bytes() <= maxFreeBytes {
			r.Reset()
			s.free[i] = append(s.free[i], r)
		}
	}
	clear(s.rows)
	s.rows = s.rows[:0]
	clear(s.recent[:])
}

// AppendLogs adds the rows of one ExportLogsServiceRequest. It does not keep body.
// After an error the set is as it was.
func (s *Set) AppendLogs(body []byte, o Origin) (Count, error) {
	return s.append(body, o, s.addLog)
}

// AppendTraces adds the rows of one ExportTraceServiceRequest. It does not keep
// body. After an error the set is as it was.
func (s *Set) AppendTraces(body []byte, o Origin) (Count, error) {
	return s.append(body, o, s.addSpan)
}

// AppendMetrics adds the rows of one ExportMetricsServiceRequest. It does not keep
// body. After an error the set is as it was.
func (s *Set) AppendMetrics(body []byte, o Origin) (Count, error) {
	return s.append(body, o, s.addMetric)
}

func (s *Set) append(body []byte, o Origin, item func([]byte) error) (Count, error) {
	s.body++
	s.count = Count{}
	s.origin = o
	s.repeatable = maxRepeat * max(len(body), minRepeatable)
	s.origin.Accepted = min(max(o.Accepted, earliest), latest)
	err := s.decode(body, item)
	count := s.count
	for _, r := range s.touched {
		if err != nil {
			r.rollback()
		} else {
			r.repeatHeads()
		}
	}
	if err != nil {
		count = Count{}
	}
	clear(s.touched)
	s.touched = s.touched[:0]
	clear(s.partitions[:])
	s.header.release()
	s.attrs.release()
	s.partAttrs.release()
	s.atHand.release()
	return count, err
}

// place returns the Rows that a row of that time goes to, with its header columns
// filled in. The time may be changed to one that has a place.
func (s *Set) place(t *Table, at *instant) *Rows {
	r := s.bucket(t, at)
	r.note(*at)
	r.head(&s.header)
	if r.seq != nil {
		r.seq.add(s.origin.Seq)
	}
	return r
}

// repeat accounts for texts that a row shares with others.
func (s *Set) repeat(bytes int) error {
	if s.repeatable -= bytes; s.repeatable < 0 {
		return ErrTooLarge
	}
	return nil
}

// bucket returns the Rows that a row of that time goes to.
func (s *Set) bucket(t *Table, at *instant) *Rows {
	partition := t.partitionOf(*at)
	r := s.recent[t.ordinal]
	if r == nil || r.partition != partition {
		r = s.lookup(t, partition)
	}
	if r != nil && r.body == s.body {
		return r
	}
	if s.partitions[t.ordinal] >= maxPartitions && at.nanos != s.origin.Accepted {
		*at = at.replaced(s.origin.Accepted)
		return s.bucket(t, at)
	}
	if r == nil {
		r = s.insert(t, partition)
	}
	r.begin(s.body)
	s.touched = append(s.touched, r)
	s.partitions[t.ordinal]++
	return r
}

// lookup returns the Rows of a table and partition, nil if there is none.
func (s *Set) lookup(t *Table, partition int32) *Rows {
	i, found := s.search(t, partition)
	if !found {
		return nil
	}
	s.recent[t.ordinal] = s.rows[i]
	return s.rows[i]
}

// insert adds an empty Rows for a table and partition that has none.
func (s *Set) insert(t *Table, partition int32) *Rows {
	var r *Rows
	if free := s.free[t.ordinal]; len(free) > 0 {
		r = free[len(free)-1]
		s.free[t.ordinal] = free[:len(free)-1]
		r.partition = partition
	} else {
		r = NewRows(t, partition)
	}
	i, _ := s.search(t, partition)
	s.rows = slices.Insert(s.rows, i, r)
	s.recent[t.ordinal] = r
	return r
}

// search returns where in s.rows a table and partition is, or belongs.
func (s *Set) search(t *Table, partition int32) (int, bool) {
	return slices.BinarySearchFunc(s.rows, partition, func(r *Rows, partition int32) int {
		return cmp.Or(cmp.Compare(r.table.ordinal, t.ordinal), cmp.Compare(r.partition, partition))
	})
}
