package schema_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/spillway-io/spillway/schema"
)

// FuzzAppend holds that no body panics, and that one with an error leaves no trace.
func FuzzAppend(f *testing.F) {
	for i, r := range benchRequests(f, 20) {
		f.Add(uint8(i), r.body)
	}
	f.Fuzz(func(t *testing.T, signal uint8, body []byte) {
		add := []func(*schema.Set, []byte, schema.Origin) (schema.Count, error){
			(*schema.Set).AppendLogs, (*schema.Set).AppendTraces, (*schema.Set).AppendMetrics,
		}[signal%3]
		s := schema.NewSet()
		first, err := add(s, body, origin())
		before := blocks(t, s)
		if err != nil {
			if len(before) > 0 || first != (schema.Count{}) {
				t.Fatalf("%d blocks, %+v after %v", len(before), first, err)
			}
			return
		}
		// Once more, with an end that no message has.
		if _, err := add(s, append(body[:len(body):len(body)], 0), origin()); err == nil {
			t.Fatal("field number 0 was accepted")
		}
		if !slices.EqualFunc(before, blocks(t, s), bytes.Equal) {
			t.Fatal("a refused body left a trace")
		}
	})
}
