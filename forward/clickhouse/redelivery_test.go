package clickhouse

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/schema"
)

// named is a batch of one record with fences: when its earlier attempts ended, and when this one
// does, from now. No earlier attempts: after is 0.
func named(seq uint64, rows int, after, until time.Duration) forward.Batch {
	b := logBatch(rows, fmt.Sprint("record ", seq), true)
	m, n, err := forward.ParseMarker(b.Body)
	if err != nil {
		panic(err)
	}
	m.Seq = seq
	now := time.Now().Add(ahead)
	if after != 0 {
		m.After = forward.Fence(now.Add(after))
	}
	m.Until = forward.Fence(now.Add(until))
	b.Body = append(m.Append(nil), b.Body[n:]...)
	return b
}

// rowsOf is how many rows a Native block says it has.
func rowsOf(block []byte) uint64 {
	_, n := binary.Uvarint(block)
	rows, _ := binary.Uvarint(block[n:])
	return rows
}

// fenceOf is a block's fence: the last column is.
func fenceOf(block []byte) uint32 { return binary.LittleEndian.Uint32(block[len(block)-4:]) }

// stream is what tables call the stream of these records.
var stream = forward.Marker{Stream: [16]byte{1}}.StreamID()

func logsTable() *schema.Table {
	for _, t := range schema.Tables() {
		if t.Signal() == "logs" {
			return t
		}
	}
	panic("no table of logs")
}

// have makes the server's lookups find rows of a record of today.
func (s *server) have(seq uint64, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows = make(map[unit]int)
	}
	s.rows[unit{logsTable(), stream, seq, int32(time.Now().Unix() / 86400)}] = rows
}

// A redelivery of what this process is storing waits for that, and is stored when it is.
func TestARedeliveryJoinsTheAttemptUnderWay(t *testing.T) {
	for _, good := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{}
			s.answers = func(n int, _ []byte) error {
				time.Sleep(3 * time.Second)
				if !good && n == 0 {
					return &driver.Exception{Code: 60} // no such table: certainly not stored
				}
				return nil
			}
			w := newTestWriter(s)
			first := puts(t.Context(), w, named(1, 3, 0, 15*time.Second))[0]
			time.Sleep(time.Second)
			again := puts(t.Context(), w, named(1, 3, 14*time.Second, 15*time.Second))[0]
			synctest.Wait()
			if n := len(s.tries); n != 1 {
				t.Fatalf("%d INSERTs while the first is under way", n)
			}
			if err := <-first; (err == nil) != good {
				t.Error(err)
			}
			err := <-again
			switch busy := forward.Busy(err); {
			case good && err != nil:
				t.Errorf("the first is stored, and the second hears %v", err)
			case !good && (busy == nil || !busy.NotTaken || busy.After < 9*time.Second):
				t.Errorf("it is too early to say, and the second hears %v", err)
			}
			if want := map[bool]int{true: 0, false: 1}[good]; s.asked != want {
				t.Errorf("asked the server %d times, want %d", s.asked, want)
			}
			w.Close()
		})
	}
}

// Many that come at once are two lookups: the first one's, and that of all who came meanwhile.
func TestRedeliveriesAreLookedUpTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{lookupTime: time.Second}
		w := newTestWriter(s)
		for seq := range 100 {
			s.have(uint64(seq), 3)
		}
		var batches []forward.Batch
		for seq := range 100 {
			batches = append(batches, named(uint64(seq), 3, -time.Minute, 15*time.Second))
		}
		for _, c := range puts(t.Context(), w, batches...) {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		if s.asked > 1+maxLookups {
			t.Errorf("asked the server %d times", s.asked)
		}
		if s.mostAtOnce > maxLookups {
			t.Errorf("%d lookups at once", s.mostAtOnce)
		}
		if len(s.tries) > 0 {
			t.Errorf("%d INSERTs of what was there", len(s.tries))
		}
		w.Close()
	})
}

// No INSERT begins after the earliest fence of its block, and the block says what that is.
func TestABlockHasTheEarliestFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: func(int, []byte) error { return &driver.Exception{Code: 242} }} // read-only: certainly not stored
		w := newTestWriter(s)
		settle(w)
		begun := time.Now()
		all := puts(t.Context(), w, named(1, 1, 0, 15*time.Second), named(2, 1, 0, 12*time.Second))
		synctest.Wait()
		w.Hurry()
		for _, c := range all {
			err := <-c
			if busy := forward.Busy(err); busy == nil || !busy.NotTaken {
				t.Errorf("%v, want that nothing was taken", err)
			}
		}
		for _, try := range s.tries {
			if try.at.Sub(begun) > 13*time.Second {
				t.Errorf("an INSERT %s after the first", try.at.Sub(begun))
			}
			if fence := fenceOf(try.block); fence != forward.Fence(begun.Add(ahead+12*time.Second)) {
				t.Errorf("fence %d", fence)
			}
		}
		if len(s.tries) < 2 {
			t.Errorf("%d tries", len(s.tries))
		}
		err := w.Put(t.Context(), named(3, 1, 0, -time.Second))
		if !errors.Is(err, errFence) || !forward.NotTaken(err) {
			t.Errorf("an attempt that was over when it came: %v", err)
		}
		w.Close()
	})
}

// After an error that leaves it open, the sender may not take the record for fresh.
func TestWhatMayBeStoredIsNotCalledUntaken(t *testing.T) {
	full := &driver.Exception{Code: 243} // certainly not stored
	for name, c := range map[string]struct {
		first    error // of the tries
		notTaken bool
	}{
		"not stored":        {full, true},
		"the network broke": {errors.New("the connection broke"), false},
		"nobody listens":    {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, true},
		"an unknown error":  {&driver.Exception{Code: 12345}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{answers: func(n int, _ []byte) error {
				if n == 0 {
					return c.first
				}
				return full
			}}
			w := newTestWriter(s)
			if err := w.Put(t.Context(), named(1, 1, 0, 15*time.Second)); forward.Busy(err) == nil || forward.NotTaken(err) != c.notTaken {
				t.Errorf("%s: %v", name, err)
			}
			w.Close()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newTestWriter(&server{answers: func(int, []byte) error { return &driver.Exception{Code: 241} }})
		if err := w.Put(t.Context(), named(1, 1, 0, 15*time.Second)); forward.Busy(err) == nil || forward.NotTaken(err) {
			t.Errorf("memory ran out: %v", err)
		}
		w.Close()
	})
}

// Somebody on the way sent the request before: it is only looked for, and nobody knows what
// becomes of the other one.
func TestWhatAProxyRepeatsIsOnlyLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		w := newTestWriter(s)
		b := named(1, 3, 0, 15*time.Second)
		b.Repeated = true
		if err := w.Put(t.Context(), b); forward.Busy(err) == nil || forward.NotTaken(err) {
			t.Errorf("not there: %v", err)
		}
		s.have(1, 3)
		if err := w.Put(t.Context(), b); err != nil {
			t.Errorf("there: %v", err)
		}
		if len(s.tries) > 0 {
			t.Error("stored")
		}
		w.Close()
	})
}

// Two copies in one request are one.
func TestACopyInTheSameRequestIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		w := newTestWriter(s)
		b := named(1, 3, -time.Minute, 15*time.Second)
		b.Body = append(b.Body, b.Body...)
		b.Items *= 2
		if err := w.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if len(s.stored) != 1 || rowsOf(s.stored[0].block) != 3 {
			t.Errorf("%d INSERTs", len(s.stored))
		}
		w.Close()
	})
}

// A gone sender's rows are not stored when they still wait, and its redelivery does not wait for them.
func TestASenderWhoLeftIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		w := newTestWriter(s)
		settle(w)
		ctx, leave := context.WithCancel(t.Context())
		first := puts(ctx, w, named(1, 3, 0, 15*time.Second))[0]
		synctest.Wait()
		leave()
		w.Hurry()
		if err := <-first; !forward.NotTaken(err) {
			t.Error(err)
		}
		if err := w.Put(t.Context(), named(1, 3, -time.Second, 15*time.Second)); err != nil {
			t.Error(err)
		}
		if len(s.stored) != 1 {
			t.Errorf("stored %d times", len(s.stored))
		}
		w.Close()
	})
}
