package lines_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/spillway-io/spillway/agent/lines"
)

// What an encoder has read before changes how fast it reads, and nothing else: lines in any
// order, whole, damaged and put together from two, are read as by an encoder that is new.
func TestLinesDoNotDependOnTheLinesBefore(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var corpus [][]byte
	for _, name := range []string{"testdata/structlog.log", "testdata/others.log"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			corpus = append(corpus, bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	pick := func() []byte { return bytes.Clone(corpus[random.IntN(len(corpus))]) }
	used := lines.NewEncoder(lines.Options{})
	add := func(e *lines.Encoder, line []byte) []byte {
		e.Begin(resource)
		e.Add(line, observed, observed, "stdout", false, false)
		body, _ := e.Finish()
		return body
	}
	last := pick()
	for range 20_000 {
		line := pick()
		switch random.IntN(5) {
		case 0:
			line = last // programs repeat themselves
		case 1: // a bit
			if len(line) > 0 {
				line[random.IntN(len(line))] ^= 1 << random.IntN(8)
			}
		case 2: // a part is missing
			from := random.IntN(len(line) + 1)
			line = append(line[:from:from], line[from+random.IntN(len(line)-from+1):]...)
		case 3: // goes on as another
			other := pick()
			line = append(line[:random.IntN(len(line)+1)], other[random.IntN(len(other)+1):]...)
		}
		got := bytes.Clone(add(used, line))
		if want := add(lines.NewEncoder(lines.Options{}), line); !bytes.Equal(got, want) {
			t.Fatalf("%q after %q:\n%x\nnot as alone:\n%x", line, last, got, want)
		}
		last = line
	}
}

// Of an id each digit counts, in its place.
func TestIDsAreReadToTheLastDigit(t *testing.T) {
	e := lines.NewEncoder(lines.Options{})
	for i := range 32 {
		for c := range 256 {
			id := []byte("0123456789abcdefABCDEF9876543210")
			id[i] = byte(c)
			want := isHex(id)
			e.Begin(resource)
			e.Add(append(append([]byte(`{"event": "x", "trace_id": "`), id...), `"}`...), observed, observed, "", false, false)
			r := decode1(t, e).ResourceLogs[0].ScopeLogs[0].LogRecords[0]
			if got := len(r.TraceId) == 16; got != want && c != '-' && c != '"' && c != '\\' && !(i == 1 && c|0x20 == 'x') {
				t.Fatalf("%q: read %v", id, got)
			}
		}
	}
}

func isHex(id []byte) bool {
	for _, c := range id {
		if !bytes.ContainsRune([]byte("0123456789abcdefABCDEF"), rune(c)) {
			return false
		}
	}
	return true
}
