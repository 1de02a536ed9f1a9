package otlp

import (
	"encoding/binary"
	"fmt"

	"github.com/spillway-io/spillway/forward"
)

// unmarked takes all markers out of a body that has one of a version that we do not read: what
// it covers is not known, and a guess could give a record the name of another. Such a body comes
// only from a peer that did not listen to what we announced; it is stored at least once. The
// body is as it was when there is no such marker.
func unmarked(body []byte) (plain []byte, unknown int, err error) {
	if !forward.HasMarker(body) {
		return body, 0, nil
	}
	type span struct{ from, to int }
	var markers []span
	for at := 0; at < len(body); {
		from := at
		tag, n := binary.Uvarint(body[at:])
		if n <= 0 {
			return nil, 0, errTag
		}
		rest, err := skip(body[at+n:], tag&7)
		if err != nil {
			return nil, 0, fmt.Errorf("[%d]%w", tag>>3, err)
		}
		at = len(body) - len(rest)
		if tag>>3 != forward.MarkerField {
			continue
		}
		markers = append(markers, span{from, at})
		_, length := binary.Uvarint(body[from+n:])
		payload := body[from+n+max(length, 0) : at]
		if m, _, err := forward.ParseMarker(body[from:]); err == nil {
			at += int(m.Length)
		} else if tag&7 == 2 && len(payload) > 0 && payload[0] != forward.MarkerVersion { // every version begins with it
			unknown++
		} else {
			return nil, 0, fmt.Errorf("record at byte %d: %w", from, err)
		}
	}
	if unknown == 0 {
		return body, 0, nil
	}
	at := 0
	for _, m := range markers {
		plain = append(plain, body[at:m.from]...)
		at = m.to
	}
	return append(plain, body[at:]...), unknown, nil
}
