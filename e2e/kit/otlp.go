package kit

import (
	"encoding/binary"
	"math/rand/v2"

	common "go.opentelemetry.io/proto/otlp/common/v1"
)

// ID is a random id of n bytes, a multiple of 8. It is not zero.
func ID(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64()|1)
	}
	return b
}

// Attr is an attribute whose value is a string.
func Attr(k, v string) *common.KeyValue { return &common.KeyValue{Key: k, Value: Text(v)} }

// AttrInt is an attribute whose value is a number.
func AttrInt(k string, v int64) *common.KeyValue {
	return &common.KeyValue{Key: k, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: v}}}
}

// Text is a value that is a string.
func Text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}
