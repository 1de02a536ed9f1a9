package schema

import "math"

// Fields of HistogramDataPoint.
const (
	histogramCount        = 4<<3 | fixed64
	histogramSum          = 5<<3 | fixed64
	histogramCounts       = 6<<3 | fixed64
	histogramCountsPacked = 6<<3 | delimited
	histogramBounds       = 7<<3 | fixed64
	histogramBoundsPacked = 7<<3 | delimited
	histogramExemplars    = 8<<3 | delimited
	histogramAttributes   = 9<<3 | delimited
	histogramFlags        = 10<<3 | varint
	histogramMin          = 11<<3 | fixed64
	histogramMax          = 12<<3 | fixed64
)

// addHistogram adds the row of one HistogramDataPoint message.
func (s *Set) addHistogram(message []byte) error {
	p := s.newPoint()
	c := walk(message)
	for c.next() {
		switch c.tag {
		case pointStart:
			p.start = c.value
		case pointTime:
			p.time = c.value
		case histogramFlags:
			p.flags = uint32(c.value)
		case histogramCount:
			p.count = c.value
		case histogramSum:
			p.sum = c.float()
		case histogramMin:
			p.min = c.float()
		case histogramMax:
			p.max = c.float()
		case histogramCounts:
			p.counts = append(p.counts, c.value)
		case histogramBounds:
			p.bounds = append(p.bounds, c.float())
		case histogramCountsPacked:
			c.check(eachFixed64(c.bytes, func(v uint64) { p.counts = append(p.counts, v) }))
		case histogramBoundsPacked:
			c.check(eachFixed64(c.bytes, func(v uint64) { p.bounds = append(p.bounds, math.Float64frombits(v)) }))
		case histogramAttributes:
			c.check(s.attrs.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	return s.addPoint(histograms, p, message, histogramExemplars)
}
