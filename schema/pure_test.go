package schema_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/spillway-io/spillway/schema"
)

// The rows of a record are the same whenever they are made, over midnight and past what its times
// were checked against: else what is stored would not be found by who looks for it a day later.
func TestRowsAreTheSameADayLater(t *testing.T) {
	requests := benchRequests(t, 50)
	synctest.Test(t, func(t *testing.T) {
		accepted := time.Now().Add(24*time.Hour - time.Millisecond).UnixNano() // just before midnight
		odd := func(at time.Duration) request {
			return request{"logs", message{}.fixed64(1, uint64(accepted+int64(at))).in(), (*schema.Set).AppendLogs}
		}
		requests := append(requests, request{"logs", message{}.in(), (*schema.Set).AppendLogs},
			odd(24*time.Hour), odd(24*time.Hour+1), odd(25*time.Hour), odd(-400*24*time.Hour), odd(-80*365*24*time.Hour))
		var before map[string][]byte
		for range 2 {
			now := make(map[string][]byte)
			for i, r := range requests {
				s := schema.NewSet()
				if _, err := r.add(s, r.body, schema.Origin{Stream: "0123", Seq: uint64(i), Accepted: accepted}); err != nil {
					t.Fatal(err)
				}
				for rows := range s.Buckets() {
					var b proto.Buffer
					if err := schema.Encode(&b, fence, rows); err != nil {
						t.Fatal(err)
					}
					key := rows.Table().Name() + rows.PartitionDate()
					now[key] = append(now[key], b.Buf...)
				}
			}
			for key, block := range before {
				if !bytes.Equal(block, now[key]) {
					t.Errorf("%s differs", key)
				}
			}
			if before != nil && len(before) != len(now) {
				t.Errorf("%d partitions, and a day later %d", len(before), len(now))
			}
			before = now
			time.Sleep(25 * time.Hour)
		}
	})
}
