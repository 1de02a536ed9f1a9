package schema

import (
	"math"
	"strconv"
	"time"
)

// Timestamps outside these bounds do not survive ClickHouse: a DateTime ends in
// 2106, and what lies before 1971 wraps around or was never set.
var (
	earliest = time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	latest   = time.Date(2105, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
)

// maxLead is how far ahead of its acceptance a row may claim to be from. A clock
// that is wrong by more would open partitions that no retention closes.
const maxLead = int64(24 * time.Hour)

// originalTimestamp names the attribute that keeps a timestamp we had to replace.
var originalTimestamp = []byte("spillway.original_timestamp")

// instant is a point in time that ClickHouse can hold, and what it replaces.
type instant struct {
	nanos    int64  // unix
	original uint64 // the timestamp that was out of bounds; 0 if none was
}

// resolve makes an instant of a timestamp in unix nanoseconds: one that was
// accepted if it is absent or out of bounds.
func resolve(nanos uint64, accepted int64) instant {
	switch {
	case nanos == 0:
		return instant{nanos: accepted}
	case nanos < uint64(earliest) || nanos > uint64(latest) || int64(nanos) > accepted+maxLead:
		return instant{nanos: accepted, original: nanos}
	default:
		return instant{nanos: int64(nanos)}
	}
}

// note puts the timestamp that was replaced, if any, among a row's attributes.
func (i instant) note(a *attributes) {
	if i.original == 0 {
		return
	}
	start := len(a.arena)
	a.arena = strconv.AppendUint(a.arena, i.original, 10)
	a.set(originalTimestamp, a.arena[start:len(a.arena):len(a.arena)])
}

// replaced is the instant moved to when it was accepted.
func (i instant) replaced(accepted int64) instant {
	if i.original == 0 {
		i.original = uint64(i.nanos)
	}
	return instant{nanos: accepted, original: i.original}
}

func (i instant) seconds() uint32 { return uint32(i.nanos / int64(time.Second)) }

// day is the number of days from 1970-01-01 to the instant's day.
func (i instant) day() int32 { return int32(i.nanos / int64(day)) }

// monday is the number of days from 1970-01-01, a Thursday, to the Monday of the
// instant's week.
func (i instant) monday() int32 {
	d := i.day()
	return d - (d+3)%7
}

// nanos is a timestamp that partitions nothing, as near as a DateTime64(9) can be.
func nanos(unix uint64) int64 { return int64(min(unix, math.MaxInt64)) }

// seconds is a timestamp that partitions nothing, as near as a DateTime can be.
func seconds(unix uint64) uint32 {
	return uint32(min(unix/uint64(time.Second), math.MaxUint32))
}
