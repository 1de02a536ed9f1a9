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

// pointColumns are the columns that rows of every kind of point have.
type pointColumns struct {
	name              *lowCard
	description, unit *strs
	attributes        *maps
	start, time       *numbers[uint32]
	flags             *numbers[uint32]
}

func bindPoints(r *Rows) *pointColumns {
	return &pointColumns{
		name:        must[*lowCard](r, "MetricName"),
		description: must[*strs](r, "MetricDescription"),
		unit:        must[*strs](r, "MetricUnit"),
		attributes:  must[*maps](r, "Attributes"),
		start:       must[*numbers[uint32]](r, "StartTimeUnix"),
		time:        must[*numbers[uint32]](r, "TimeUnix"),
		flags:       must[*numbers[uint32]](r, "Flags"),
	}
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
			m.name = c.bytes
		case metricDescription:
			m.description = c.bytes
		case metricUnit:
			m.unit = c.bytes
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

// pointHead is what every kind of point has beside its attributes.
type pointHead struct {
	start, time uint64
	flags       uint32
}

// The field numbers that the kinds of points agree on.
const (
	pointStart = 2<<3 | fixed64
	pointTime  = 3<<3 | fixed64
)

// noRecordedValue is the flag of a point that says that its series has ended.
const noRecordedValue = 1

// addPoint begins the row of a point, whose attributes are in s.attrs.
func (s *Set) addPoint(t *Table, p pointHead) *Rows {
	at := resolve(p.time, s.origin.Accepted)
	r := s.place(t, &at)
	at.note(&s.attrs)

	c := r.points
	c.name.add(s.metric.name)
	c.description.add(s.metric.description)
	c.unit.add(s.metric.unit)
	c.attributes.add(&s.attrs)
	c.start.add(seconds(p.start))
	c.time.add(at.seconds())
	c.flags.add(p.flags)
	s.count.Rows++
	return r
}
