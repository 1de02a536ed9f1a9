package schema

// Fields of SummaryDataPoint.
const (
	summaryCount      = 4<<3 | fixed64
	summarySum        = 5<<3 | fixed64
	summaryQuantiles  = 6<<3 | delimited
	summaryAttributes = 7<<3 | delimited
	summaryFlags      = 8<<3 | varint
)

type summaryColumns struct {
	count            *numbers[uint64]
	sum              *numbers[float64]
	quantile, values *arrays[*numbers[float64]]
}

func bindSummaries(r *Rows) *summaryColumns {
	return &summaryColumns{
		count:    must[*numbers[uint64]](r, "Count"),
		sum:      must[*numbers[float64]](r, "Sum"),
		quantile: must[*arrays[*numbers[float64]]](r, "ValueAtQuantiles.Quantile"),
		values:   must[*arrays[*numbers[float64]]](r, "ValueAtQuantiles.Value"),
	}
}

// addSummary adds the row of one SummaryDataPoint message.
func (s *Set) addSummary(message []byte) error {
	var p pointHead
	var count uint64
	var sum float64
	s.attrs.reset()
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
			count = c.value
		case summarySum:
			sum = c.float()
		case summaryAttributes:
			c.check(s.attrs.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	if err := s.attrs.finish(); err != nil {
		return err
	}
	to := s.addPoint(summaries, p).summaries
	to.count.add(count)
	to.sum.add(sum)
	return to.addQuantiles(message)
}

func (to *summaryColumns) addQuantiles(message []byte) error {
	c := walk(message)
	for c.next() {
		if c.tag == summaryQuantiles {
			c.check(to.addQuantile(c.bytes))
		}
	}
	to.quantile.end()
	to.values.end()
	return c.err
}

func (to *summaryColumns) addQuantile(message []byte) error {
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
	to.quantile.elems.add(quantile)
	to.values.elems.add(value)
	return c.err
}
