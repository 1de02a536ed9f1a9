package otlp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spillway-io/spillway/forward"
)

// Error to status and back, both directions of both protocols, in one place. The retryable
// codes are those of the OTLP specification, with two differences that keep data: what looks
// like a fault of configuration (unauthenticated, unimplemented, …) is waited out, and
// RESOURCE_EXHAUSTED without a retry hint means that the message is too large.

// A verdict is what our sender makes of an answer.
type verdict uint8

const (
	again    verdict = iota // wait and send it again
	refused                 // halve it; a single record is set aside
	tooLarge                // likewise
)

// answers are all that our servers say beside OK, and what our sender does when it hears them. A
// code that is not here is sent again, and HTTP says 503. Whatever it is, only NOT_TAKEN keeps
// the records fresh.
var answers = []struct {
	code    codes.Code
	hint    bool // says how long to wait: RetryInfo, Retry-After
	http    int
	verdict verdict
}{
	{codes.ResourceExhausted, true, http.StatusTooManyRequests, again},           // memory, the log or ClickHouse has no room
	{codes.ResourceExhausted, false, http.StatusRequestEntityTooLarge, tooLarge}, // over a size limit, whenever it comes
	{codes.InvalidArgument, false, http.StatusBadRequest, refused},               // not OTLP, or ClickHouse refuses its rows
	{codes.Unimplemented, false, http.StatusUnsupportedMediaType, again},         // a signal or compression that the peer does not know
	{codes.Unauthenticated, false, http.StatusUnauthorized, again},               // until somebody corrects the token
	{codes.DeadlineExceeded, false, http.StatusServiceUnavailable, again},        // nobody knows whether it is stored
	{codes.Canceled, false, http.StatusServiceUnavailable, again},                // likewise
	{codes.Unavailable, true, http.StatusServiceUnavailable, again},              // anything else
}

const (
	errorDomain = "spillway"
	notTaken    = "NOT_TAKEN" // ErrorInfo.reason: nothing of the request is stored, or will be
)

// grpcStatus is what a client hears about err.
func grpcStatus(err error) error {
	if err == nil {
		return nil
	}
	code, after, untouched := classify(err)
	st := status.New(code, err.Error())
	if after > 0 {
		if with, e := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)}); e == nil {
			st = with
		}
	}
	if untouched {
		if with, e := st.WithDetails(&errdetails.ErrorInfo{Reason: notTaken, Domain: errorDomain}); e == nil {
			st = with
		}
	}
	return st.Err()
}

// defaultRetryAfter is the hint for an error that brings none.
const defaultRetryAfter = time.Second

func classify(err error) (code codes.Code, after time.Duration, untouched bool) {
	if busy := forward.Busy(err); busy != nil {
		return codes.ResourceExhausted, max(busy.After, defaultRetryAfter), busy.NotTaken
	}
	if never := forward.Refused(err); never != nil {
		switch never.Reason {
		case forward.ReasonTooLarge:
			return codes.ResourceExhausted, 0, true
		case forward.ReasonUnsupported:
			return codes.Unimplemented, 0, true
		}
		return codes.InvalidArgument, 0, true
	}
	var auth errUnauthenticated
	switch {
	case errors.As(err, &auth):
		return codes.Unauthenticated, 0, true
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded, 0, false
	case errors.Is(err, context.Canceled):
		return codes.Canceled, 0, false
	}
	return codes.Unavailable, defaultRetryAfter, false
}

// httpStatus is the same for HTTP.
func httpStatus(err error) (status int, after time.Duration) {
	code, after, _ := classify(err)
	var media errMediaType
	if errors.As(err, &media) {
		return http.StatusUnsupportedMediaType, 0
	}
	for _, a := range answers {
		if a.code == code && a.hint == (after > 0) {
			status = a.http
		}
	}
	if status == 0 || status == http.StatusServiceUnavailable {
		return http.StatusServiceUnavailable, max(after, defaultRetryAfter)
	}
	return status, after
}

type errUnauthenticated struct{}

func (errUnauthenticated) Error() string {
	return "unauthenticated: send the header authorization: Bearer TOKEN with a token that this server knows"
}

type errMediaType struct{ got string }

func (e errMediaType) Error() string {
	return fmt.Sprintf("content type %q: use application/x-protobuf or application/json", e.got)
}

// fromStatus is what a peer's answer means for the batch.
func fromStatus(err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	var after time.Duration
	untouched := false
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.RetryInfo:
			after = d.GetRetryDelay().AsDuration()
		case *errdetails.ErrorInfo:
			untouched = untouched || d.Domain == errorDomain && d.Reason == notTaken
		}
	}
	for _, a := range answers {
		switch {
		case a.code != st.Code() || a.hint && after == 0:
		case a.verdict == refused:
			return &forward.RefusedError{Reason: forward.ReasonRejected, Err: err, NotTaken: untouched}
		case a.verdict == tooLarge && after == 0:
			return &forward.RefusedError{Reason: forward.ReasonTooLarge, Err: err, NotTaken: untouched}
		}
	}
	if after > 0 || untouched {
		return &forward.BusyError{After: after, NotTaken: untouched, Err: err}
	}
	return err
}

// unsupportedCompression says that the peer knows no such compression.
func unsupportedCompression(err error) bool {
	st, ok := status.FromError(err)
	return ok && st.Code() == codes.Unimplemented &&
		(strings.Contains(st.Message(), "ompress") || strings.Contains(st.Message(), "grpc-encoding"))
}

// partialSuccess encodes an Export…ServiceResponse; all three signals have the same fields.
func partialSuccess(p *forward.PartialError) []byte {
	if p == nil {
		return nil
	}
	in := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(p.Items))
	in = protowire.AppendString(protowire.AppendTag(in, 2, protowire.BytesType), p.Error())
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), in)
}

// parseResponse reads partial_success from a peer's response; nil: there is none.
func parseResponse(b []byte) *forward.PartialError {
	var p forward.PartialError
	message := ""
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		if num != 1 || typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return nil
			}
			b = b[n:]
			continue
		}
		in, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		for len(in) > 0 {
			num, typ, n := protowire.ConsumeTag(in)
			if n < 0 {
				return nil
			}
			in = in[n:]
			switch {
			case num == 1 && typ == protowire.VarintType:
				v, _ := protowire.ConsumeVarint(in)
				p.Items = int(min(v, 1<<31))
			case num == 2 && typ == protowire.BytesType:
				message, _ = protowire.ConsumeString(in)
			}
			if n = protowire.ConsumeFieldValue(num, typ, in); n < 0 {
				return nil
			}
			in = in[n:]
		}
	}
	if p.Items == 0 {
		return nil // a warning, or nothing
	}
	p.Reason, p.Err = forward.ReasonRejected, errors.New(message)
	return &p
}
