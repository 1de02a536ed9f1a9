package embedded

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/ClickHouse/ch-go/compress"
)

func isUnexpectedEOF(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }

func TestACutFrameIsNeverTakenForTheEnd(t *testing.T) {
	rng := newRand(t)
	for _, method := range []string{"LZ4", "ZSTD", "NONE"} {
		data := make([]byte, 3000)
		for i := range data {
			data[i] = byte(rng.IntN(4))
		}
		var body []byte
		ends := map[int]int{0: 0} // of frames, and how much data they complete
		w := newFrameWriter(method)
		for i, piece := range [][]byte{data[:1000], data[1000:1001], data[1001:]} {
			if err := compressFrames(w, piece, func(frame []byte) error { body = append(body, frame...); return nil }); err != nil {
				t.Fatal(err)
			}
			ends[len(body)] = []int{1000, 1001, 3000}[i]
		}
		for n := range len(body) + 1 {
			got, err := io.ReadAll(compress.NewReader(&wholeFrames{r: iotest.OneByteReader(bytes.NewReader(body[:n]))}))
			want, whole := ends[n]
			// ch-go's reader wraps the end of its input, so ReadAll gives it back.
			if whole && (!errors.Is(err, io.EOF) || !bytes.Equal(got, data[:want])) {
				t.Fatalf("%s, %d of %d bytes: %d bytes of data, %v", method, n, len(body), len(got), err)
			}
			if !whole && !isUnexpectedEOF(err) {
				t.Fatalf("%s, %d of %d bytes: %v, want %v", method, n, len(body), err, io.ErrUnexpectedEOF)
			}
		}
	}
}
