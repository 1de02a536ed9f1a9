package schema

import "fmt"

// Fields of Metric.
const (
	metricName         = 1<<3 | delimited
	metricDescription  = 2<<3 | delimited
	metricUnit         = 3<<3 | delimited
	metricGauge        = 5<<3 | delimited
	metricSum          = 7<<3 | delimited
	metricHistogram    = 9<<3 | delimited
	metricExpHistogram = 10<<3 | delimited
	metricSummary      = 11<<3 | delimited
)

// Fields of Gauge, Sum, Histogram, ExponentialHistogram and Summary, as far as
// each has them.
const (
	dataPoints      = 1<<3 | delimited
	dataTemporality = 2<<3 | varint
	dataMonotonic   = 3<<3 | varint
)

// metric is a Metric but for its points, aliasing the request.
type metric struct {
	name, description, unit []byte
	kind                    uint32 // the tag of data; 0 if it has none that we know
	data                    []byte
	temporality             int32 // 1 is delta, 2 cumulative
	monotonic               bool
}

// addMetric adds a row for each point of one Metric message.
func (s *Set) addMetric(message []byte) error {
	if err := s.metric.open(message); err != nil {
		return err
	}
	var addPoint func([]byte) error
	switch s.metric.kind {
	case metricGauge, metricSum:
		addPoint = s.addNumber
	case metricHistogram:
		addPoint = s.addHistogram
	case metricExpHistogram:
		addPoint = s.addExpHistogram
	case metricSummary:
		addPoint = s.addSummary
	default:
		s.count.UnknownKinds++
		return nil
	}
	shared := s.header.bytes + len(s.metric.description) + len(s.metric.unit)
	c := walk(s.metric.data)
	for n := 0; c.next(); {
		if c.tag != dataPoints {
			continue
		}
		s.count.Items++
		if err := s.repeat(shared); err != nil {
			return err
		}
		if err := addPoint(c.bytes); err != nil {
			return fmt.Errorf("point %d: %w", n, err)
		}
		n++
	}
	return c.err
}

func (m *metric) open(message []byte) error {
	*m = metric{}
	c := walk(message)
	for c.next() {
		switch c.tag {
		case metricName:
			m.name = c.text()
		case metricDescription:
			m.description = c.text()
		case metricUnit:
			m.unit = c.text()
		case metricGauge, metricSum, metricHistogram, metricExpHistogram, metricSummary:
			m.kind, m.data = c.tag, c.bytes
		}
	}
	if c.err != nil {
		return c.err
	}
	// These come after the points that they are about.
	c = walk(m.data)
	for c.next() {
		switch c.tag {
		case dataTemporality:
			m.temporality = int32(c.value)
		case dataMonotonic:
			m.monotonic = c.value != 0
		}
	}
	return c.err
}

// pointRow is a point of any kind but for its exemplars, aliasing the request.
type pointRow struct {
	metric      *metric
	attributes  *attributes
	start, time uint64
	flags       uint32
	at          instant // made of time

	value float64 // of gauges and sums

	// Of histograms and summaries, as far as each has them; 0 where the sender gave none.
	count         uint64
	sum, min, max float64

	scale                          int32 // of exponential histograms
	zeroCount                      uint64
	positiveOffset, negativeOffset int32

	numberLists
}

// numberLists are a point's lists of numbers. Their memory is used for every point.
type numberLists struct {
	counts, positive, negative        []uint64  // of buckets
	bounds, quantiles, quantileValues []float64 // of histograms and summaries
}

func (l *numberLists) reset() {
	l.counts, l.positive, l.negative = l.counts[:0], l.positive[:0], l.negative[:0]
	l.bounds, l.quantiles, l.quantileValues = l.bounds[:0], l.quantiles[:0], l.quantileValues[:0]
}

func (l *numberLists) size() int {
	return 8 * (cap(l.counts) + cap(l.positive) + cap(l.negative) + cap(l.bounds) + cap(l.quantiles) + cap(l.quantileValues))
}

// newPoint returns an empty point of the metric at hand.
func (s *Set) newPoint() *pointRow {
	s.attrs.reset()
	p := &s.point
	p.numberLists.reset()
	*p = pointRow{metric: &s.metric, attributes: &s.attrs, numberLists: p.numberLists}
	return p
}

// The field numbers that the kinds of points agree on.
const (
	pointStart = 2<<3 | fixed64
	pointTime  = 3<<3 | fixed64
)

// noRecordedValue is the flag of a point that says that its series has ended.
const noRecordedValue = 1

// addPoint adds the row of a point and of its exemplars, which are its message's
// fields with that tag.
func (s *Set) addPoint(t *Table, p *pointRow, message []byte, exemplars uint32) error {
	if err := s.attrs.finish(); err != nil {
		return err
	}
	p.at = resolve(p.time, s.origin.Accepted)
	r := s.place(t, &p.at)
	p.at.note(&s.attrs)
	r.points.add(p)
	s.count.Rows++
	return s.addExemplars(message, exemplars, r)
}
