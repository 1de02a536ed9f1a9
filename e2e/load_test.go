package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/spillway-io/spillway/e2e/kit"
)

// A load sends numbered log records and remembers which were acknowledged. A request that was
// not answered OK is never sent again: its numbers are unknown, and new ones take their place.
type load struct {
	t       testing.TB
	id      string
	conn    *grpc.ClientConn
	perCall int

	mu    sync.Mutex
	next  uint64
	acked []span
	lastE error
}

// A span of numbers, from inclusive, to exclusive.
type span struct{ from, to uint64 }

func newLoad(t testing.TB, addr, id string, perCall int) *load {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		// A machine that is busy may take a while to connect; who is not there says so at once.
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 5 * time.Second, Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.2, MaxDelay: 100 * time.Millisecond}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &load{t: t, id: id, conn: conn, perCall: perCall}
}

// run sends from that many callers until ctx is done; pause lies between a caller's requests.
func (l *load) run(ctx context.Context, callers int, pause time.Duration) {
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			client := logspb.NewLogsServiceClient(l.conn)
			for ctx.Err() == nil {
				ok := l.send(client)
				wait := pause
				if !ok {
					wait = max(wait, 20*time.Millisecond)
				}
				select {
				case <-ctx.Done():
				case <-time.After(wait):
				}
			}
		})
	}
	wg.Wait()
}

func (l *load) send(client logspb.LogsServiceClient) bool {
	l.mu.Lock()
	s := span{l.next, l.next + uint64(l.perCall)}
	l.next = s.to
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := client.Export(ctx, numbered(l.id, s))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.lastE = err
		return false
	}
	l.acked = append(l.acked, s)
	return true
}

func numbered(id string, s span) *logspb.ExportLogsServiceRequest {
	now := uint64(time.Now().UnixNano())
	records := make([]*logs.LogRecord, 0, s.to-s.from)
	for n := s.from; n < s.to; n++ {
		records = append(records, &logs.LogRecord{TimeUnixNano: now, SeverityNumber: 9, SeverityText: "info",
			Body:       kit.Text(fmt.Sprintf("record %d of the test", n)),
			Attributes: []*common.KeyValue{{Key: "test", Value: kit.Text(id)}, {Key: "n", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: int64(n)}}}}})
	}
	return &logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource:  &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: kit.Text("load")}}},
		ScopeLogs: []*logs.ScopeLogs{{LogRecords: records}}}}}
}

// lastError is what the last call that failed was told since forget.
func (l *load) lastError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastE
}

func (l *load) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastE = nil
}

func (l *load) ackedCount() (n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.acked {
		n += s.to - s.from
	}
	return n
}

// verify holds every acknowledged number against the table, and returns how many are lost and
// how many rows are there more than once.
func (l *load) verify(conn driver.Conn) (lost, duplicated uint64) {
	l.t.Helper()
	rows, err := conn.Query(context.Background(), `SELECT toUInt64(LogAttributes['n']) AS n, count() FROM otel_logs WHERE LogAttributes['test'] = ? GROUP BY n`, l.id)
	if err != nil {
		l.t.Fatal(err)
	}
	defer rows.Close()
	stored := make(map[uint64]uint64, l.next)
	for rows.Next() {
		var n, count uint64
		if err := rows.Scan(&n, &count); err != nil {
			l.t.Fatal(err)
		}
		stored[n] = count
		duplicated += count - 1
	}
	if err := rows.Err(); err != nil {
		l.t.Fatal(err)
	}
	for _, s := range l.acked {
		for n := s.from; n < s.to; n++ {
			if stored[n] == 0 {
				if lost++; lost <= 10 {
					l.t.Errorf("record %d was acknowledged and is not there", n)
				}
			}
		}
	}
	return lost, duplicated
}

// probe says whether the server takes requests.
func (l *load) probe() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := logspb.NewLogsServiceClient(l.conn).Export(ctx, &logspb.ExportLogsServiceRequest{})
	return err == nil
}
