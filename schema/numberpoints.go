package schema

// Fields of NumberDataPoint.
const (
	numberDouble     = 4<<3 | fixed64
	numberExemplars  = 5<<3 | delimited
	numberInt        = 6<<3 | fixed64
	numberAttributes = 7<<3 | delimited
	numberFlags      = 8<<3 | varint
)

// addNumber adds the row of one point of a gauge or sum. A point without a value
// has a row, with the value 0, only if its flags say so.
func (s *Set) addNumber(message []byte) error {
	p := s.newPoint()
	var valued bool
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
			p.value, valued = c.float(), true
		case numberInt:
			p.value, valued = float64(int64(c.value)), true
		case numberAttributes:
			c.check(s.attrs.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	if !valued && p.flags&noRecordedValue == 0 {
		s.count.Unstorable++
		return s.attrs.finish()
	}
	table := gauges
	if s.metric.kind == metricSum {
		table = sums
	}
	return s.addPoint(table, p, message, numberExemplars)
}

func boolean(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
