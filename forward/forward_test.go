package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/spillway-io/spillway/wal"
)

// Time in these tests is synctest's: minutes pass in milliseconds. The log is real.

var quietLog = slog.New(slog.DiscardHandler)

// script is a Sink that answers what it is told, and remembers. It is the far side, which a
// test of time cannot reach over a network.
type script struct {
	mu      sync.Mutex
	answers func(n int, b Batch) error // n counts attempts from 0; nil: always taken
	n       int
	got     []Batch
	at      []time.Time
}

func (s *script) Put(_ context.Context, b Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Now())
	n := s.n
	s.n++
	if s.answers != nil {
		if err := s.answers(n, b); err != nil {
			return err
		}
	}
	b.Body = bytes.Clone(b.Body)
	s.got = append(s.got, b)
	return nil
}

func (s *script) items() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.got {
		n += b.Items
	}
	return n
}

// batches are those that arrived so far.
func (s *script) batches() []Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[:len(s.got):len(s.got)]
}

// attempts are the times of all tries so far.
func (s *script) attempts() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[:len(s.at):len(s.at)]
}

func openLog(t *testing.T, lanes ...string) *wal.Store {
	t.Helper()
	return openLogAt(t, t.TempDir(), lanes...)
}

func openLogAt(t *testing.T, dir string, lanes ...string) *wal.Store {
	t.Helper()
	s, err := wal.Open(wal.Config{Dir: dir, Lanes: append([]string{"logs", "traces", "metrics"}, lanes...), MaxBytes: 1 << 30, MinFreeBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testLimiter(hardMiB, softMiB int64) *Limiter {
	l := NewLimiter(hardMiB<<20, softMiB<<20, Hard, 100*time.Millisecond, quietLog)
	l.heap, l.held = func() int64 { return 0 }, func() int64 { return 0 }
	return l
}

func newDrain(store *wal.Store, next Sink) *Drain {
	retry := DefaultRetryConfig()
	return &Drain{Log: store.Lane("logs"), Signal: Logs, Next: next, Batch: DefaultBatchConfig(), Retry: retry, Parallel: 4,
		Circuit: NewCircuit(retry.MaxElapsedTime), Limiter: testLimiter(1536, 1280), Metrics: NewCounters(nil, "test"),
		DeadLetters: NewDeadLetters(store), Logger: quietLog, Fences: Fences{Clock: new(Clock)}, Claims: new(Claims)}
}

// drain runs d until the log has ended, and closes it.
func (d *Drain) runToEnd(t *testing.T, store *wal.Store) {
	t.Helper()
	if err := store.CloseWrite(); err != nil {
		t.Error(err)
	}
	if err := d.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

func putItems(t *testing.T, store *wal.Store, items int, body string) {
	t.Helper()
	if err := store.Lane("logs").Append(t.Context(), wal.Record{Items: items, Data: []byte(body)}); err != nil {
		t.Fatal(err)
	}
}

// The ADR's batch: 8192 items or 5 s.
func TestABatchLeavesWhenItIsFullOrOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		out := &script{}
		d := newDrain(store, out)
		done := make(chan error)
		go func() { done <- d.Run(t.Context()) }()

		start := time.Now()
		for range 9 {
			putItems(t, store, 1000, "a thousand items")
		}
		synctest.Wait()
		if len(out.batches()) != 1 || out.batches()[0].Items != 9000 || time.Since(start) != 0 {
			t.Fatalf("%d batches, the first with %d items, after %s; want 9000 items at once", len(out.batches()), out.items(), time.Since(start))
		}
		putItems(t, store, 3, "few")
		synctest.Wait()
		if len(out.batches()) != 1 {
			t.Fatal("a small batch left at once")
		}
		time.Sleep(5*time.Second - time.Millisecond)
		synctest.Wait()
		if len(out.batches()) != 1 {
			t.Fatal("a small batch left before 5 s")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if len(out.batches()) != 2 || out.batches()[1].Items != 3 {
			t.Fatalf("after 5 s: %d batches", len(out.batches()))
		}
		store.CloseWrite()
		if err := <-done; err != nil {
			t.Error(err)
		}
		store.Close()
	})
}

func TestABatchStaysBelowItsSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		out := &script{}
		d := newDrain(store, out)
		for range 10 {
			putItems(t, store, 1, strings.Repeat("x", 700<<10))
		}
		d.runToEnd(t, store)
		for _, b := range out.batches() {
			if len(b.Body) > 3<<20 {
				t.Errorf("batch of %d bytes", len(b.Body))
			}
		}
		if out.items() != 10 {
			t.Errorf("%d items", out.items())
		}
	})
}

// Each record of a batch is named by a marker and can be had alone.
func TestABatchCarriesItsRecordsIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		out := &script{}
		d := newDrain(store, out)
		foreign := append(Marker{Stream: [16]byte{9}, Seq: 77, Length: 3, Items: 1}.Append(nil), "old"...)
		putItems(t, store, 2, "first")
		putItems(t, store, 1, string(foreign))
		putItems(t, store, 3, "third")
		d.runToEnd(t, store)
		var got []string
		for r, err := range Records(out.batches()[0].Body) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%d:%d:%s", r.Marker.Seq, r.Marker.Items, r.Body))
		}
		if want := "0:2:first 77:1:old 2:3:third"; strings.Join(got, " ") != want {
			t.Errorf("got %q, want %q", got, want)
		}
		plain, err := AppendUnmarked(nil, out.batches()[0].Body)
		if err != nil || string(plain) != "firstoldthird" {
			t.Errorf("stripped: %q, %v", plain, err)
		}
	})
}

// 5 s, ×1.5, ±50 %, at most 30 s.
func TestRetryKeepsTheADRsIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		out := &script{answers: func(n int, _ Batch) error {
			if n < 12 {
				return errors.New("down")
			}
			return nil
		}}
		d := newDrain(store, out)
		putItems(t, store, 1, "x")
		d.runToEnd(t, store)
		base := 5 * time.Second
		for i := 1; i < len(out.attempts()); i++ {
			wait := out.attempts()[i].Sub(out.attempts()[i-1])
			if wait < base/2 || wait > base*3/2 {
				t.Errorf("wait %d is %s, want %s ± 50 %%", i, wait, base)
			}
			base = min(base*3/2, 30*time.Second)
		}
		if out.items() != 1 {
			t.Errorf("%d items", out.items())
		}
	})
}

func TestAServersHintIsKeptAndStretched(t *testing.T) {
	b := NewBackoff(DefaultRetryConfig())
	for range 100 {
		if w := b.After(&BusyError{After: time.Minute, Err: errors.New("x")}); w < time.Minute || w > 90*time.Second {
			t.Fatalf("a hint of 1m became %s", w)
		}
		if w := b.After(&BusyError{After: time.Hour, Err: errors.New("x")}); w > maxHint*3/2 {
			t.Fatalf("a hint of 1h became %s", w)
		}
	}
}

// Ten minutes without a collector: nothing is dropped, the circuit opens after 300 s and lets
// one try at a time through, and the data is delivered when the collector wakes us.
func TestEverythingArrivesOnceThroughALongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		back := time.Now().Add(10 * time.Minute)
		woken := make(chan struct{})
		time.AfterFunc(10*time.Minute, func() { close(woken) })
		var mu sync.Mutex
		inCall, most := 0, 0
		out := &script{answers: func(int, Batch) error {
			if time.Now().Before(back) {
				return errors.New("no collector")
			}
			return nil
		}}
		d := newDrain(store, sinkFunc(func(ctx context.Context, b Batch) error {
			open, _ := time.Now(), 0
			mu.Lock()
			inCall++
			if open.Sub(back.Add(-10*time.Minute)) > 320*time.Second && open.Before(back) {
				most = max(most, inCall)
			}
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			defer func() { mu.Lock(); inCall--; mu.Unlock() }()
			return out.Put(ctx, b)
		}))
		d.Batch.SendBatchSize = 1
		d.Woken = func() <-chan struct{} { return woken }
		for i := range 40 {
			putItems(t, store, 1, fmt.Sprint(i))
		}
		d.runToEnd(t, store)
		if out.items() != 40 || most != 1 {
			t.Errorf("%d items; %d tries at once while the circuit was open", out.items(), most)
		}
		if first := firstAfter(out.attempts(), back); first.Sub(back) > 2*time.Second {
			t.Errorf("first delivery %s after the collector was back", first.Sub(back))
		}
	})
}

// What ended a connection is one line, why there is no new one another, soon after it; then the
// lines of an outage become few.
func TestAnOutageSaysSoonWhyItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		start := time.Now()
		out := &script{answers: func(n int, _ Batch) error {
			switch {
			case n == 0:
				return errors.New("EOF")
			case time.Since(start) < 10*time.Minute:
				return errors.New("certificate has expired")
			}
			return nil
		}}
		d := newDrain(store, out)
		var said lines
		d.Logger = slog.New(slog.NewTextHandler(&said, nil))
		putItems(t, store, 1, "a")
		d.runToEnd(t, store)
		var at []time.Duration
		for _, l := range said.with("delivery fails") {
			at = append(at, l.time.Sub(start).Round(time.Second))
		}
		if len(at) < 5 || len(at) > 16 || at[1]-at[0] > 10*time.Second {
			t.Errorf("lines of ten minutes at %v", at)
		}
		if again := said.with("certificate has expired"); len(again) != len(at)-1 {
			t.Errorf("%d of %d lines say why it lasts", len(again), len(at))
		}
	})
}

// lines are those of a slog.TextHandler, which writes each at once.
type lines struct{ all []line }

type line struct {
	time time.Time
	text string
}

func (l *lines) Write(p []byte) (int, error) {
	l.all = append(l.all, line{time.Now(), string(p)})
	return len(p), nil
}

func (l *lines) with(text string) (found []line) {
	for _, one := range l.all {
		if strings.Contains(one.text, text) {
			found = append(found, one)
		}
	}
	return found
}

type sinkFunc func(context.Context, Batch) error

func (f sinkFunc) Put(ctx context.Context, b Batch) error { return f(ctx, b) }

func firstAfter(times []time.Time, t time.Time) time.Time {
	for _, at := range times {
		if !at.Before(t) {
			return at
		}
	}
	return time.Time{}
}

// One bad record among 64: found by halving, kept as a dead letter, and everything else arrives.
func TestOneRefusedRecordIsFoundAndSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		out := &script{answers: func(_ int, b Batch) error {
			if bytes.Contains(b.Body, []byte("<bad>")) {
				return &RefusedError{Reason: ReasonRejected, Err: errors.New("no")}
			}
			return nil
		}}
		d := newDrain(store, out)
		for i := range 64 {
			body := fmt.Sprintf("<%d>", i)
			if i == 37 {
				body = "<bad>"
			}
			putItems(t, store, 1, body)
		}
		d.runToEnd(t, store)
		letters, _ := filepath.Glob(filepath.Join(store.Dir(), "deadletter", "*.otlp"))
		if out.items() != 63 || len(letters) != 1 {
			t.Fatalf("%d items, %d dead letters", out.items(), len(letters))
		}
		letter, _ := os.ReadFile(letters[0])
		m, n, err := ParseMarker(letter)
		if err != nil || m.Seq != 37 || string(letter[n:]) != "<bad>" {
			t.Errorf("dead letter %q: %v", letter, err)
		}
		ledger, _ := os.ReadFile(filepath.Join(store.Dir(), "ledger.jsonl"))
		if !bytes.Contains(ledger, []byte(`"reason":"refused"`)) {
			t.Errorf("ledger %q", ledger)
		}
	})
}

// Everything refused looks like a fault of configuration: after five a minute nothing is given up.
func TestAStormOfRefusalsIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		fixed := time.Now().Add(20 * time.Second)
		out := &script{answers: func(int, Batch) error {
			if time.Now().Before(fixed) {
				return &RefusedError{Reason: ReasonRejected, Err: errors.New("misconfigured")}
			}
			return nil
		}}
		d := newDrain(store, out)
		for i := range 30 {
			putItems(t, store, 1, fmt.Sprint(i))
		}
		d.runToEnd(t, store)
		if out.items() != 30-deadLettersPerMinute {
			t.Errorf("%d items arrived, want all but %d", out.items(), deadLettersPerMinute)
		}
	})
}

// A record that keeps failing while others pass moves out of their way and arrives later.
func TestARecordThatKeepsFailingIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t, "parked-logs")
		healed := time.Now().Add(5 * time.Minute)
		out := &script{answers: func(_ int, b Batch) error {
			if bytes.Contains(b.Body, []byte("held")) && time.Now().Before(healed) {
				return &BusyError{Err: errors.New("its table is missing")}
			}
			return nil
		}}
		d := newDrain(store, out)
		d.Batch.SendBatchSize, d.Parked = 1, store.Lane("parked-logs")
		slow := newDrain(store, out)
		slow.Log, slow.Circuit, slow.Parallel, slow.Batch.SendBatchSize = d.Parked, d.Circuit, 1, 1
		done := make(chan error, 2)
		go func() { done <- d.Run(t.Context()) }()
		go func() { done <- slow.Run(t.Context()) }()
		putItems(t, store, 1, "held")
		for i := range 120 {
			putItems(t, store, 1, fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if st := store.Lane("logs").Stats(); st.Held != 0 {
			t.Errorf("%d items still hold their place in the lane", st.Held)
		}
		time.Sleep(10 * time.Minute)
		store.CloseWrite()
		<-done
		<-done
		store.Close()
		if out.items() != 121 {
			t.Errorf("%d items", out.items())
		}
	})
}

// The ADR's limiter: 1536 MiB, 256 MiB of spike, looked at every 100 ms.
func TestLimiterKeepsTheADRsNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hard, soft := LimiterConfig{LimitMiB: 1536, SpikeLimitMiB: 256, CheckInterval: 100 * time.Millisecond}.Limits(0)
		if hard != 1536<<20 || soft != 1280<<20 {
			t.Fatalf("hard %d, soft %d", hard>>20, soft>>20)
		}
		var heap int64
		var mu sync.Mutex
		setHeap := func(mib int64) { mu.Lock(); heap = mib << 20; mu.Unlock() }
		collected := 0
		withLog := NewLimiter(hard, soft, Hard, 100*time.Millisecond, quietLog)
		without := NewLimiter(hard, soft, Soft, 100*time.Millisecond, quietLog)
		for _, l := range []*Limiter{withLog, without} {
			l.heap = func() int64 { mu.Lock(); defer mu.Unlock(); return heap }
			l.gc = func() { mu.Lock(); collected++; mu.Unlock() }
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go withLog.Run(ctx)
		go without.Run(ctx)
		f := func(mib int64, pressure Pressure, withLogOK, withoutOK bool) {
			t.Helper()
			setHeap(mib)
			time.Sleep(101 * time.Millisecond)
			synctest.Wait()
			if withLog.Pressure() != pressure || (withLog.Take(0) == nil) != withLogOK || (without.Take(0) == nil) != withoutOK {
				t.Errorf("heap %d MiB: %s, %v, %v", mib, withLog.Pressure(), withLog.Take(0), without.Take(0))
			}
		}
		f(1279, Normal, true, true)
		f(1280, Soft, true, false)
		f(1535, Soft, true, false)
		if collected != 0 {
			t.Error("forced a collection below the hard limit")
		}
		f(1536, Hard, false, false)
		f(1000, Normal, true, true)

		setHeap(1600) // and collections do not help: they become rarer
		mu.Lock()
		collected = 0
		mu.Unlock()
		time.Sleep(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if collected < 2 || collected > 2*8 {
			t.Errorf("%d collections in ten minutes for two limiters", collected)
		}
	})
}

func TestWhatABurstLeftIsGivenBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1536<<20, 1280<<20, Hard, 100*time.Millisecond, quietLog)
		var heap atomic.Int64
		given := 0
		l.heap, l.held = heap.Load, heap.Load
		l.giveBack = func() { given++; heap.Store(20 << 20) }
		heap.Store(60 << 20)
		l.Charge(1)
		go l.Run(t.Context())
		time.Sleep(time.Minute)
		synctest.Wait()
		if given != 0 {
			t.Fatal("while something is taken the heap is somebody's")
		}
		l.Give(1)
		time.Sleep(calmFor + 2*quietInterval)
		synctest.Wait()
		if given != 1 {
			t.Fatalf("given back %d times", given)
		}
		heap.Add(calmHeld - 1)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if given != 1 {
			t.Fatalf("given back %d times for little", given)
		}
	})
}

// The collector is told to leave less garbage while nothing is taken, and what it found then is collected at once,
// but not each time that something trickles.
func TestCalmBeginsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testLimiter(1536, 1280)
		said := make(chan bool, 9)
		given := 0
		l.OnCalm(func(calm bool) { said <- calm })
		l.giveBack = func() { given++ }
		go l.Run(t.Context())
		hear := func(wait time.Duration, want ...bool) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			var heard []bool
			for len(said) > 0 {
				heard = append(heard, <-said)
			}
			if !slices.Equal(heard, want) {
				t.Fatalf("told %v, want %v", heard, want)
			}
		}
		hear(calmFor - quietInterval)
		hear(3*quietInterval, true)
		hear(10 * time.Minute)
		if given != 1 {
			t.Errorf("given back %d times in one calm", given)
		}
		for range 5 { // too short for a look at what is taken to see it
			if err := l.Take(1); err != nil {
				t.Fatal(err)
			}
			l.Give(1)
			hear(0, false)
			hear(calmFor - quietInterval)
			hear(3*quietInterval, true)
		}
		if given > 1+2 {
			t.Errorf("given back %d times, for a byte every %s", given, calmFor)
		}
		l.Charge(1)
		hear(10*time.Minute, false)
	})
}

func TestAnIdleDrainKeepsNoBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		var sent weak.Pointer[byte]
		d := newDrain(store, &script{answers: func(_ int, b Batch) error {
			sent = weak.Make(&b.Body[0])
			return nil
		}})
		done := make(chan error)
		go func() { done <- d.Run(t.Context()) }()
		putItems(t, store, 1, strings.Repeat("x", 1<<20))
		time.Sleep(2 * d.Batch.Timeout)
		synctest.Wait()
		if sent == (weak.Pointer[byte]{}) {
			t.Fatal("nothing was sent")
		}
		runtime.GC()
		runtime.GC() // what pools hold goes with the second one
		if sent.Value() != nil {
			t.Error("what was delivered is still in memory")
		}
		if err := store.CloseWrite(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		store.Close()
	})
}

func TestLimiterCountsExactly(t *testing.T) {
	l := testLimiter(10, 8)
	if err := l.Take(9 << 20); err != nil || l.Pressure() != Soft {
		t.Fatal(err, l.Pressure())
	}
	err := l.Take(1 << 20)
	if busy := Busy(err); busy == nil || !busy.NotTaken || busy.After == 0 {
		t.Errorf("got %v", err)
	}
	l.Give(9 << 20)
	if taken, _, _, _ := l.Usage(); taken != 0 || l.Take(1<<20) != nil {
		t.Errorf("%d bytes still counted", taken)
	}
}

func TestAFullLogIsBusyAndNothingIsTaken(t *testing.T) {
	store, err := wal.Open(wal.Config{Dir: t.TempDir(), Lanes: []string{"logs", "traces", "metrics"}, MaxBytes: 1 << 20, MinFreeBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	spool := NewSpool(store, ModeAlways, testLimiter(100, 80), NewCounters(nil, "test"))
	err = spool.Put(t.Context(), Batch{Signal: Logs, Items: 1, Body: make([]byte, 2<<20)})
	if busy := Busy(err); busy == nil || !busy.NotTaken || !errors.Is(err, wal.ErrFull) {
		t.Errorf("got %v", err)
	}
}

// Overflow: in memory while there is room, on disk under pressure and after a failed delivery.
func TestOverflowWritesOnlyUnderPressure(t *testing.T) {
	store := openLog(t)
	defer store.Close()
	l := testLimiter(100, 80)
	spool := NewSpool(store, ModeOverflow, l, NewCounters(nil, "test"))
	put := func() {
		t.Helper()
		if err := spool.Put(t.Context(), Batch{Signal: Logs, Items: 1, Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	put()
	put()
	if st := store.Lane("logs").Stats(); st.Deferred == 0 {
		t.Error("written without pressure")
	}
	l.Charge(90 << 20)
	put() // waits for its own write, which is behind the spill
	if st := store.Lane("logs").Stats(); st.Deferred != 0 || st.Held != 3 {
		t.Errorf("under pressure: %+v", st)
	}
}

func TestMarkersSurviveGarbage(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	m := Marker{Stream: [16]byte{1, 2, 3}, Seq: 1 << 60, Length: 5, Accepted: -3, Items: 9, CumItems: 1 << 50}
	body := append(m.Append(nil), "hello"...)
	got, n, err := ParseMarker(body)
	if err != nil || n != MarkerSize || got != m {
		t.Fatalf("%+v, %d, %v", got, n, err)
	}
	for range 10000 {
		bad := bytes.Clone(body)
		bad[r.IntN(len(bad))] = byte(r.Uint32())
		for rec, err := range Records(bad[:r.IntN(len(bad)+1)]) {
			if err == nil && len(rec.Body) > len(bad) {
				t.Fatal("invented bytes")
			}
		}
	}
}
