package otlp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spillway-io/spillway/forward"
)

// What a sink says, a client hears over both protocols, and our own sender understands it.
func TestAnswers(t *testing.T) {
	what := errors.New("so")
	for _, c := range []struct {
		err      error
		code     codes.Code
		http     int
		after    time.Duration // over HTTP
		verdict  verdict
		notTaken bool
	}{
		{&forward.BusyError{After: 7 * time.Second, NotTaken: true, Err: what}, codes.ResourceExhausted, http.StatusTooManyRequests, 7 * time.Second, again, true},
		{&forward.BusyError{Err: what}, codes.ResourceExhausted, http.StatusTooManyRequests, time.Second, again, false},
		{&forward.RefusedError{Reason: forward.ReasonTooLarge, Err: what}, codes.ResourceExhausted, http.StatusRequestEntityTooLarge, 0, tooLarge, true},
		{&forward.RefusedError{Reason: forward.ReasonMalformed, Err: what}, codes.InvalidArgument, http.StatusBadRequest, 0, refused, true},
		{&forward.RefusedError{Reason: forward.ReasonRejected, Err: what}, codes.InvalidArgument, http.StatusBadRequest, 0, refused, true},
		{&forward.RefusedError{Reason: forward.ReasonUnsupported, Err: what}, codes.Unimplemented, http.StatusUnsupportedMediaType, 0, again, true},
		{errUnauthenticated{}, codes.Unauthenticated, http.StatusUnauthorized, 0, again, true},
		{context.DeadlineExceeded, codes.DeadlineExceeded, http.StatusServiceUnavailable, time.Second, again, false},
		{context.Canceled, codes.Canceled, http.StatusServiceUnavailable, time.Second, again, false},
		{what, codes.Unavailable, http.StatusServiceUnavailable, time.Second, again, false},
	} {
		err := fmt.Errorf("somewhere: %w", c.err)
		if got := status.Code(grpcStatus(err)); got != c.code {
			t.Errorf("%v: %s, want %s", err, got, c.code)
		}
		if got, after := httpStatus(err); got != c.http || after != c.after {
			t.Errorf("%v: %d, retry after %s, want %d and %s", err, got, after, c.http, c.after)
		}
		heard := fromStatus(fmt.Errorf("peer: %w", grpcStatus(err)))
		never := forward.Refused(heard)
		var got verdict
		switch {
		case never == nil:
		case never.Reason == forward.ReasonTooLarge:
			got = tooLarge
		default:
			got = refused
		}
		if got != c.verdict || forward.NotTaken(heard) != c.notTaken {
			t.Errorf("%v: our sender hears %v (verdict %d, not taken %t), want verdict %d, not taken %t", err, heard, got, forward.NotTaken(heard), c.verdict, c.notTaken)
		}
		if busy := forward.Busy(c.err); busy != nil && forward.Busy(heard).After != max(busy.After, time.Second) {
			t.Errorf("%v: our sender waits %s", err, forward.Busy(heard).After)
		}
	}
}

// A status without our details came from somebody else, on the way or behind it: nobody knows what
// became of the request.
func TestForeignAnswersLeaveItOpen(t *testing.T) {
	with := func(code codes.Code, details bool) error {
		st := status.New(code, "so")
		if details {
			var err error
			if st, err = st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}, &errdetails.ErrorInfo{Reason: notTaken, Domain: "example.com"}); err != nil {
				t.Fatal(err)
			}
		}
		return st.Err()
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		for _, details := range []bool{false, true} {
			heard := fromStatus(with(code, details))
			if heard == nil || forward.NotTaken(heard) {
				t.Errorf("%s: %v", code, heard)
			}
			never := forward.Refused(heard)
			if want := code == codes.InvalidArgument || code == codes.ResourceExhausted && !details; (never != nil) != want {
				t.Errorf("%s, with details %t: refused %v", code, details, never)
			}
		}
	}
}
