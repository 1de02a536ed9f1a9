package wal

import (
	"bytes"
	"testing"
)

// Whatever a file holds, each step goes forward, and not beyond the end.
func FuzzParseEntry(f *testing.F) {
	var b frameBuffer
	b.add(frame{typ: frameRecord, seq: 7, cumItems: 9, items: 2, meta: []byte("m"), data: []byte("data")}, payloadCRC([]byte("m"), []byte("data")))
	f.Add(append([]byte{byte(len(b.bytes))}, b.bytes...))
	f.Fuzz(func(t *testing.T, in []byte) {
		for len(in) > 0 {
			_, n, err := parseEntry(in)
			if err != nil {
				n = resync(in)
			}
			if n < 1 || n > max(1, len(in)) {
				t.Fatalf("step of %d in %d bytes", n, len(in))
			}
			in = in[min(n, len(in)):]
		}
	})
}

// A header that is taken is one that this code would have written.
func FuzzParseGenHeader(f *testing.F) {
	f.Add(genHeader{stream: Key{1, 2, 3}, lane: "logs"}.append(nil))
	f.Add(genHeader{lane: "", ends: []ending{{gen: 1, end: 2, records: 3, items: 4, stream: Key{5}}, {gen: 6}}}.append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := parseGenHeader(in)
		if err == nil && !bytes.Equal(h.append(nil), in) {
			t.Errorf("%x is read as %+v", in, h)
		}
	})
}
