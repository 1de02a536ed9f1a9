package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/schema"
)

// Time in these tests is synctest's, so the server is a script: a real one cannot be reached
// from fake time. engine_test.go has the same writer before the real engine.

type insertion struct {
	table string
	block []byte
	token string
	at    time.Time
}

type server struct {
	mu      sync.Mutex
	answers func(n int, block []byte) error
	tries   []insertion
	stored  []insertion
	clock   forward.Clock
	rows    map[unit]int     // that lookups find
	running map[string]int64 // by table: when the oldest INSERT began that is being executed
	asked   int              // lookups

	lookupTime         time.Duration // what a lookup takes
	atOnce, mostAtOnce int           // lookups
}

// The server's clock is a day ahead of ours.
const ahead = 24 * time.Hour

func (s *server) Clock() *forward.Clock { return &s.clock }

func (s *server) executing(context.Context) (executing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	s.atOnce++
	s.mostAtOnce = max(s.mostAtOnce, s.atOnce)
	s.mu.Unlock()
	time.Sleep(s.lookupTime)
	s.mu.Lock()
	s.atOnce--
	e := executing{now: forward.Fence(time.Now().Add(ahead)), since: make(map[*schema.Table]uint32)}
	for _, t := range schema.Tables() {
		if began, ok := s.running[t.Name()]; ok {
			e.since[t] = uint32(began)
		}
	}
	return e, nil
}

func (s *server) present(_ context.Context, t *schema.Table, sought []schema.Sought, found map[unit]int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for u, n := range s.rows {
		for _, r := range sought {
			if u.table == t && u.stream == r.Stream && u.seq >= r.First && u.seq <= r.Last {
				found[u] = n
			}
		}
	}
	return nil
}

func (s *server) insert(_ context.Context, t *schema.Table, block []byte, token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := insertion{t.Name(), bytes.Clone(block), token, time.Now()}
	n := len(s.tries)
	s.tries = append(s.tries, in)
	if s.answers != nil {
		if err := s.answers(n, block); err != nil {
			return err
		}
	}
	s.stored = append(s.stored, in)
	return nil
}

func newTestWriter(s *server) *Writer {
	l := forward.NewLimiter(1<<40, 1<<40, forward.Soft, time.Second, slog.New(slog.DiscardHandler))
	s.clock.Set(time.Now().Add(ahead), time.Now())
	w := newWriter(s, Config{Batch: DefaultBatchConfig(), Retry: forward.DefaultRetryConfig()}, l, forward.NewCounters(nil, "test"), slog.New(slog.DiscardHandler))
	w.Ready()
	return w
}

// logBatch is n log records whose bodies are all text.
func logBatch(n int, text string, marked bool) forward.Batch {
	scope := &logs.ScopeLogs{}
	for range n {
		scope.LogRecords = append(scope.LogRecords, &logs.LogRecord{TimeUnixNano: uint64(time.Now().UnixNano()),
			Body: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: text}}})
	}
	body, err := proto.Marshal(&logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{ScopeLogs: []*logs.ScopeLogs{scope}}}})
	if err != nil {
		panic(err)
	}
	if marked {
		body = append(forward.Marker{Stream: [16]byte{1}, Length: uint32(len(body)), Accepted: time.Now().UnixNano(), Items: uint32(n)}.Append(nil), body...)
	}
	return forward.Batch{Signal: forward.Logs, Items: n, Body: body}
}

// puts starts a Put for each batch and returns where its outcome will be.
func puts(ctx context.Context, w *Writer, batches ...forward.Batch) []chan error {
	var out []chan error
	for _, b := range batches {
		c := make(chan error, 1)
		go func() { c <- w.Put(ctx, b) }()
		out = append(out, c)
	}
	return out
}

// settle makes the signal busy: a lone request after a quiet second would leave at once.
func settle(w *Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.last {
		w.last[i] = time.Now().Add(time.Hour)
	}
}

func TestALoneRequestLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		w := newTestWriter(s)
		start := time.Now()
		if err := w.Put(t.Context(), logBatch(3, "x", true)); err != nil || time.Since(start) != 0 {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		// The next one comes within the quiet second, and waits for its end.
		if err := w.Put(t.Context(), logBatch(3, "x", true)); err != nil || time.Since(start) != quiet {
			t.Errorf("%v after %s, want %s", err, time.Since(start), quiet)
		}
		w.Close()
	})
}

// The ADR's merge: 10000 rows or 10 s.
func TestAMergeLeavesWhenItIsFullOrOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		w := newTestWriter(s)
		settle(w)
		start := time.Now()
		got := puts(t.Context(), w, logBatch(3000, "x", true), logBatch(3000, "x", true), logBatch(3000, "x", true), logBatch(1000, "x", true))
		for _, c := range got {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		if len(s.stored) != 1 || time.Since(start) != 0 {
			t.Errorf("%d blocks after %s, want one at once", len(s.stored), time.Since(start))
		}
		settle(w)
		got = puts(t.Context(), w, logBatch(5, "x", true), logBatch(5, "x", true))
		for _, c := range got {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		if len(s.stored) != 2 || time.Since(start) != 10*time.Second {
			t.Errorf("%d blocks after %s, want the second after 10 s", len(s.stored), time.Since(start))
		}
		w.Close()
	})
}

func TestACallerWithoutIdentityWaitsFiveSecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestWriter(&server{})
		settle(w)
		start := time.Now()
		if err := w.Put(t.Context(), logBatch(1, "x", false)); err != nil || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		w.Close()
	})
}

func TestAMergeLeavesBeforeItsFirstDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestWriter(&server{})
		w.latency.add(500 * time.Millisecond)
		settle(w)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		start := time.Now()
		patient := puts(t.Context(), w, logBatch(1, "x", true))
		hasty := puts(ctx, w, logBatch(1, "x", true))
		if err := errors.Join(<-hasty[0], <-patient[0]); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %s, want 4 s less twice the p99 of 500 ms", err, time.Since(start))
		}
		w.Close()
	})
}

// 5 s, then longer; every try with the same bytes and token; never past the callers' deadlines.
func TestAFailedInsertIsTriedAgainAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: func(n int, _ []byte) error {
			if n < 3 {
				return errors.New("connection reset")
			}
			return nil
		}}
		w := newTestWriter(s)
		if err := w.Put(t.Context(), logBatch(2, "x", true)); err != nil {
			t.Fatal(err)
		}
		if len(s.tries) != 4 {
			t.Fatalf("%d tries", len(s.tries))
		}
		base := 5 * time.Second
		for i := 1; i < 4; i++ {
			a, b := s.tries[i-1], s.tries[i]
			if a.token != b.token || !bytes.Equal(a.block, b.block) {
				t.Errorf("try %d sends something else", i)
			}
			if wait := b.at.Sub(a.at); wait < base/2 || wait > base*3/2 {
				t.Errorf("wait %d is %s, want %s ± 50 %%", i, wait, base)
			}
			base = base * 3 / 2
		}
		w.Close()
	})
}

func TestAServerThatIsDownIsBusyBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: func(int, []byte) error { return errors.New("refused") }}
		w := newTestWriter(s)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err := w.Put(ctx, logBatch(1, "x", true))
		if busy := forward.Busy(err); busy == nil || busy.NotTaken {
			t.Errorf("got %v, want busy, and not a word about nothing being taken", err)
		}
		if ctx.Err() != nil {
			t.Error("answered after the deadline")
		}
		w.Close()
	})
}

// One caller's row is poison: only that caller is refused, the others' rows are stored.
func TestAPoisonRowRefusesOnlyItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: func(_ int, block []byte) error {
			if bytes.Contains(block, []byte("POISON")) {
				return &driver.Exception{Code: 53, Name: "TYPE_MISMATCH"}
			}
			return nil
		}}
		w := newTestWriter(s)
		settle(w)
		got := puts(t.Context(), w, logBatch(2, "fine", true), logBatch(1, "POISON", true), logBatch(3, "also", true))
		for i, c := range got {
			err := <-c
			if refused := forward.Refused(err) != nil; refused != (i == 1) {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		if len(s.stored) != 2 {
			t.Errorf("%d blocks stored", len(s.stored))
		}
		w.Close()
	})
}

func TestRowsOfACallerWhoIsGoneAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		w := newTestWriter(s)
		settle(w)
		ctx, cancel := context.WithCancel(t.Context())
		gone := puts(ctx, w, logBatch(1, "GONE", true))
		stays := puts(t.Context(), w, logBatch(1, "stays", true))
		synctest.Wait()
		cancel()
		if err := <-stays[0]; err != nil {
			t.Error(err)
		}
		if busy := forward.Busy(<-gone[0]); busy == nil || !busy.NotTaken {
			t.Error("the one who left is not told that nothing was taken")
		}
		if len(s.stored) != 1 || bytes.Contains(s.stored[0].block, []byte("GONE")) {
			t.Errorf("%d blocks", len(s.stored))
		}
		w.Close()
	})
}

func TestPutWaitsForTheTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriter(&server{}, Config{Batch: DefaultBatchConfig(), Retry: forward.DefaultRetryConfig()},
			forward.NewLimiter(1<<40, 1<<40, forward.Soft, time.Second, slog.New(slog.DiscardHandler)), forward.NewCounters(nil, "test"), slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if busy := forward.Busy(w.Put(ctx, logBatch(1, "x", true))); busy == nil || !busy.NotTaken {
			t.Error("not told to wait")
		}
	})
}

func TestEachPartitionIsABlockOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		w := newTestWriter(s)
		settle(w)
		today := logBatch(2, "today", true)
		time.Sleep(24 * time.Hour)
		settle(w)
		tomorrow := logBatch(2, "tomorrow", true)
		for _, c := range puts(t.Context(), w, today, tomorrow) {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		var tables []string
		for _, in := range s.stored {
			tables = append(tables, in.table)
		}
		if fmt.Sprint(tables) != "[otel_logs otel_logs]" {
			t.Errorf("blocks %v", tables)
		}
		w.Close()
	})
}

// After "too many parts" blocks are fewer and larger for a while, and one at a time.
func TestAfterTooManyPartsBlocksAreLarger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: func(n int, _ []byte) error {
			if n == 0 {
				return &driver.Exception{Code: 252, Message: "Too many parts (3000)"}
			}
			return nil
		}}
		w := newTestWriter(s)
		if err := w.Put(t.Context(), logBatch(1, "x", true)); err != nil {
			t.Fatal(err)
		}
		if wait := s.tries[1].at.Sub(s.tries[0].at); wait < crowdedWait {
			t.Errorf("tried again after %s", wait)
		}
		start := time.Now()
		var all []forward.Batch
		for range patientFactor {
			all = append(all, logBatch(10_000, "x", true))
		}
		for _, c := range puts(t.Context(), w, all...) {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		if len(s.stored) != 2 || time.Since(start) != 0 {
			t.Errorf("%d blocks after %s, want one of all rows at once", len(s.stored)-1, time.Since(start))
		}
		time.Sleep(patience)
		for _, c := range puts(t.Context(), w, all...) {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		if n := len(s.stored) - 2; n < 2 {
			t.Errorf("%d blocks when patience is over", n)
		}
		w.Close()
	})
}

// A signal whose rows nobody takes must not keep the rows of the others out of memory.
func TestASignalWaitsForItsShareOfMemoryOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: func(int, []byte) error { return errors.New("refused") }}
		w := newTestWriter(s)
		w.limiter = forward.NewLimiter(1<<40, 4<<20, forward.Soft, time.Second, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		text := strings.Repeat("x", 1<<10)
		var told int
		for _, c := range puts(ctx, w, logBatch(1000, text, true), logBatch(1000, text, true), logBatch(1000, text, true)) {
			if busy := forward.Busy(<-c); busy != nil && busy.NotTaken && errors.Is(busy, forward.ErrMemory) {
				told++
			}
		}
		if told != 2 {
			t.Errorf("%d of 3 MiB were told that memory is short, want those beyond 2 MiB", told)
		}
		w.Close()
	})
}

// A table that is missing costs its callers one try, and then none until the wait is over.
func TestAHeldTableIsNotAskedAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: func(int, []byte) error { return &driver.Exception{Code: 60, Message: "no table"} }}
		w := newTestWriter(s)
		for range 5 {
			if busy := forward.Busy(w.Put(t.Context(), logBatch(1, "x", true))); busy == nil || busy.After == 0 {
				t.Errorf("%v, want to be told when to come back", busy)
			}
		}
		if len(s.tries) != 1 {
			t.Errorf("%d tries", len(s.tries))
		}
		s.answers = nil
		time.Sleep(time.Minute)
		if err := w.Put(t.Context(), logBatch(1, "x", true)); err != nil {
			t.Error(err)
		}
		w.Close()
	})
}

// A block that is too much for the server's memory is sent in halves.
func TestABlockThatIsTooHeavyIsHalved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: func(_ int, block []byte) error {
			if bytes.Count(block, []byte("heavy")) > 10 {
				return &driver.Exception{Code: 241, Message: "Memory limit exceeded"}
			}
			return nil
		}}
		w := newTestWriter(s)
		settle(w)
		for _, c := range puts(t.Context(), w, logBatch(10, "heavy", true), logBatch(10, "heavy", true)) {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		if len(s.stored) != 2 {
			t.Errorf("%d blocks", len(s.stored))
		}
		w.Close()
	})
}

// A block that may have been stored is never cut: its halves would have other tokens.
func TestABlockThatMayBeStoredIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answers: func(n int, _ []byte) error {
			switch n {
			case 0:
				return errors.New("connection reset")
			case 1, 2: // a third wait, at its longest, would be past the callers' deadline
				return &driver.Exception{Code: 241, Message: "Memory limit exceeded"}
			}
			return nil
		}}
		w := newTestWriter(s)
		settle(w)
		for _, c := range puts(t.Context(), w, logBatch(10, "x", true), logBatch(10, "x", true)) {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		for _, try := range s.tries {
			if try.token != s.tries[0].token {
				t.Error("sent under another token")
			}
		}
		w.Close()
	})
}

// Nobody's deadline is so late that the fence of a merge is beyond what the server can hold.
func TestAFarDeadlineHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTestWriter(&server{})
		settle(w)
		far, cancel := context.WithTimeout(t.Context(), 110*365*24*time.Hour)
		defer cancel()
		for _, c := range append(puts(far, w, logBatch(1, "far", true)), puts(t.Context(), w, logBatch(1, "usual", true))...) {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		w.Close()
	})
}

// Many records in one batch do not add up to what one of them may not take.
func TestRecordsDoNotMultiplyTheirGrowth(t *testing.T) {
	l := &logs.ResourceLogs{Resource: &resource.Resource{Attributes: []*common.KeyValue{{Key: "k", Value: str(strings.Repeat("x", 24<<10))}}},
		ScopeLogs: []*logs.ScopeLogs{{}}}
	const items = 2000
	for range items {
		l.ScopeLogs[0].LogRecords = append(l.ScopeLogs[0].LogRecords, &logs.LogRecord{})
	}
	record, err := proto.Marshal(&logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{l}})
	if err != nil {
		t.Fatal(err)
	}
	b := forward.Batch{Signal: forward.Logs}
	for seq := range 8 {
		b.Body = forward.Marker{Stream: [16]byte{1}, Seq: uint64(seq), Length: uint32(len(record)), Items: items}.Append(b.Body)
		b.Body = append(b.Body, record...)
		b.Items += items
	}
	set := schema.NewSet()
	_, err = newTestWriter(&server{}).decode(set, b, &caller{})
	if refused := forward.Refused(err); refused == nil || refused.Reason != forward.ReasonTooLarge || set.Bytes() > 2*growth*growthMin {
		t.Errorf("%d KiB became %d MiB: %v", len(b.Body)>>10, set.Bytes()>>20, err)
	}
}

func TestErrorsAreClassified(t *testing.T) {
	f := func(want class, code int32, message string) {
		t.Helper()
		err := fmt.Errorf("otel_logs: %w", &driver.Exception{Code: code, Message: message})
		if got := classify(err); got != want {
			t.Errorf("%d %s: %s, want %s", code, message, got, want)
		}
	}
	f(crowded, 252, "Too many parts (3000)")
	f(poison, 252, "Too many partitions for single INSERT block (more than 100)")
	f(fenced, 395, "fenced: while executing function throwIf")
	f(ambiguous, 395, "something else while pushing to view otel.v")
	f(ambiguous, 469, "violated constraint: while pushing to view otel.v")
	f(crowded, 252, "Too many parts (100001) in all partitions in total in table 'otel.otel_logs'")
	f(poison, 469, "violated constraint")
	f(config, 60, "no such table")
	f(ambiguous, 999, "keeper")
	f(ambiguous, 31337, "never heard of")
	f(config, 41, "Cannot parse datetime: while converting column `EventName` from type String to type DateTime")
	if classify(errors.New("EOF")) != ambiguous {
		t.Error("an error of the network is not ambiguous")
	}
	if !strings.Contains(look(&driver.Exception{Code: 60}).hint, "schema apply") {
		t.Error("no hint")
	}
}
