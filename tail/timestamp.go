package tail

import "time"

// parseTime reads an RFC 3339 time of any precision, as container runtimes write them. Other
// than time.Parse it does not allocate when the offset is not the local one. Digits beyond
// nanoseconds are dropped. The result is in UTC.
func parseTime(b []byte) (time.Time, bool) {
	const seconds = len("2006-01-02T15:04:05")
	if len(b) <= seconds || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return time.Time{}, false
	}
	var (
		year, ok1   = number(b[0:4], 0, 9999)
		month, ok2  = number(b[5:7], 1, 12)
		day, ok3    = number(b[8:10], 1, 31)
		hour, ok4   = number(b[11:13], 0, 23)
		minute, ok5 = number(b[14:16], 0, 59)
		second, ok6 = number(b[17:19], 0, 59)
	)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 {
		return time.Time{}, false
	}
	b = b[seconds:]
	nanos, b, ok := fraction(b)
	if !ok {
		return time.Time{}, false
	}
	offset, ok := zone(b)
	if !ok {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if t.Day() != day {
		return time.Time{}, false // the 31st of a shorter month
	}
	return t.Add(-offset), true
}

func number(b []byte, least, most int) (n int, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, least <= n && n <= most
}

// fraction reads ".123" as nanoseconds, and returns what stands behind it.
func fraction(b []byte) (nanos int, rest []byte, ok bool) {
	if b[0] != '.' {
		return 0, b, true
	}
	i := 1
	for scale := int(time.Second) / 10; i < len(b) && b[i] >= '0' && b[i] <= '9'; i, scale = i+1, scale/10 {
		nanos += int(b[i]-'0') * scale
	}
	return nanos, b[i:], i > 1
}

// zone reads "Z" or "+08:00".
func zone(b []byte) (time.Duration, bool) {
	if len(b) == 1 && b[0] == 'Z' {
		return 0, true
	}
	if len(b) != len("+08:00") || b[3] != ':' || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	hours, ok1 := number(b[1:3], 0, 23)
	minutes, ok2 := number(b[4:6], 0, 59)
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if b[0] == '-' {
		offset = -offset
	}
	return offset, ok1 && ok2
}
