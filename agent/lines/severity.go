package lines

import (
	"bytes"
	"strconv"
)

// Severity numbers of OTLP: each name has four, of which the first is its own.
const (
	severityTrace = 1
	severityDebug = 5
	severityInfo  = 9
	severityWarn  = 13
	severityError = 17
	severityFatal = 21
	severityMax   = 24
)

// severity fills in severity number and text. It returns whether the level is written as in
// pino, bunyan or python-json-logger, whose name is that of a logger.
func (e *Encoder) severity() (namesLogger bool) {
	r := &e.record
	if level, ok := e.line.take(slotLevel); ok {
		namesLogger = level.rank == e.keys.levelname || level.value.kind == integer
		switch level.value.kind {
		case text:
			name := e.text(level.value)
			r.severity = severityOf(name)
			r.setLevel(name)
		case integer:
			digits := e.raw(level.value)
			if r.severity = severityOfTens(digits, 60); r.severity == 0 {
				e.keep(level)
				break
			}
			r.setLevel(digits)
		default:
			e.keep(level)
		}
	}
	if number, ok := e.line.take(slotLevelNumber); ok {
		severity := uint8(0)
		if number.value.kind == integer {
			severity = severityOfTens(e.raw(number.value), 50)
		}
		switch {
		case r.leveled && r.severity == 0 && string(e.raw(number.value)) == "0": // Python's NOTSET
		case severity == 0, r.severity != 0 && r.severity != severity:
			e.keep(number)
		default:
			r.severity = severity
		}
	}
	return namesLogger
}

// setLevel sets the severity text, which is UTF-8.
func (r *record) setLevel(name []byte) {
	r.fields = appendBytes(r.fields, recordSeverityText, name)
	r.leveled = true
}

// severityOfTens is the severity number of a level that counts in tens up to fatal: 60 in pino
// and bunyan, which begin with trace, 50 in Python, which begins with debug. 0 if it is none.
func severityOfTens(digits []byte, fatal int64) uint8 {
	v, ok := parseInt(digits)
	if !ok || v < 10 || v >= fatal+10 {
		return 0
	}
	return uint8(severityFatal - 4*((fatal-v/10*10)/10))
}

// severityOf is the severity number of a level's name, in any case, and with slog's offset, as
// in INFO+2. 0 if it is unknown.
func severityOf(name []byte) uint8 {
	base := severityOfName(name)
	if base > 0 {
		return base
	}
	i := bytes.IndexAny(name, "+-")
	if i <= 0 || len(name)-i > 3 {
		return 0
	}
	offset, err := strconv.Atoi(string(name[i:]))
	if base = severityOfName(name[:i]); base == 0 || err != nil {
		return 0
	}
	return uint8(min(max(int(base)+offset, 1), severityMax))
}

func severityOfName(name []byte) uint8 {
	var lower [16]byte
	if len(name) > len(lower) {
		return 0
	}
	for i, c := range name {
		if c-'A' < 26 {
			c |= 0x20
		}
		lower[i] = c
	}
	switch string(lower[:len(name)]) {
	case "info", "information", "notice", "msg", "http":
		return severityInfo
	case "debug", "verbose", "dbug":
		return severityDebug
	case "warning", "warn":
		return severityWarn
	case "error", "err", "eror", "exception":
		return severityError
	case "critical", "crit", "fatal", "panic", "dpanic", "alert", "emerg", "emergency":
		return severityFatal
	case "trace", "silly":
		return severityTrace
	}
	return 0
}
