package schema

type traceTimeColumns struct {
	traceID    *strs
	start, end *numbers[uint32]
	day        *numbers[uint16]

	// The traces of the body being decoded, in the order of its rows here. Rows
	// of earlier bodies are left alone: they must survive a rollback.
	seen dictionary
}

// addTraceTime widens the time range of a trace on the day of one of its spans.
func (s *Set) addTraceTime(traceID []byte, at instant) {
	r := s.place(traceTimes, &at)
	c := &r.traceTimes
	row := r.before.rows + int(c.seen.index(traceID))
	if row < r.Len() {
		c.start.values[row] = min(c.start.values[row], at.seconds())
		c.end.values[row] = max(c.end.values[row], at.seconds())
		return
	}
	c.traceID.addHex(traceID)
	c.start.add(at.seconds())
	c.end.add(at.seconds())
	c.day.add(uint16(at.day()))
}
