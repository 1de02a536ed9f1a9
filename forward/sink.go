package forward

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Sink takes batches over.
//
// Put returns nil when the batch is the Sink's responsibility and no longer the caller's.
// Any error but a *PartialError means that it still is the caller's: the same batch may be
// put again. A *RefusedError says that putting it again is pointless, a *BusyError that it
// should wait. After an error that is not NotTaken, what was put may have arrived all the same.
type Sink interface {
	Put(ctx context.Context, b Batch) error
}

// A BusyError says: wait, then put again.
type BusyError struct {
	After time.Duration // at least this long; 0: the caller's own back-off
	Err   error
	// NotTaken: nothing of the batch is stored, or will be, because of this attempt.
	NotTaken bool
}

func (e *BusyError) Error() string {
	if e.After == 0 {
		return "busy: " + e.Err.Error()
	}
	return fmt.Sprintf("busy, retry after %s: %v", e.After, e.Err)
}

func (e *BusyError) Unwrap() error { return e.Err }

// Reasons of a RefusedError and of a loss; metric labels, a closed set.
const (
	ReasonMalformed   = "malformed"   // the bytes are not OTLP
	ReasonTooLarge    = "too_large"   // one item is over a size limit
	ReasonRejected    = "rejected"    // the far side said no, for good
	ReasonUnstorable  = "unstorable"  // well-formed, but no table has a place for it
	ReasonUnsupported = "unsupported" // a signal or encoding we do not take
	ReasonEvicted     = "evicted"     // made room under when_full: drop_oldest
	ReasonCorrupt     = "corrupt"     // could not be read back from the log
)

// A RefusedError says: never. Putting the same bytes again gives the same answer.
type RefusedError struct {
	Reason   string
	Err      error
	NotTaken bool // as in a BusyError
}

func (e *RefusedError) Error() string { return fmt.Sprintf("refused (%s): %v", e.Reason, e.Err) }
func (e *RefusedError) Unwrap() error { return e.Err }

// A PartialError says: taken, but Items of it will never be stored. It is nil with a remark.
type PartialError struct {
	Items  int
	Reason string
	Err    error
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("taken, but %d items cannot be stored (%s): %v", e.Items, e.Reason, e.Err)
}

func (e *PartialError) Unwrap() error { return e.Err }

// ErrNotSent is inside an error of a batch of which not a byte went out.
var ErrNotSent = errors.New("not sent")

// ErrUnfenced says that nothing was sent because its markers have no fences, though the time that
// they are stated in is known by now: stamp them and put it again.
var ErrUnfenced = fmt.Errorf("%w: the markers have no fences", ErrNotSent)

// NotTaken says that after err nothing of the batch is stored, or will be, because of that attempt.
func NotTaken(err error) bool {
	if errors.Is(err, ErrNotSent) {
		return true
	}
	if busy := Busy(err); busy != nil {
		return busy.NotTaken
	}
	refused := Refused(err)
	return refused != nil && refused.NotTaken
}

// Refused returns the *RefusedError in err, or nil.
func Refused(err error) *RefusedError { return as[*RefusedError](err) }

// Busy returns the *BusyError in err, or nil.
func Busy(err error) *BusyError { return as[*BusyError](err) }

// Partial returns the *PartialError in err, or nil.
func Partial(err error) *PartialError { return as[*PartialError](err) }

func as[T error](err error) T {
	var e T
	errors.As(err, &e)
	return e
}
