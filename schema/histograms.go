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

// distribution is what both kinds of histogram sum up.
type distribution struct {
	count         uint64
	sum, min, max float64 // 0 where the sender gave none
}

type distributionColumns struct {
	count         *numbers[uint64]
	sum, min, max *numbers[float64]
	exemplars     exemplarColumns
	temporality   *numbers[int32]
}

func bindDistribution(r *Rows) distributionColumns {
	return distributionColumns{
		count:       must[*numbers[uint64]](r, "Count"),
		sum:         must[*numbers[float64]](r, "Sum"),
		min:         must[*numbers[float64]](r, "Min"),
		max:         must[*numbers[float64]](r, "Max"),
		exemplars:   bindExemplars(r),
		temporality: must[*numbers[int32]](r, "AggregationTemporality"),
	}
}

func (c *distributionColumns) add(d distribution, temporality int32) {
	c.count.add(d.count)
	c.sum.add(d.sum)
	c.min.add(d.min)
	c.max.add(d.max)
	c.temporality.add(temporality)
}

type histogramColumns struct {
	distributionColumns
	counts *arrays[*numbers[uint64]]
	bounds *arrays[*numbers[float64]]
}

func bindHistograms(r *Rows) *histogramColumns {
	return &histogramColumns{
		distributionColumns: bindDistribution(r),
		counts:              must[*arrays[*numbers[uint64]]](r, "BucketCounts"),
		bounds:              must[*arrays[*numbers[float64]]](r, "ExplicitBounds"),
	}
}

// addHistogram adds the row of one HistogramDataPoint message.
func (s *Set) addHistogram(message []byte) error {
	var p pointHead
	var d distribution
	s.attrs.reset()
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
			d.count = c.value
		case histogramSum:
			d.sum = c.float()
		case histogramMin:
			d.min = c.float()
		case histogramMax:
			d.max = c.float()
		case histogramAttributes:
			c.check(s.attrs.add(c.bytes))
		}
	}
	if c.err != nil {
		return c.err
	}
	if err := s.attrs.finish(); err != nil {
		return err
	}
	to := s.addPoint(histograms, p).histograms
	to.add(d, s.metric.temporality)
	if err := to.addBuckets(message); err != nil {
		return err
	}
	return s.addExemplars(message, histogramExemplars, &to.exemplars)
}

func (to *histogramColumns) addBuckets(message []byte) error {
	c := walk(message)
	for c.next() {
		switch c.tag {
		case histogramCounts:
			to.counts.elems.add(c.value)
		case histogramBounds:
			to.bounds.elems.add(c.float())
		case histogramCountsPacked:
			c.check(eachFixed64(c.bytes, to.counts.elems.add))
		case histogramBoundsPacked:
			c.check(eachFixed64(c.bytes, func(v uint64) { to.bounds.elems.add(math.Float64frombits(v)) }))
		}
	}
	to.counts.end()
	to.bounds.end()
	return c.err
}
