package schema

// Fields of ExponentialHistogramDataPoint.
const (
	expAttributes = 1<<3 | delimited
	expCount      = 4<<3 | fixed64
	expSum        = 5<<3 | fixed64
	expScale      = 6<<3 | varint
	expZeroCount  = 7<<3 | fixed64
	expPositive   = 8<<3 | delimited
	expNegative   = 9<<3 | delimited
	expFlags      = 10<<3 | varint
	expExemplars  = 11<<3 | delimited
	expMin        = 12<<3 | fixed64
	expMax        = 13<<3 | fixed64
)

type expHistogramColumns struct {
	distributionColumns
	scale              *numbers[int32]
	zeroCount          *numbers[uint64]
	positive, negative bucketColumns
}

type bucketColumns struct {
	offset *numbers[int32]
	counts *arrays[*numbers[uint64]]
}

func bindExpHistograms(r *Rows) *expHistogramColumns {
	return &expHistogramColumns{
		distributionColumns: bindDistribution(r),
		scale:               must[*numbers[int32]](r, "Scale"),
		zeroCount:           must[*numbers[uint64]](r, "ZeroCount"),
		positive: bucketColumns{
			offset: must[*numbers[int32]](r, "PositiveOffset"),
			counts: must[*arrays[*numbers[uint64]]](r, "PositiveBucketCounts"),
		},
		negative: bucketColumns{
			offset: must[*numbers[int32]](r, "NegativeOffset"),
			counts: must[*arrays[*numbers[uint64]]](r, "NegativeBucketCounts"),
		},
	}
}

// addExpHistogram adds the row of one ExponentialHistogramDataPoint message.
func (s *Set) addExpHistogram(message []byte) error {
	var p pointHead
	var d distribution
	var scale int32
	var zeroCount uint64
	var positive, negative []byte
	s.attrs.reset()
	c := walk(message)
	for c.next() {
		switch c.tag {
		case expAttributes:
			c.check(s.attrs.add(c.bytes))
		case pointStart:
			p.start = c.value
		case pointTime:
			p.time = c.value
		case expFlags:
			p.flags = uint32(c.value)
		case expCount:
			d.count = c.value
		case expSum:
			d.sum = c.float()
		case expMin:
			d.min = c.float()
		case expMax:
			d.max = c.float()
		case expScale:
			scale = c.zigzag()
		case expZeroCount:
			zeroCount = c.value
		case expPositive:
			positive = c.bytes
		case expNegative:
			negative = c.bytes
		}
	}
	if c.err != nil {
		return c.err
	}
	if err := s.attrs.finish(); err != nil {
		return err
	}
	to := s.addPoint(expHistograms, p).expHistograms
	to.add(d, s.metric.temporality)
	to.scale.add(scale)
	to.zeroCount.add(zeroCount)
	if err := to.positive.add(positive); err != nil {
		return err
	}
	if err := to.negative.add(negative); err != nil {
		return err
	}
	return s.addExemplars(message, expExemplars, &to.exemplars)
}

// add adds the row of one Buckets message.
func (to *bucketColumns) add(message []byte) error {
	const (
		bucketsOffset       = 1<<3 | varint
		bucketsCounts       = 2<<3 | varint
		bucketsCountsPacked = 2<<3 | delimited
	)
	var offset int32
	c := walk(message)
	for c.next() {
		switch c.tag {
		case bucketsOffset:
			offset = c.zigzag()
		case bucketsCounts:
			to.counts.elems.add(c.value)
		case bucketsCountsPacked:
			c.check(eachVarint(c.bytes, to.counts.elems.add))
		}
	}
	to.offset.add(offset)
	to.counts.end()
	return c.err
}
