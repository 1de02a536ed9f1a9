package lines

import (
	"math"
	"strconv"
	"time"
)

// timestamp fills in the time of the record, unless the line has none that can be understood. If
// its sender gave it a time, that is the record's, and another one of the line an attribute.
func (e *Encoder) timestamp(observed int64) {
	h, ok := e.line.take(slotTime)
	if !ok {
		return
	}
	var ns int64
	switch h.value.kind {
	case text:
		written := e.text(h.value)
		if ns, ok = e.minute.parse(written, e.zone); !ok {
			ns, ok = parseEpoch(written, observed)
		}
	case integer, float:
		ns, ok = parseEpoch(e.raw(h.value), observed)
	default:
		ok = false
	}
	switch {
	case ok && e.sent == 0:
		e.record.setTime(recordTime, ns)
	case !ok || ns != e.sent:
		e.keep(h)
	}
}

// Years that nanoseconds since the epoch can tell in an int64.
const (
	firstYear = 1970
	lastYear  = 2261
)

// A minute is one that was read before. Lines come in order, so the next is mostly the same.
type minute struct {
	text [len("2006-01-02T15:04")]byte
	unix int64 // as if it were UTC
}

// parse reads a date and time of ISO 8601 or RFC 3339 in nanoseconds since the epoch:
// 2006-01-02T15:04:05, with a space or a slash where that is common, any number of decimals
// behind a point or a comma, and Z, ±hh:mm, ±hhmm or ±hh. Without those it is in zone.
func (m *minute) parse(b []byte, zone *time.Location) (ns int64, ok bool) {
	if len(b) < len("2006-01-02T15:04:05") || b[16] != ':' {
		return 0, false
	}
	if m.text[0] == 0 || string(b[:len(m.text)]) != string(m.text[:]) {
		if m.unix, ok = parseMinute(b[:len(m.text)]); !ok {
			m.text[0] = 0
			return 0, false
		}
		copy(m.text[:], b)
	}
	second, ok := number(b[17:19])
	if !ok || second > 60 {
		return 0, false
	}
	rest := b[19:]
	var nanos int64
	if len(rest) > 0 && (rest[0] == '.' || rest[0] == ',') {
		n := digits(rest, 1)
		if n == 1 {
			return 0, false
		}
		nanos = fraction(rest[1:n], 9)
		rest = rest[n:]
	}
	if len(rest) > 1 && rest[0] == ' ' {
		rest = rest[1:]
	}
	offset := 0
	if len(rest) > 0 {
		offset, ok = parseOffset(rest)
	}
	unix := m.unix + int64(second-offset)
	if len(rest) == 0 && zone != time.UTC {
		at := time.Unix(unix, 0).UTC()
		unix = time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, zone).Unix()
	}
	return unix*1e9 + nanos, ok && unix >= 0
}

// parseMinute reads 2006-01-02T15:04 in seconds since the epoch, as if it were UTC.
func parseMinute(b []byte) (unix int64, ok bool) {
	if b[4] != b[7] || b[4] != '-' && b[4] != '/' || b[10]|0x20 != 't' && b[10] != ' ' || b[13] != ':' {
		return 0, false
	}
	year, ok1 := number(b[:4])
	month, ok2 := number(b[5:7])
	day, ok3 := number(b[8:10])
	hour, ok4 := number(b[11:13])
	minute, ok5 := number(b[14:16])
	if !(ok1 && ok2 && ok3 && ok4 && ok5) || year < firstYear || year > lastYear ||
		month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 {
		return 0, false
	}
	return int64(((days(year, month, day)*24+hour)*60 + minute) * 60), true
}

func daysIn(year, month int) int {
	return days(year, month+1, 1) - days(year, month, 1)
}

// days is the number of days from the epoch to a date of this calendar from 1970 on.
func days(year, month, day int) int {
	if month <= 2 { // years begin in March here, so that a leap day is the last one
		year, month = year-1, month+12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*month-457)/5 + day - 719469
}

// parseOffset reads the seconds that local time is ahead of UTC.
func parseOffset(b []byte) (seconds int, ok bool) {
	if len(b) == 1 {
		return 0, b[0]|0x20 == 'z'
	}
	sign := 1
	switch b[0] {
	case '-':
		sign = -1
	case '+':
	default:
		return 0, string(b) == "UTC"
	}
	b = b[1:]
	minutes := 0
	switch {
	case len(b) == 5 && b[2] == ':':
		minutes, ok = number(b[3:])
	case len(b) == 4:
		minutes, ok = number(b[2:])
	default:
		ok = len(b) == 2
	}
	if !ok {
		return 0, false
	}
	hours, ok := number(b[:2])
	return sign * (hours*3600 + minutes*60), ok && hours < 24 && minutes < 60
}

// number is the value of b, which is all digits if ok.
func number(b []byte) (v int, ok bool) {
	for _, c := range b {
		if c-'0' > 9 {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

// fraction is the value of the decimals b in units of 10^-digits; what is finer is cut off.
func fraction(b []byte, digits int) (v int64) {
	b = b[:min(len(b), digits)]
	for _, c := range b {
		v = v*10 + int64(c-'0')
	}
	return v * powers[digits-len(b)]
}

var powers = [...]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// tenYears is how far a number may be from the observed time, in nanoseconds, to be a time.
const tenYears = int64(10 * 365.25 * 24 * float64(time.Hour))

// parseEpoch reads a number of seconds, milliseconds, microseconds or nanoseconds since the
// epoch. Its size tells which, and it must come out near the observed time, if that is known.
func parseEpoch(b []byte, observed int64) (ns int64, ok bool) {
	end := digits(b, 0)
	if end == 0 {
		return 0, false
	}
	var decimals []byte
	if end < len(b) {
		n := end
		if b[end] == '.' {
			n = digits(b, end+1)
			decimals = b[end+1 : n]
		}
		if n < len(b) { // an exponent, or not a number
			v, err := strconv.ParseFloat(string(b), 64)
			if err != nil || !(v >= 1 && v < math.MaxInt64) {
				return 0, false
			}
			return parseEpoch(strconv.AppendFloat(make([]byte, 0, 32), v, 'f', -1, 64), observed)
		}
	}
	whole, ok := parseInt(b[:end])
	unit, places := int64(1), 0
	switch {
	case whole < 1e11:
		unit, places = 1e9, 9
	case whole < 1e14:
		unit, places = 1e6, 6
	case whole < 1e17:
		unit, places = 1e3, 3
	}
	if !ok || whole == 0 || whole >= math.MaxInt64/unit {
		return 0, false
	}
	ns = whole*unit + fraction(decimals, places)
	return ns, observed == 0 || ns-observed < tenYears && observed-ns < tenYears
}
