package forward

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-io/spillway/wal"
)

// ahead is by how much ClickHouse's clock is before ours in these tests.
const ahead = 24 * time.Hour

// there is a second on ClickHouse's clock, that long after the test began.
func there(begun time.Time, after time.Duration) uint32 { return Fence(begun.Add(ahead + after)) }

// A tried record is one marker of one attempt.
type tried struct {
	seq          uint64
	after, until uint32
}

// watcher is a far side that answers what it is told and keeps the markers of each attempt.
type watcher struct {
	mu      sync.Mutex
	answers func(n int, ctx context.Context, records []tried) error // nil: taken
	n       int
	tries   [][]tried
}

func (w *watcher) Put(ctx context.Context, b Batch) error {
	var records []tried
	for r, err := range Records(b.Body) {
		if err != nil {
			return err
		}
		records = append(records, tried{r.Marker.Seq, r.Marker.After, r.Marker.Until})
	}
	w.mu.Lock()
	w.tries = append(w.tries, records)
	n := w.n
	w.n++
	w.mu.Unlock()
	if w.answers == nil {
		return nil
	}
	return w.answers(n, ctx, records)
}

func (w *watcher) seen() [][]tried {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tries[:len(w.tries):len(w.tries)]
}

// fenced is a drain that knows what time it is, and sends records one by one.
func fenced(store *wal.Store, next Sink) *Drain {
	d := newDrain(store, next)
	d.Fences.Clock.Set(time.Now().Add(ahead), time.Now())
	d.Fences.Started = time.Now()
	d.Batch.SendBatchSize = 1
	return d
}

// A record is fresh until an attempt may have been taken, and from then on states until when.
func TestARecordIsFreshUntilItMayHaveBeenTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		store := openLog(t)
		answers := []error{
			&BusyError{NotTaken: true, Err: errors.New("full")},
			fmt.Errorf("%w: connection refused", ErrNotSent),
			errors.New("the connection broke"),
			&BusyError{NotTaken: true, Err: errors.New("too soon to say")},
			&BusyError{Err: errors.New("nobody knows")},
			nil,
		}
		out := &watcher{answers: func(n int, _ context.Context, _ []tried) error { return answers[n] }}
		d := fenced(store, out)
		putItems(t, store, 1, "x")
		d.runToEnd(t, store)
		tries := out.seen()
		if len(tries) != len(answers) {
			t.Fatalf("%d attempts", len(tries))
		}
		third, fifth := tries[2][0].until, tries[4][0].until
		for i, want := range []uint32{0, 0, 0, third, third, fifth} {
			if got := tries[i][0].after; got != want {
				t.Errorf("attempt %d: after %d, want %d", i+1, got, want)
			}
		}
		if want := there(begun, AttemptTime); tries[0][0].until != want {
			t.Errorf("the first attempt may last until %d, want %d", tries[0][0].until, want)
		}
	})
}

// What an earlier process left may have been sent just before its end: it waits for that, and new
// records do not wait for it.
func TestNewRecordsGoBeforeThoseThatMustWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		store := openLogAt(t, dir)
		for i := range 3 {
			putItems(t, store, 1, fmt.Sprint("old ", i))
		}
		store.CloseWrite()
		store.Close()
		time.Sleep(time.Minute)

		begun := time.Now()
		store = openLogAt(t, dir)
		out := &watcher{}
		d := fenced(store, out)
		done := make(chan error)
		go func() { done <- d.Run(t.Context()) }()
		time.Sleep(time.Second)
		putItems(t, store, 1, "new")
		synctest.Wait()
		if tries := out.seen(); len(tries) != 1 || tries[0][0].after != 0 {
			t.Fatalf("%v, want the new record, fresh", tries)
		}
		time.Sleep(AttemptTime + ClockError - time.Second - time.Millisecond)
		synctest.Wait()
		if len(out.seen()) != 1 {
			t.Fatal("old records went out too soon")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		tries := out.seen()
		if len(tries) != 4 {
			t.Fatalf("%d attempts, want three more", len(tries))
		}
		seqs := 0
		for _, try := range tries[1:] {
			seqs += 1 << try[0].seq
			if want := there(begun, AttemptTime+ClockError); try[0].after != want {
				t.Errorf("after %d, want %d", try[0].after, want)
			}
		}
		if seqs != 0b111 {
			t.Errorf("records %b", seqs)
		}
		putItems(t, store, 1, "newer")
		store.CloseWrite()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := len(out.seen()); n != 5 {
			t.Errorf("%d attempts in all", n)
		}
		store.Close()
	})
}

// Batches whose records may still be stored wait without keeping others from being sent.
func TestWaitingForAFenceKeepsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		out := &watcher{answers: func(n int, _ context.Context, records []tried) error {
			if records[0].seq < 4 && records[0].after == 0 {
				return errors.New("the connection broke")
			}
			return nil
		}}
		d := fenced(store, out)
		d.Retry.InitialInterval, d.Retry.MaxInterval = 10*time.Second, 10*time.Second
		for i := range 8 {
			putItems(t, store, 1, fmt.Sprint(i))
		}
		done := make(chan error)
		go func() { done <- d.Run(t.Context()) }()
		synctest.Wait()
		if n := len(out.seen()); n != 8 {
			t.Errorf("%d attempts while four batches wait, want all eight", n)
		}
		store.CloseWrite()
		if err := <-done; err != nil {
			t.Error(err)
		}
		store.Close()
	})
}

// One that stepped aside comes back when nothing else is to be sent.
func TestWhoStepsAsideComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		out := &watcher{answers: func(n int, _ context.Context, _ []tried) error {
			if n == 0 {
				return errors.New("the connection broke")
			}
			return nil
		}}
		d := fenced(store, out)
		d.Parallel = 1
		putItems(t, store, 1, "x")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		time.Sleep(time.Minute)
		if n := len(out.seen()); n != 2 {
			t.Errorf("%d attempts within a minute, want a second one", n)
		}
		cancel()
		<-done
		store.CloseWrite()
		store.Close()
	})
}

// A record that came from elsewhere may be there twice: it is looked for, and of two copies one is
// sent at a time.
func TestCopiesOfARecordWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		free := make(chan struct{})
		underWay, most := 0, 0
		var mu sync.Mutex
		out := &watcher{answers: func(int, context.Context, []tried) error {
			mu.Lock()
			underWay++
			most = max(most, underWay)
			mu.Unlock()
			<-free
			mu.Lock()
			defer mu.Unlock()
			underWay--
			return nil
		}}
		d := fenced(store, out)
		relayed := string(append(Marker{Stream: [16]byte{9}, Seq: 7, Length: 3, Items: 1}.Append(nil), "abc"...))
		putItems(t, store, 1, relayed)
		putItems(t, store, 1, relayed)
		done := make(chan error)
		go func() { done <- d.Run(t.Context()) }()
		for range 2 {
			synctest.Wait()
			free <- struct{}{}
		}
		store.CloseWrite()
		if err := <-done; err != nil {
			t.Error(err)
		}
		store.Close()
		if most != 1 {
			t.Errorf("%d copies were under way at once", most)
		}
		for _, try := range out.seen() {
			if try[0].after == 0 {
				t.Error("a record that was relayed was sent as if nobody else had it")
			}
		}
	})
}

// Copies that wait do not take the place that the first one needs to come back.
func TestCopiesDoNotWaitForThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		out := &watcher{answers: func(n int, _ context.Context, _ []tried) error {
			if n == 0 {
				return errors.New("the connection broke")
			}
			return nil
		}}
		d := fenced(store, out)
		relayed := string(append(Marker{Stream: [16]byte{9}, Seq: 7, Length: 3, Items: 1}.Append(nil), "abc"...))
		for range 3 * d.Parallel {
			putItems(t, store, 1, relayed)
		}
		d.runToEnd(t, store)
		if n := len(out.seen()); n != 3*d.Parallel+1 {
			t.Errorf("%d attempts", n)
		}
	})
}

// A parked record brings its fences along.
func TestAParkedRecordKeepsItsFences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t, "parked-logs")
		bad := func(records []tried) bool { return records[0].seq == 0 }
		out := &watcher{answers: func(_ int, _ context.Context, records []tried) error {
			if bad(records) {
				return errors.New("the connection broke")
			}
			return nil
		}}
		d := fenced(store, out)
		d.Parked = store.Lane("parked-logs")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		for i := range 20 {
			putItems(t, store, 1, fmt.Sprint(i))
			time.Sleep(2 * time.Second)
		}
		cancel()
		<-done
		var last tried
		for _, try := range out.seen() {
			if bad(try) {
				last = try[0]
			}
		}
		e, err := d.Parked.TryNext()
		if err != nil || e == nil {
			t.Fatalf("nothing is parked: %v", err)
		}
		m, _, err := ParseMarker(e.Data)
		if err != nil || m.After != last.until {
			t.Errorf("parked after %d, want %d: the end of its last attempt (%v)", m.After, last.until, err)
		}
		d.Parked.Ack(e)
		store.CloseWrite()
		store.Close()
	})
}

// A record is not to blame for looks that came too soon, or for a peer that was not there.
func TestOnlyWhatIsAboutARecordParksIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t, "parked-logs")
		looks := 0
		out := &watcher{answers: func(n int, _ context.Context, records []tried) error {
			switch {
			case records[0].seq > 0:
				return nil
			case records[0].after == 0:
				return errors.New("the connection broke")
			case Fence(time.Now().Add(ahead)) <= records[0].after:
				looks++
				return &BusyError{NotTaken: true, Err: errors.New("too soon to say")}
			}
			return nil
		}}
		d := fenced(store, out)
		d.Parked = store.Lane("parked-logs")
		d.Woken = func() <-chan struct{} { // somebody comes back every second
			c := make(chan struct{})
			time.AfterFunc(time.Second, func() { close(c) })
			return c
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		for i := range 30 {
			putItems(t, store, 1, fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		cancel()
		<-done
		if looks <= parkAfter {
			t.Errorf("%d looks, too few to tell", looks)
		}
		if n := d.Parked.Stats().Appended; n > 0 {
			t.Errorf("%d items were parked", n)
		}
		store.CloseWrite()
		store.Close()
	})
}

// The first batch of all learns what time it is, and goes out with fences.
func TestTheFirstBatchHasFences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		d := newDrain(store, nil)
		out := &watcher{answers: func(_ int, _ context.Context, records []tried) error {
			if records[0].until == 0 {
				d.Fences.Clock.Set(time.Now().Add(ahead), time.Now())
				return ErrUnfenced
			}
			return nil
		}}
		d.Next = out
		begun := time.Now()
		putItems(t, store, 8192, "x")
		d.runToEnd(t, store)
		if tries := out.seen(); len(tries) != 2 || tries[1][0].until != there(begun, AttemptTime) || tries[1][0].after != 0 {
			t.Errorf("%v", tries)
		}
		if time.Since(begun) != 0 {
			t.Errorf("took %s", time.Since(begun))
		}
	})
}

// A clock of another machine goes by the reading that was least delayed, and believes that it was
// set back only when no delay explains it.
func TestAClockGoesByWhatIsFurthestAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		at := func(want time.Duration) {
			t.Helper()
			now, ok := c.Now()
			if got := time.Until(now); !ok || got != want {
				t.Errorf("ahead by %s, want %s", got, want)
			}
			if here := c.Here(now); !here.Equal(time.Now()) {
				t.Errorf("here it is %s, want %s", here, time.Now())
			}
		}
		if _, ok := c.Now(); ok {
			t.Error("a clock that nobody has set tells the time")
		}
		ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
		c.Set(time.Now().Add(ahead-3*time.Second), ago(3*time.Second)) // the answer took three seconds
		at(ahead - 3*time.Second)
		c.Set(time.Now().Add(ahead), time.Now())
		at(ahead)
		// Answers that were long under way turn nothing back, however old the last good one is: what
		// was stated before would be taken for over.
		for range 3 {
			time.Sleep(10 * time.Minute)
			c.Set(time.Now().Add(ahead-25*time.Second), ago(25*time.Second))
			at(ahead)
		}
		c.Set(time.Now().Add(ahead+time.Hour), ago(time.Second)) // set forward there
		at(ahead + time.Hour)
		c.Set(time.Now().Add(ahead), ago(time.Minute)) // and back: within the minute that this took
		at(ahead + time.Minute)
		c.Set(time.Now().Add(ahead), ago(time.Second)) // within a second
		at(ahead + time.Second)
		c.Set(time.Now().Add(ahead), time.Now()) // close enough
		at(ahead + time.Second)
	})
}

// When ClickHouse's clock was set back, nobody waits until it is as late again as it was.
func TestAClockThatWasSetBackIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openLog(t)
		d := newDrain(store, nil)
		d.Fences.Clock.Set(time.Now().Add(ahead+time.Hour), time.Now())
		out := &watcher{answers: func(n int, _ context.Context, _ []tried) error {
			if n == 0 {
				time.Sleep(2 * time.Minute)
				d.Fences.Clock.Set(time.Now().Add(ahead), time.Now())
				return errors.New("the connection broke")
			}
			return nil
		}}
		d.Next = out
		putItems(t, store, 8192, "x")
		d.runToEnd(t, store)
		tries := out.seen()
		now := Fence(time.Now().Add(ahead))
		if after := tries[1][0].after; after < now || after > now+uint32((AttemptTime+ClockError)/time.Second) {
			t.Errorf("waits for %d, and it is %d", after, now)
		}
	})
}
