package otlp

import (
	"bytes"
	"testing"

	"github.com/spillway-io/spillway/forward"
)

// A body in which any marker is of a version that we do not read loses all of them and nothing else.
func TestUnknownMarkersAreTakenOut(t *testing.T) {
	record := []byte{0x0a, 0x02, 0x12, 0x00} // one resource with one scope
	known := append(forward.Marker{Stream: [16]byte{1}, Length: uint32(len(record)), Items: 0}.Append(nil), record...)
	newer := bytes.Clone(known)
	newer[3] = forward.MarkerVersion + 1
	longer := append([]byte{0xc2, 0x3e, 0x80 + 200 - 128, 1, forward.MarkerVersion + 1}, make([]byte, 199)...)
	longer = append(longer, record...)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, c := range map[string]struct {
		body, plain []byte
		unknown     int
	}{
		"none":            {record, record, 0},
		"known":           {join(known, known), join(known, known), 0},
		"newer":           {join(newer, newer), join(record, record), 2},
		"longer":          {longer, record, 1},
		"both":            {join(known, newer, known), join(record, record, record), 1},
		"in front only":   {join(newer, record), join(record, record), 1},
		"other fields":    {join(newer, []byte{0x7a, 0x01, 'x'}, record), join(record, []byte{0x7a, 0x01, 'x'}, record), 1},
		"nothing follows": {newer[:len(newer)-len(record)], nil, 1},
	} {
		plain, unknown, err := unmarked(c.body)
		if err != nil || unknown != c.unknown || !bytes.Equal(plain, c.plain) {
			t.Errorf("%s: %x, %d unknown, %v; want %x, %d", name, plain, unknown, err, c.plain, c.unknown)
		}
	}
	for name, body := range map[string][]byte{
		"cut":                     newer[:20],
		"cut behind":              join(newer, []byte{0x0a, 0x05, 0x00}),
		"of our version, shorter": join([]byte{0xc2, 0x3e, 2, forward.MarkerVersion, 0}, record),
		"covers too much":         known[:len(known)-1],
	} {
		if plain, _, err := unmarked(body); err == nil {
			t.Errorf("%s: %x", name, plain)
		}
	}
}
