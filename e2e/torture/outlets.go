package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// sendTime is how long an answer is waited for. Longer than a fsync on a bad day, shorter than an
// agent is suspended at the longest.
const sendTime = 8 * time.Second

// A grpcOutlet sends by OTLP/gRPC.
type grpcOutlet struct {
	conn   *grpc.ClientConn
	method string
}

func newGRPC(addr string, s signal) (*grpcOutlet, error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)), // a request to nobody would only use up numbers
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second, Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, MaxDelay: 300 * time.Millisecond}}))
	return &grpcOutlet{conn, s.method}, err
}

func (o *grpcOutlet) send(w *writer, first uint64, count int) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), sendTime)
	defer cancel()
	answer := &remark{}
	err := o.conn.Invoke(ctx, o.method, w.signal.request(w.mark, first, count, w.r), answer, grpc.ForceCodecV2(codec{}))
	switch status.Code(err) {
	case codes.OK:
		return answer.outcome()
	case codes.ResourceExhausted, codes.InvalidArgument, codes.Unimplemented:
		return refused
	}
	return unanswered // also Unavailable: it may be the connection's end and not the agent's answer
}

func (o *grpcOutlet) close() { o.conn.Close() }

// An httpOutlet sends by OTLP/HTTP, in protobuf.
type httpOutlet struct {
	client *http.Client
	url    string
}

func newHTTP(addr string, s signal) *httpOutlet {
	return &httpOutlet{&http.Client{Timeout: sendTime, Transport: &http.Transport{}}, "http://" + addr + s.path}
}

func (o *httpOutlet) send(w *writer, first uint64, count int) outcome {
	body, err := proto.Marshal(w.signal.request(w.mark, first, count, w.r))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	resp, err := o.client.Post(o.url, "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		return unanswered
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return unanswered
	case resp.StatusCode == http.StatusOK:
		return (&remark{len(said)}).outcome()
	case resp.StatusCode == http.StatusBadRequest, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable:
		return refused
	}
	return unanswered
}

func (o *httpOutlet) close() { o.client.CloseIdleConnections() }

// A remark is what an OK says beside OK. An OK to everything is empty.
type remark struct{ bytes int }

func (a *remark) outcome() outcome {
	if a.bytes > 0 { // a part was not taken, and it does not say which
		return refused
	}
	return acked
}
