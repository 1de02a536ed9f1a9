package wal

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"unsafe"

	tidwall "github.com/tidwall/wal"
	"golang.org/x/sys/unix"
)

// segmentName is what tidwall/wal calls the file that begins with index 1.
const segmentName = "00000000000000000001"

// NewAppender opens a tidwall log on an empty directory.
func (OS) NewAppender(_, dir string) (Appender, error) {
	log, err := tidwall.Open(dir, &tidwall.Options{
		NoSync:           true,              // we sync ourselves, once a group
		SegmentSize:      2 * maxGeneration, // never reached: one generation is one file
		SegmentCacheSize: 1,
		LogFormat:        tidwall.Binary,
		DirPerms:         dirPerm,
		FilePerms:        filePerm,
	})
	if err != nil {
		return nil, err
	}
	// tidwall's Sync holds the lock that its writes need, so syncing goes through a handle of its own.
	// It is opened before the first write, so that Linux reports every failed write-back to it.
	f, err := os.OpenFile(filepath.Join(dir, segmentName), os.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, filePerm)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	a := &tidwallAppender{log: log, file: f}
	a.tail, _ = tailOf(log)
	return a, nil
}

type tidwallAppender struct {
	log  *tidwall.Log
	file *os.File // the same file
	last uint64
	tail tail
}

// A room is memory for one group while it is written. Between groups nobody has it, so that it is
// garbage some time after the last one.
type room struct {
	batch  tidwall.Batch
	bytes  []byte
	places [][2]int
}

var rooms = sync.Pool{New: func() any { return new(room) }}

func (a *tidwallAppender) Append(entries [][]byte) error {
	r := rooms.Get().(*room)
	defer rooms.Put(r)
	r.batch.Clear()
	for _, e := range entries {
		a.last++
		r.batch.Write(a.last, e)
	}
	a.tail.lend(r)
	err := a.log.WriteBatch(&r.batch)
	a.tail.forget(r)
	return err
}

func (a *tidwallAppender) Sync() error { return a.file.Sync() }

func (a *tidwallAppender) Close() error { return errors.Join(a.log.Close(), a.file.Close()) }

// A tail is what tidwall keeps in memory of the file it writes.
type tail struct {
	bytes  *[]byte
	places *[][2]int // of the entries in bytes
}

// lend has what is written next copied into r.
func (t tail) lend(r *room) {
	if t.bytes != nil {
		*t.bytes, *t.places = r.bytes[:0], r.places[:0]
	}
}

// forget takes it back.
func (t tail) forget(r *room) {
	if t.bytes != nil {
		r.bytes, r.places = *t.bytes, *t.places
		*t.bytes, *t.places = nil, nil
	}
}

// tailOf finds the tail, which is the whole file so far, in a slice that append grows. Nobody reads through tidwall here, and emptying that slice after each write
// more than doubles what a lane can take in and saves the size of a generation in memory (docs/adr/0006).
// There is no exported way. ok is false when the library's types are not the ones known; then
// the copy stays, which costs memory and nothing else.
func tailOf(log *tidwall.Log) (t tail, ok bool) {
	segments := reflect.ValueOf(log).Elem().FieldByName("segments")
	if segments.Kind() != reflect.Slice || segments.Len() != 1 || segments.Index(0).Kind() != reflect.Pointer {
		return tail{}, false
	}
	segment := segments.Index(0).Elem()
	if segment.Kind() != reflect.Struct {
		return tail{}, false
	}
	ebuf, epos := segment.FieldByName("ebuf"), segment.FieldByName("epos")
	if !ebuf.IsValid() || ebuf.Type() != reflect.TypeFor[[]byte]() ||
		!epos.IsValid() || !isPairs(epos.Type()) {
		return tail{}, false
	}
	return tail{
		bytes:  (*[]byte)(unsafe.Pointer(ebuf.UnsafeAddr())),
		places: (*[][2]int)(unsafe.Pointer(epos.UnsafeAddr())),
	}, true
}

// isPairs says that t is laid out as [][2]int.
func isPairs(t reflect.Type) bool {
	if t.Kind() != reflect.Slice || t.Elem().Kind() != reflect.Struct || t.Elem().NumField() != 2 {
		return false
	}
	return t.Elem().Field(0).Type.Kind() == reflect.Int && t.Elem().Field(1).Type.Kind() == reflect.Int
}
