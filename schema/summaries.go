package schema

// Fields of SummaryDataPoint.
const (
	summaryCount      = 4<<3 | fixed64
	summarySum        = 5<<3 | fixed64
	summaryQuantiles  = 6<<3 | delimited
	summaryAttributes = 7<<3 | delimited
	summaryFlags      = 8<<3 | varint
)

// noExemplars is a tag that no field has: summaries have none.
const noExemplars = 0

// addSummary adds the row of one SummaryDataPoint message.
func (s *Set) addSummary(message []byte) error {
	p := s.newPoint()
	c := walk(message)
	for c.next() {
		switch c.tag {
		case pointStart:
			p.start = c.value
		case pointTime:
			p.time = c.value
		case summaryFlags:
			p.flags = uint32(c.value)
		case summaryCount:
			p.count = c.value
		case summarySum:
			p.sum = c.float()
		case summaryQuantiles:
			c.check(p.openQuantile(c.bytes))
		case summaryAttributes:
			c.check(s.attrs.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	return s.addPoint(summaries, p, message, noExemplars)
}

// openQuantile decodes one ValueAtQuantile message.
func (p *pointRow) openQuantile(message []byte) error {
	const (
		quantileQuantile = 1<<3 | fixed64
		quantileValue    = 2<<3 | fixed64
	)
	var quantile, value float64
	c := walk(message)
	for c.next() {
		switch c.tag {
		case quantileQuantile:
			quantile = c.float()
		case quantileValue:
			value = c.float()
		}
	}
	p.quantiles = append(p.quantiles, quantile)
	p.quantileValues = append(p.quantileValues, value)
	return c.err
}
