package lines

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// A record is a LogRecord under construction. Its attributes are written while a line is read,
// its other fields when their values are known.
type record struct {
	fields     []byte
	attributes []byte
	keys       keyset
	dropped    int
	severity   uint8
	leveled    bool         // severity text is set
	trace      traceContext // as set
}

func (r *record) reset() {
	r.fields, r.attributes = r.fields[:0], r.attributes[:0]
	r.keys, r.dropped, r.severity, r.leveled, r.trace = keyset{}, 0, 0, false, traceContext{}
}

// begin starts an attribute, in the place of an earlier one with this key. What is appended to
// attributes until end is the content of its AnyValue.
func (r *record) begin(key []byte) (begun entry) {
	r.admit(key, hash(key))
	r.attributes, begun = beginEntry(r.attributes, recordAttributes, key)
	return begun
}

// admit makes room for an attribute with that key and hash.
func (r *record) admit(key []byte, h uint) {
	if !r.keys.add(h) {
		var removed int
		r.attributes, removed = r.keys.remove(r.attributes, 0, key)
		r.dropped += removed
	}
}

func (r *record) end(begun entry) { r.attributes = endEntry(r.attributes, begun) }

// addString adds an attribute with a value that is UTF-8.
func addString[T []byte | string](r *record, key string, value T) {
	r.admit([]byte(key), hash([]byte(key)))
	r.attributes = appendStringEntry(r.attributes, recordAttributes, []byte(key), []byte(value))
}

// A ready attribute is one that is written already.
type ready struct {
	key   []byte
	hash  uint
	entry []byte
}

func newReady(key, value string) ready {
	k := []byte(key)
	return ready{k, hash(k), appendStringEntry(nil, recordAttributes, k, []byte(value))}
}

func (r *record) addReady(a ready) {
	r.admit(a.key, a.hash)
	r.attributes = append(r.attributes, a.entry...)
}

func (r *record) addInt(key string, value int64) {
	begun := r.begin([]byte(key))
	r.attributes = appendInt(r.attributes, value)
	r.end(begun)
}

func (r *record) addBool(key string, value bool) {
	begun := r.begin([]byte(key))
	r.attributes = appendBool(r.attributes, value)
	r.end(begun)
}

// setTime sets one of the two times, in nanoseconds since the epoch.
func (r *record) setTime(tag byte, ns int64) {
	r.fields = binary.LittleEndian.AppendUint64(append(r.fields, tag), uint64(ns))
}

// appendTo appends the record as a field of ScopeLogs.
func (r *record) appendTo(dst []byte) []byte {
	if r.severity > 0 {
		r.fields = append(r.fields, recordSeverityNumber, r.severity)
	}
	if r.dropped > 0 {
		r.fields = protowire.AppendVarint(append(r.fields, recordDropped), uint64(r.dropped))
	}
	dst = protowire.AppendVarint(append(dst, scopeLogsRecords), uint64(len(r.fields)+len(r.attributes)))
	return append(append(dst, r.fields...), r.attributes...)
}
