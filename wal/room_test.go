package wal

import (
	"runtime"
	"testing"
	"unsafe"
	"weak"
)

// seen is an OS that notes where the bytes were that it was to write last.
type seen struct {
	OS
	frame weak.Pointer[byte]
}

func (s *seen) NewAppender(op, dir string) (Appender, error) {
	a, err := s.OS.NewAppender(op, dir)
	return &seenAppender{a, s}, err
}

type seenAppender struct {
	Appender
	s *seen
}

func (a *seenAppender) Append(entries [][]byte) error {
	a.s.frame = weak.Make(unsafe.SliceData(entries[0]))
	return a.Appender.Append(entries)
}

// A lane is idle most of the time, and there are many.
func TestAnIdleLaneKeepsNoBuffers(t *testing.T) {
	fs := new(seen)
	l := openStore(t, t.TempDir(), func(c *Config) { c.FS = fs }).Lane("logs")
	if err := l.Append(t.Context(), Record{Items: 1, Data: make([]byte, 1<<20)}); err != nil {
		t.Fatal(err)
	}
	read := func() weak.Pointer[byte] {
		e, err := l.TryNext()
		if e == nil || err != nil {
			t.Fatal(e, err)
		}
		defer l.Ack(e)
		return weak.Make(unsafe.SliceData(e.Data))
	}()
	if e, err := l.TryNext(); e != nil || err != nil {
		t.Fatal(e, err)
	}
	room := weak.Make(unsafe.SliceData(rooms.Get().(*room).bytes))
	runtime.GC()
	runtime.GC() // what pools hold goes with the second one
	for name, p := range map[string]weak.Pointer[byte]{"written": fs.frame, "copied": room, "read": read} {
		if p.Value() != nil {
			t.Errorf("the lane still holds the bytes that it has %s", name)
		}
	}
}
