package otlp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/spillway-io/spillway/forward"
)

// readers bounds the messages that gRPC is reading. It reads a message whole before anybody can say that there
// is no memory for it, and does not tell before how long it is: so as many are read at a time as fit if each is
// as long as it may be. What other streams send meanwhile stays within their windows.
type readers struct {
	slots   chan struct{}
	limiter *forward.Limiter

	// wait is how long a stream waits for its turn to be read.
	wait time.Duration
	// A message that is not whole by then is given up: after slow if nobody is left to read others, after late in
	// any case.
	slow, late time.Duration
}

const (
	// readShare is the part of the memory that messages may have while they are read: a half.
	readShare  = 2
	maxReaders = 128
)

// newReaders is for messages of up to size bytes.
func newReaders(l *forward.Limiter, size int) *readers {
	_, _, _, hard := l.Usage()
	n := max(1, min(maxReaders, hard/readShare/int64(size)))
	return &readers{slots: make(chan struct{}, n), limiter: l, wait: time.Second, slow: 5 * time.Second, late: time.Minute}
}

var (
	errNoReader = &forward.BusyError{After: time.Second, NotTaken: true, Err: fmt.Errorf("%w: more large requests at once than fit", forward.ErrMemory)}
	errTooSlow  = &forward.BusyError{After: time.Second, NotTaken: true, Err: errors.New("request took too long to arrive")}
)

// A received message is counted by the limiter until it is freed.
type received struct {
	raw
	size    int64
	limiter *forward.Limiter
}

func (m *received) free() {
	m.raw.free()
	m.limiter.Give(m.size)
	m.size = 0
}

// receive reads the message of a stream. An error is a BusyError, or a status of gRPC.
func (r *readers) receive(stream grpc.ServerStream) (*received, error) {
	if err := r.begin(stream.Context()); err != nil {
		return nil, err
	}
	type result struct {
		msg *received
		err error
	}
	read, gone := make(chan result), make(chan struct{})
	defer close(gone)
	go func() {
		defer func() { <-r.slots }()
		msg, err := r.read(stream)
		select {
		case read <- result{msg, err}:
		case <-gone:
			if err == nil {
				msg.free()
			}
		}
	}()
	begun, look := time.Now(), time.NewTimer(r.slow)
	defer look.Stop()
	for {
		select {
		case got := <-read:
			return got.msg, got.err
		case now := <-look.C:
			if len(r.slots) == cap(r.slots) || now.Sub(begun) >= r.late {
				return nil, errTooSlow // which ends the stream, and so the reading
			}
			look.Reset(r.slow)
		}
	}
}

func (r *readers) read(stream grpc.ServerStream) (*received, error) {
	m := &received{limiter: r.limiter}
	if err := stream.RecvMsg(&m.raw); err != nil {
		return nil, err
	}
	n := int64(m.in.Len())
	if err := r.limiter.Take(n); err != nil {
		m.raw.free()
		return nil, err
	}
	m.size = n
	return m, nil
}

// begin waits for a place among those that read.
func (r *readers) begin(ctx context.Context) error {
	select {
	case r.slots <- struct{}{}:
		return nil
	default:
	}
	wait := time.NewTimer(r.wait)
	defer wait.Stop()
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-wait.C:
		return errNoReader
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}
