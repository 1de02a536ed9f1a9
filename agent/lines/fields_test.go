package lines_test

import (
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/spillway-io/spillway/agent/lines"
)

func TestTimesAreReadInEveryForm(t *testing.T) {
	second := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for written, want := range map[string]time.Time{
		`"2024-05-06T07:08:09Z"`:              second,
		`"2024-05-06t07:08:09z"`:              second,
		`"2024-05-06T07:08:09.1Z"`:            second.Add(100 * time.Millisecond),
		`"2024-05-06 07:08:09,123"`:           second.Add(123 * time.Millisecond),
		`"2024-05-06T07:08:09.1234567899Z"`:   second.Add(123456789),
		`"2024-05-06T09:08:09+02:00"`:         second,
		`"2024-05-06T09:08:09.5+0200"`:        second.Add(500 * time.Millisecond),
		`"2024-05-05T23:08:09 -08"`:           second,
		`"2024/05/06 07:08:09 UTC"`:           second,
		`"2024-05-06T07:08:09"`:               second,
		`"2024\u002d05-06T07:08:09"`:          second,
		`"2024-02-29T23:59:60Z"`:              time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC),
		`"1970-01-01T00:00:01Z"`:              time.Unix(1, 0),
		`"2261-12-31T23:59:59.999999999Z"`:    time.Date(2261, 12, 31, 23, 59, 59, 999999999, time.UTC),
		`1714979289`:                          second,
		`"1714979289"`:                        second,
		`1714979289.5`:                        second.Add(500 * time.Millisecond),
		`1714979289.123456789`:                second.Add(123456789),
		`1.714979289e9`:                       second,
		`1714979289123`:                       second.Add(123 * time.Millisecond),
		`1714979289123.25`:                    second.Add(123250 * time.Microsecond),
		`1714979289123456`:                    second.Add(123456 * time.Microsecond),
		`1714979289123456789`:                 second.Add(123456789),
		`17149792891234567890`:                {},
		`0`:                                   {},
		`-1714979289`:                         {},
		`1e99`:                                {},
		`1e-99`:                               {},
		`946684800`:                           {}, // 2000, more than ten years from the lines
		`99999999999`:                         {},
		`9999999999999`:                       {},
		`"2023-02-29T00:00:00Z"`:              {},
		`"1969-12-31T23:59:59Z"`:              {},
		`"1970-01-01T00:00:00+01:00"`:         {},
		`"2262-01-01T00:00:00Z"`:              {},
		`"2024-13-06T07:08:09Z"`:              {},
		`"2024-05-06T24:08:09Z"`:              {},
		`"2024-05-06T07:08:09.Z"`:             {},
		`"2024-05-06T07:08:09 CEST"`:          {},
		`"2024-05-06T07:08:09+2:00"`:          {},
		`"2024-05-06T07:08:09+02:60"`:         {},
		`"2024-05-06T07:08:0xZ"`:              {},
		`"2024-05-06"`:                        {},
		`"07:08:09"`:                          {},
		`"1714979289 seconds"`:                {},
		`""`:                                  {},
		`true`:                                {},
		`{"seconds": 1714979289, "nanos": 1}`: {},
	} {
		_, record := one(t, lines.Options{}, `{"event": "e", "timestamp": `+written+`}`)
		kept := attributes(t, record)["timestamp"] != nil
		if want.IsZero() {
			if record.TimeUnixNano != 0 || !kept {
				t.Errorf("%s became %s, kept: %v", written, time.Unix(0, int64(record.TimeUnixNano)).UTC(), kept)
			}
			continue
		}
		if got := time.Unix(0, int64(record.TimeUnixNano)).UTC(); !got.Equal(want) || kept {
			t.Errorf("%s became %s, want %s; kept: %v", written, got, want, kept)
		}
	}
}

func TestTimesWithoutAZoneAreInTheOneGiven(t *testing.T) {
	zone := time.FixedZone("", -3*3600)
	for written, want := range map[string]int64{"2024-05-06T07:08:09.5": 1714990089500, "2024-05-06T07:08:09.5Z": 1714979289500} {
		_, record := one(t, lines.Options{Zone: zone}, `{"timestamp": "`+written+`"}`)
		if got := int64(record.TimeUnixNano / 1e6); got != want {
			t.Errorf("%s became %d, want %d", written, got, want)
		}
	}
}

// Every day that can be written, against the calendar of package time.
func TestDatesAreThoseOfTheCalendar(t *testing.T) {
	e := lines.NewEncoder(lines.Options{})
	e.Begin(resource)
	var days []time.Time
	for day := time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC); day.Year() < 2262; day = day.AddDate(0, 0, 1) {
		days = append(days, day)
		e.Add(day.AppendFormat(nil, `{"event":"e","timestamp":"2006-01-02T15:04:05Z"}`), observed, observed, "", false, false)
	}
	for i, r := range decode1(t, e).ResourceLogs[0].ScopeLogs[0].LogRecords {
		if got := time.Unix(0, int64(r.TimeUnixNano)).UTC(); !got.Equal(days[i]) {
			t.Fatalf("%s became %s", days[i], got)
		}
	}
}

func TestLevelsHaveTheSeverityOfTheirName(t *testing.T) {
	for written, want := range map[string]int32{
		`"trace"`: 1, `"DEBUG"`: 5, `"Info"`: 9, `"notice"`: 9, `"msg"`: 9, `"warn"`: 13, `"WARNING"`: 13, `"error"`: 17,
		`"exception"`: 17, `"critical"`: 21, `"FATAL"`: 21, `"notset"`: 0, `"loud"`: 0, `""`: 0,
		`"INFO+2"`: 11, `"WARN-1"`: 12, `"ERROR+20"`: 24, `"DEBUG-9"`: 1, `"ERROR+"`: 0, `"+1"`: 0, `"info+x"`: 0, `"a very long name of a level"`: 0,
		"10": 1, "19": 1, "20": 5, "30": 9, "40": 13, "50": 17, "60": 21, "69": 21,
	} {
		_, record := one(t, lines.Options{}, `{"event": "e", "level": `+written+`}`)
		if got := int32(record.SeverityNumber); got != want || len(record.Attributes) > 0 {
			t.Errorf("%s is %d, want %d; %v", written, got, want, record.Attributes)
		}
	}
	for _, written := range []string{"9", "70", "-10", "30.5", "true", "[]", "1e1", "99999999999999999999"} {
		if _, record := one(t, lines.Options{}, `{"event": "e", "level": `+written+`}`); record.SeverityNumber != 0 || len(record.Attributes) != 1 {
			t.Errorf("%s is %d and %v, want an attribute", written, record.SeverityNumber, record.Attributes)
		}
	}
	for members, want := range map[string]string{
		`"level_number": 40`:                   `17 "" 0`,
		`"level_number": 50`:                   `21 "" 0`,
		`"level": "loud", "level_number": 30`:  `13 "loud" 0`,
		`"level": "info", "level_number": 20`:  `9 "info" 0`,
		`"level": "info", "level_number": 40`:  `9 "info" 1`,
		`"level": "info", "level_number": 5`:   `9 "info" 1`,
		`"level": "info", "severity": "error"`: `9 "info" 1`,
	} {
		_, record := one(t, lines.Options{}, `{"event": "e", `+members+`}`)
		if got := fmt.Sprintf("%d %q %d", record.SeverityNumber, record.SeverityText, len(record.Attributes)); got != want {
			t.Errorf("%s is %s, want %s", members, got, want)
		}
	}
}

func TestTraceIDsAreReadInEveryForm(t *testing.T) {
	const full, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for members, want := range map[string]string{ // trace, span, flags, attributes that stay
		`"trace_id": "` + full + `", "span_id": "` + span + `"`:                    full + " " + span + " 0 0",
		`"traceId": "0AF7651916CD43DD8448EB211C80319C"`:                            full + "  0 0",
		`"trace_id": "0Xaf7651916cd43dd8448eb211c80319c"`:                          full + "  0 0",
		`"trace_id": "8448eb211c80319c"`:                                           "00000000000000008448eb211c80319c  0 0",
		`"trace_id": "0af76519-16cd-43dd-8448-eb211c80319c", "trace_flags": "01"`:  full + "  1 0",
		`"trace_id": "\u0030af7651916cd43dd8448eb211c80319c", "trace_flags": true`: full + "  1 0",
		`"trace_id": "", "span_id": "", "trace_flags": "00"`:                       "  0 0",
		`"trace_id": "0", "span_id": "` + span + `", "trace_flags": 1`:             "  0 2",
		`"trace_id": "` + full + `0"`:                                              "  0 1",
		`"trace_id": "` + full + `", "span_id": "xyz"`:                             full + "  0 1",
		`"trace_id": "` + full + `", "trace_flags": 256`:                           full + "  0 1",
		`"trace_id": 12345`: "  0 1",
		`"span": {"trace_id": "` + full + `", "span_id": "` + span + `", "x": 1}`:     full + " " + span + " 0 1",
		`"span": {"trace_id": "` + full + `", "span_id": "no"}`:                       full + "  0 1",
		`"span": {"trace_id": "0"}`:                                                   "  0 1",
		`"span": {"name": "x"}`:                                                       "  0 1",
		`"trace_id": "` + full + `", "span": {"trace_id": "1"}`:                       full + "  0 1",
		`"traceparent": "00-` + full + `-` + span + `-01"`:                            full + " " + span + " 1 0",
		`"traceparent": "00-` + full + `-` + span + `-01", "span_id": "` + span + `"`: full + " " + span + " 1 1",
		`"traceparent": "00-` + full + `-xxad6b7169203331-01"`:                        "  0 1",
		`"traceparent": ""`: "  0 1",
		`"traceparent": "00-` + full + `-` + span + `-01", "trace_id": "` + full + `"`: full + "  0 1",
	} {
		_, r := one(t, lines.Options{}, `{"event": "e", `+members+`}`)
		got := fmt.Sprintf("%s %s %d %d", hex.EncodeToString(r.TraceId), hex.EncodeToString(r.SpanId), r.Flags, len(r.Attributes))
		if got != want {
			t.Errorf("%s\nis   %s\nwant %s", members, got, want)
		}
	}
}
