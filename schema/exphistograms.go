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

// addExpHistogram adds the row of one ExponentialHistogramDataPoint message.
func (s *Set) addExpHistogram(message []byte) error {
	p := s.newPoint()
	var err error
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
			p.count = c.value
		case expSum:
			p.sum = c.float()
		case expMin:
			p.min = c.float()
		case expMax:
			p.max = c.float()
		case expScale:
			p.scale = c.zigzag()
		case expZeroCount:
			p.zeroCount = c.value
		case expPositive:
			p.positiveOffset, err = openBuckets(c.bytes, &p.positive)
			c.check(err)
		case expNegative:
			p.negativeOffset, err = openBuckets(c.bytes, &p.negative)
			c.check(err)
		}
	}
	if c.err != nil {
		return c.err
	}
	return s.addPoint(expHistograms, p, message, expExemplars)
}

// openBuckets decodes one Buckets message.
func openBuckets(message []byte, counts *[]uint64) (offset int32, err error) {
	const (
		bucketsOffset       = 1<<3 | varint
		bucketsCounts       = 2<<3 | varint
		bucketsCountsPacked = 2<<3 | delimited
	)
	*counts = (*counts)[:0] // of two, the last one counts
	c := walk(message)
	for c.next() {
		switch c.tag {
		case bucketsOffset:
			offset = c.zigzag()
		case bucketsCounts:
			*counts = append(*counts, c.value)
		case bucketsCountsPacked:
			c.check(eachVarint(c.bytes, func(v uint64) { *counts = append(*counts, v) }))
		}
	}
	return offset, c.err
}
