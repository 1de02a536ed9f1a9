package schema

// Fields of NumberDataPoint.
const (
	numberDouble     = 4<<3 | fixed64
	numberExemplars  = 5<<3 | delimited
	numberInt        = 6<<3 | fixed64
	numberAttributes = 7<<3 | delimited
	numberFlags      = 8<<3 | varint
)

// numberColumns belong to gauges and sums; gauges lack the last two.
type numberColumns struct {
	value       *numbers[float64]
	exemplars   exemplarColumns
	temporality *numbers[int32]
	monotonic   *numbers[uint8]
}

func bindNumbers(r *Rows) *numberColumns {
	c := &numberColumns{
		value:     must[*numbers[float64]](r, "Value"),
		exemplars: bindExemplars(r),
	}
	c.temporality, _ = find[*numbers[int32]](r, "AggregationTemporality")
	c.monotonic, _ = find[*numbers[uint8]](r, "IsMonotonic")
	return c
}

// addNumber adds the row of one point of a gauge or sum. A point without a value
// has a row, with the value 0, only if its flags say so.
func (s *Set) addNumber(message []byte) error {
	var p pointHead
	var value float64
	var valued bool
	s.attrs.reset()
	c := walk(message)
	for c.next() {
		switch c.tag {
		case pointStart:
			p.start = c.value
		case pointTime:
			p.time = c.value
		case numberFlags:
			p.flags = uint32(c.value)
		case numberDouble:
			value, valued = c.float(), true
		case numberInt:
			value, valued = float64(int64(c.value)), true
		case numberAttributes:
			c.check(s.attrs.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	if err := s.attrs.finish(); err != nil {
		return err
	}
	if !valued && p.flags&noRecordedValue == 0 {
		s.count.Unstorable++
		return nil
	}
	table := gauges
	if s.metric.kind == metricSum {
		table = sums
	}
	to := s.addPoint(table, p).numbers
	to.value.add(value)
	if to.temporality != nil {
		to.temporality.add(s.metric.temporality)
		to.monotonic.add(boolean(s.metric.monotonic))
	}
	return s.addExemplars(message, numberExemplars, &to.exemplars)
}

func boolean(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
