package lines

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Tags of the fields that are written: number<<3 | wire type. They are all of one byte.
const (
	requestResourceLogs = 1<<3 | byte(protowire.BytesType)

	resourceLogsResource  = 1<<3 | byte(protowire.BytesType)
	resourceLogsScopeLogs = 2<<3 | byte(protowire.BytesType)

	scopeLogsScope   = 1<<3 | byte(protowire.BytesType)
	scopeLogsRecords = 2<<3 | byte(protowire.BytesType)
	scopeName        = 1<<3 | byte(protowire.BytesType)

	resourceAttributes = 1<<3 | byte(protowire.BytesType)

	recordTime           = 1<<3 | byte(protowire.Fixed64Type)
	recordSeverityNumber = 2<<3 | byte(protowire.VarintType)
	recordSeverityText   = 3<<3 | byte(protowire.BytesType)
	recordBody           = 5<<3 | byte(protowire.BytesType)
	recordAttributes     = 6<<3 | byte(protowire.BytesType)
	recordDropped        = 7<<3 | byte(protowire.VarintType)
	recordFlags          = 8<<3 | byte(protowire.Fixed32Type)
	recordTraceID        = 9<<3 | byte(protowire.BytesType)
	recordSpanID         = 10<<3 | byte(protowire.BytesType)
	recordObservedTime   = 11<<3 | byte(protowire.Fixed64Type)

	entryKey   = 1<<3 | byte(protowire.BytesType) // of a KeyValue
	entryValue = 2<<3 | byte(protowire.BytesType)

	valueString = 1<<3 | byte(protowire.BytesType)
	valueBool   = 2<<3 | byte(protowire.VarintType)
	valueInt    = 3<<3 | byte(protowire.VarintType)
	valueDouble = 4<<3 | byte(protowire.Fixed64Type)
	valueArray  = 5<<3 | byte(protowire.BytesType)
	valueList   = 6<<3 | byte(protowire.BytesType)

	arrayValues = 1<<3 | byte(protowire.BytesType)
	listEntries = 1<<3 | byte(protowire.BytesType)
)

// begin starts a field whose length is not known yet. One byte is set aside for the length,
// which is nearly always enough; end moves the content when it is not.
func begin(dst []byte, tag byte) (out []byte, start int) {
	dst = append(dst, tag, 0)
	return dst, len(dst)
}

// end fills in the length of the field that began at start and goes to the end of dst.
func end(dst []byte, start int) []byte {
	n := len(dst) - start
	if n < 0x80 {
		dst[start-1] = byte(n)
		return dst
	}
	return endLong(dst, start)
}

func endLong(dst []byte, start int) []byte {
	n := len(dst) - start
	more := protowire.SizeVarint(uint64(n)) - 1
	dst = append(dst, make([]byte, more)...)
	copy(dst[start+more:], dst[start:start+n])
	binary.PutUvarint(dst[start-1:], uint64(n))
	return dst
}

// appendBytes appends a field of bytes.
func appendBytes[T []byte | string](dst []byte, tag byte, b T) []byte {
	if len(b) < 0x80 {
		dst = append(dst, tag, byte(len(b)))
	} else {
		dst = protowire.AppendVarint(append(dst, tag), uint64(len(b)))
	}
	return append(dst, b...)
}

// appendInt appends an int_value of an AnyValue.
func appendInt(dst []byte, v int64) []byte {
	return protowire.AppendVarint(append(dst, valueInt), uint64(v))
}

// appendDouble appends a double_value of an AnyValue.
func appendDouble(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, valueDouble), math.Float64bits(v))
}

// appendBool appends a bool_value of an AnyValue.
func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, valueBool, 1)
	}
	return append(dst, valueBool, 0)
}

// appendStringEntry appends a KeyValue with a string, as beginEntry and endEntry would, at once.
func appendStringEntry(dst []byte, tag byte, key, value []byte) []byte {
	inner := len(key) + len(value) + 8 // at most 127, then each length takes a byte
	if inner > 0x7f {
		dst, begun := beginEntry(dst, tag, key)
		return endEntry(appendBytes(dst, valueString, value), begun)
	}
	dst = append(dst, tag, byte(inner-2), entryKey, byte(len(key)))
	dst = append(dst, key...)
	dst = append(dst, entryValue, byte(len(value)+2), valueString, byte(len(value)))
	return append(dst, value...)
}

// An entry is a KeyValue under construction: where it and its value begin.
type entry struct{ start, value int }

// beginEntry starts a KeyValue. What is appended until endEntry is the content of its AnyValue;
// nothing is null.
func beginEntry(dst []byte, tag byte, key []byte) ([]byte, entry) {
	dst = append(dst, tag, 0)
	start := len(dst)
	dst = appendBytes(dst, entryKey, key)
	dst = append(dst, entryValue, 0)
	return dst, entry{start, len(dst)}
}

func endEntry(dst []byte, e entry) []byte { return end(end(dst, e.value), e.start) }
