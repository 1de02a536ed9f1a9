package otlp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spillway-io/spillway/forward"
)

var quiet = slog.New(slog.DiscardHandler)

// keeper is a Sink that keeps what it is given, or answers what it is told to.
type keeper struct {
	mu     sync.Mutex
	got    []forward.Batch
	answer func(forward.Batch) error
}

func (k *keeper) Put(_ context.Context, b forward.Batch) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.answer != nil {
		if err := k.answer(b); err != nil {
			return err
		}
	}
	b.Body = bytes.Clone(b.Body)
	k.got = append(k.got, b)
	return nil
}

func (k *keeper) last(t *testing.T) forward.Batch {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.got) == 0 {
		t.Fatal("nothing arrived")
	}
	return k.got[len(k.got)-1]
}

func serve(t *testing.T, cfg ServerConfig, next forward.Sink, hardMiB int64) *Listening {
	t.Helper()
	_, lis := serveServer(t, cfg, next, hardMiB)
	return lis
}

func serveServer(t *testing.T, cfg ServerConfig, next forward.Sink, hardMiB int64) (*Server, *Listening) {
	t.Helper()
	for _, c := range []*ListenerConfig{&cfg.GRPC, &cfg.HTTP} {
		if c.Endpoint == "" {
			c.Endpoint = "127.0.0.1:0"
		}
	}
	l := forward.NewLimiter(hardMiB<<20, hardMiB<<20*4/5, forward.Hard, time.Second, quiet)
	server := NewServer(cfg, l.Before(next), l, forward.NewCounters(nil, "test"), quiet)
	lis, err := server.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- lis.Serve(ctx, time.Second) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return server, lis
}

func dial(t *testing.T, lis *Listening) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(lis.GRPC.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// export sends body as any gRPC client would, with the codec of protobuf.
func export(ctx context.Context, conn *grpc.ClientConn, sig forward.Signal, body []byte, opts ...grpc.CallOption) error {
	out, in := raw{out: body}, raw{}
	defer in.free()
	return conn.Invoke(ctx, "/"+services[sig]+"/Export", &out, &in, append(opts, grpc.ForceCodecV2(rawCodec{}))...)
}

func post(t *testing.T, lis *Listening, path, kind, encoding string, body []byte) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+lis.HTTP.String()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func zipped(t *testing.T, encoding string, body []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&buf)
	if encoding == "zstd" {
		w, _ = zstd.NewWriter(&buf)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return buf.Bytes()
}

func TestEverySignalArrivesAsItWasSent(t *testing.T) {
	k := &keeper{}
	lis := serve(t, ServerConfig{}, k, 100)
	conn := dial(t, lis)
	for _, sig := range forward.Signals {
		body := sample(sig, 50)
		check := func(how string) {
			t.Helper()
			if b := k.last(t); b.Signal != sig || b.Items != 50 || !bytes.Equal(b.Body, body) {
				t.Errorf("%s by %s: %d items, %d bytes of %d", b.Signal, how, b.Items, len(b.Body), len(body))
			}
			k.got = nil
		}
		for _, enc := range []string{"", "gzip", "zstd"} {
			var opts []grpc.CallOption
			if enc != "" {
				opts = append(opts, grpc.UseCompressor(enc))
			}
			if err := export(t.Context(), conn, sig, body, opts...); err != nil {
				t.Fatal(err)
			}
			check("gRPC " + enc)
			wire := body
			if enc != "" {
				wire = zipped(t, enc, body)
			}
			if resp := post(t, lis, "/v1/"+sig.String(), typeProtobuf, enc, wire); resp.StatusCode != 200 || resp.Header.Get(identityHeader) == "" {
				t.Fatalf("HTTP %s: %s", enc, resp.Status)
			}
			check("HTTP " + enc)
		}
	}
}

func TestJSONArrivesAsProtobuf(t *testing.T) {
	k := &keeper{}
	lis := serve(t, ServerConfig{}, k, 100)
	body := []byte(`{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"js"}}]},"scopeLogs":[{"logRecords":[
		{"timeUnixNano":"1700000000000000001","severityNumber":9,"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","body":{"stringValue":"hi"}}]}]}]}`)
	resp := post(t, lis, "/v1/logs", typeJSON, "", body)
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || string(answer) != "{}" {
		t.Fatalf("%s %s", resp.Status, answer)
	}
	var got logspb.ExportLogsServiceRequest
	if err := proto.Unmarshal(k.last(t).Body, &got); err != nil {
		t.Fatal(err)
	}
	r := got.ResourceLogs[0].ScopeLogs[0].LogRecords[0]
	if r.TimeUnixNano != 1700000000000000001 || len(r.TraceId) != 16 || r.Body.GetStringValue() != "hi" {
		t.Errorf("got %s", protojson.Format(&got))
	}
}

func TestBadInputIsRefusedWithTheReasonAndKeptNowhere(t *testing.T) {
	k := &keeper{}
	lis := serve(t, ServerConfig{GRPC: ListenerConfig{MaxRecvMsgSizeMiB: 1}, HTTP: ListenerConfig{MaxRecvMsgSizeMiB: 1}}, k, 100)
	conn := dial(t, lis)
	good := sample(forward.Logs, 3)
	bomb := make([]byte, 64<<20)

	overGRPC := func(want codes.Code, text string, body []byte, opts ...grpc.CallOption) {
		t.Helper()
		err := export(t.Context(), conn, forward.Logs, body, opts...)
		if status.Code(err) != want || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %s ...%s", err, want, text)
		}
	}
	overGRPC(codes.InvalidArgument, "cut off", good[:len(good)-1])
	overGRPC(codes.InvalidArgument, "malformed OTLP", []byte("GET / HTTP/1.1"))
	overGRPC(codes.ResourceExhausted, "larger than 1 MiB", bomb, grpc.UseCompressor("gzip"))
	overGRPC(codes.ResourceExhausted, "larger than 1 MiB", bomb, grpc.UseCompressor("zstd"))
	err := conn.Invoke(t.Context(), "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", &raw{}, &raw{}, grpc.ForceCodecV2(rawCodec{}))
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("profiles: %v", err)
	}

	overHTTP := func(want int, text, path, kind, enc string, body []byte) {
		t.Helper()
		resp := post(t, lis, path, kind, enc, body)
		answer, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != want || !strings.Contains(string(answer), text) {
			t.Errorf("%s %s: %s %q, want %d ...%s", path, kind, resp.Status, answer, want, text)
		}
	}
	overHTTP(400, "cut off", "/v1/logs", typeProtobuf, "", good[:len(good)-1])
	overHTTP(400, "JSON", "/v1/logs", typeJSON, "", []byte(`{"resourceLogs":[{]}`))
	overHTTP(400, "gzip", "/v1/logs", typeProtobuf, "gzip", good)
	overHTTP(413, "larger than 1 MiB", "/v1/logs", typeProtobuf, "gzip", zipped(t, "gzip", bomb))
	overHTTP(413, "larger than 1 MiB", "/v1/logs", typeProtobuf, "", bomb[:2<<20])
	overHTTP(415, "application/x-protobuf", "/v1/logs", "text/plain", "", good)
	overHTTP(415, "use gzip, zstd or none", "/v1/logs", typeProtobuf, "br", good)
	overHTTP(415, "profiles are not supported", "/v1development/profiles", typeProtobuf, "", good)
	overHTTP(404, "", "/v1/other", typeProtobuf, "", good)
	if len(k.got) != 0 {
		t.Errorf("%d batches were taken", len(k.got))
	}
	if err := export(t.Context(), conn, forward.Logs, good); err != nil {
		t.Errorf("a good client beside them: %v", err)
	}
}

func TestAboveTheLimitClientsAreToldWhenToComeBack(t *testing.T) {
	k := &keeper{answer: func(forward.Batch) error {
		return &forward.BusyError{After: 7 * time.Second, Err: errors.New("log full")}
	}}
	lis := serve(t, ServerConfig{}, k, 100)
	conn := dial(t, lis)
	st := status.Convert(export(t.Context(), conn, forward.Logs, sample(forward.Logs, 1)))
	info, ok := st.Details()[0].(*errdetails.RetryInfo)
	if st.Code() != codes.ResourceExhausted || !ok || info.RetryDelay.AsDuration() != 7*time.Second {
		t.Errorf("gRPC: %v %v", st, st.Details())
	}
	resp := post(t, lis, "/v1/logs", typeProtobuf, "", sample(forward.Logs, 1))
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "7" {
		t.Errorf("HTTP: %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	// A body that does not fit into memory is refused before it is read.
	tiny := serve(t, ServerConfig{}, &keeper{}, 1)
	st = status.Convert(export(t.Context(), dial(t, tiny), forward.Logs, sample(forward.Logs, 5000)))
	if st.Code() != codes.ResourceExhausted || len(st.Details()) != 2 || !strings.Contains(st.Message(), "memory limit") {
		t.Errorf("no memory: %v %v", st, st.Details())
	}
	k.answer = nil
	if err := export(t.Context(), conn, forward.Logs, sample(forward.Logs, 1)); err != nil {
		t.Errorf("later: %v", err)
	}
}

func TestALargeRequestBecomesSeveralRecords(t *testing.T) {
	k := &keeper{}
	lis := serve(t, ServerConfig{}, k, 100)
	body := sample(forward.Traces, 9000)
	resp := post(t, lis, "/v1/traces", typeProtobuf, "gzip", zipped(t, "gzip", body))
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	b := k.last(t)
	if b.Items != 9000 || len(b.Parts) < len(body)>>20 {
		t.Errorf("%d items in %d parts of %d bytes", b.Items, len(b.Parts), len(body))
	}
}

func TestTokensAreAskedFor(t *testing.T) {
	auth := Auth{Tokens: []string{"one", "two"}}
	lis := serve(t, ServerConfig{GRPC: ListenerConfig{Auth: auth}, HTTP: ListenerConfig{Auth: auth}}, &keeper{}, 100)
	conn := dial(t, lis)
	f := func(header string, want bool) {
		t.Helper()
		ctx := t.Context()
		if header != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", header)
		}
		if err := export(ctx, conn, forward.Logs, nil); (err == nil) != want || !want && status.Code(err) != codes.Unauthenticated {
			t.Errorf("gRPC %q: %v", header, err)
		}
		req, _ := http.NewRequest(http.MethodPost, "http://"+lis.HTTP.String()+"/v1/logs", nil)
		req.Header.Set("Content-Type", typeProtobuf)
		if header != "" {
			req.Header.Set("Authorization", header)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if (resp.StatusCode == 200) != want || !want && resp.StatusCode != 401 {
			t.Errorf("HTTP %q: %s", header, resp.Status)
		}
	}
	f("Bearer one", true)
	f("bearer two", true)
	f("two", true)
	f("Bearer three", false)
	f("Bearer ", false)
	f("", false)
}

// certificate writes a self-signed one for 127.0.0.1 that is its own authority.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "spillway test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func newClient(t *testing.T, cfg ClientConfig) *Client {
	t.Helper()
	if cfg.Compression == "" {
		cfg.Compression = "zstd"
	}
	if cfg.Identity == "" {
		cfg.Identity = "auto"
	}
	cfg.Timeout = 10 * time.Second
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// connected waits until one of c's endpoints is ready.
func connected(c *Client) {
	for {
		woken := c.Woken()
		for _, e := range c.route.endpoints {
			if e.conn.GetState().String() == "READY" {
				return
			}
		}
		<-woken
	}
}

func markedBatch(n int) forward.Batch {
	body := sample(forward.Logs, n)
	marked := append(forward.Marker{Stream: [16]byte{5}, Seq: 3, Length: uint32(len(body)), Items: uint32(n), Accepted: 1}.Append(nil), body...)
	return forward.Batch{Signal: forward.Logs, Items: n, Body: marked}
}

func TestMarkersTravelToOurOwnKindOverMutualTLS(t *testing.T) {
	cert, key := certificate(t)
	k := &keeper{}
	lis := serve(t, ServerConfig{GRPC: ListenerConfig{TLS: &ServerTLS{CertFile: cert, KeyFile: key, ClientCAFile: cert}, Auth: Auth{Tokens: []string{"secret"}}}}, k, 100)
	c := newClient(t, ClientConfig{Endpoints: []string{lis.GRPC.String()}, Auth: Auth{Token: "secret"}, TLS: &ClientTLS{CAFile: cert, CertFile: cert, KeyFile: key}})
	connected(c)
	b := markedBatch(4)
	if err := c.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := k.last(t); !bytes.Equal(got.Body, b.Body) || got.Items != 4 {
		t.Error("the marked body arrived changed")
	}
	plain := newClient(t, ClientConfig{Endpoints: []string{lis.GRPC.String()}})
	if err := plain.Put(t.Context(), b); err == nil {
		t.Error("a client without TLS was let in")
	}
}

// foreign is an OTLP server that is not ours: it announces nothing, and knows no compression.
type foreign struct {
	logspb.UnimplementedLogsServiceServer
	mu   sync.Mutex
	got  []*logspb.ExportLogsServiceRequest
	resp *logspb.ExportLogsServiceResponse
	err  error
}

func (f *foreign) Export(_ context.Context, r *logspb.ExportLogsServiceRequest) (*logspb.ExportLogsServiceResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(r.ResourceLogs) > 0 {
		f.got = append(f.got, r)
		if f.err != nil {
			return nil, f.err
		}
	}
	return f.resp, nil
}

func serveForeign(t *testing.T, f *foreign, opts ...grpc.ServerOption) string {
	t.Helper()
	if f.resp == nil {
		f.resp = &logspb.ExportLogsServiceResponse{}
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(opts...)
	logspb.RegisterLogsServiceServer(srv, f)
	go srv.Serve(lis)
	t.Cleanup(srv.Stop)
	return lis.Addr().String()
}

func TestAForeignPeerGetsNoMarkers(t *testing.T) {
	f := &foreign{}
	c := newClient(t, ClientConfig{Endpoints: []string{serveForeign(t, f)}, Compression: "none"})
	connected(c)
	if err := c.Put(t.Context(), markedBatch(4)); err != nil {
		t.Fatal(err)
	}
	if got := f.got[0]; len(got.ProtoReflect().GetUnknown()) != 0 || len(got.ResourceLogs[0].ScopeLogs[0].LogRecords) != 4 {
		t.Errorf("%d unknown bytes", len(got.ProtoReflect().GetUnknown()))
	}
}

func TestAPeersAnswerMeansWhatOTLPSays(t *testing.T) {
	f := &foreign{}
	c := newClient(t, ClientConfig{Endpoints: []string{serveForeign(t, f)}, Compression: "none", Identity: "off"})
	connected(c)
	with := func(code codes.Code, after time.Duration) error {
		st := status.New(code, "says the peer")
		if after > 0 {
			st, _ = st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
		}
		return st.Err()
	}
	put := func(err error) error {
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
		return c.Put(t.Context(), markedBatch(2))
	}
	if r := forward.Refused(put(with(codes.InvalidArgument, 0))); r == nil || r.Reason != forward.ReasonRejected {
		t.Error("INVALID_ARGUMENT")
	}
	if r := forward.Refused(put(with(codes.ResourceExhausted, 0))); r == nil || r.Reason != forward.ReasonTooLarge {
		t.Error("RESOURCE_EXHAUSTED without a hint")
	}
	if b := forward.Busy(put(with(codes.ResourceExhausted, 3*time.Second))); b == nil || b.After != 3*time.Second || b.NotTaken {
		t.Error("RESOURCE_EXHAUSTED with a hint")
	}
	for _, code := range []codes.Code{codes.Unavailable, codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.Internal, codes.DataLoss} {
		if err := put(with(code, 0)); err == nil || forward.Refused(err) != nil {
			t.Errorf("%s: %v, want to wait", code, err)
		}
	}
	f.resp = &logspb.ExportLogsServiceResponse{PartialSuccess: &logspb.ExportLogsPartialSuccess{RejectedLogRecords: 2, ErrorMessage: "too old"}}
	if p := forward.Partial(put(nil)); p == nil || p.Items != 2 || !strings.Contains(p.Error(), "too old") {
		t.Errorf("partial success: %v", p)
	}
}

func TestABatchGoesToACollectorThatLives(t *testing.T) {
	k := &keeper{}
	lis := serve(t, ServerConfig{}, k, 100)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := dead.Addr().String()
	dead.Close()
	c := newClient(t, ClientConfig{Endpoints: []string{addr, lis.GRPC.String()}})
	connected(c)
	for i := range 10 {
		if err := c.Put(t.Context(), markedBatch(1)); err != nil {
			t.Errorf("batch %d: %v", i, err)
		}
	}
}

func TestACollectorThatIsBackIsNoticed(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := lis.Addr().String()
	lis.Close()
	c := newClient(t, ClientConfig{Endpoints: []string{addr}})
	if err := c.Put(t.Context(), markedBatch(1)); err == nil {
		t.Fatal("delivered to nobody")
	}
	woken := c.Woken()
	k := &keeper{}
	serve(t, ServerConfig{GRPC: ListenerConfig{Endpoint: addr}}, k, 100)
	<-woken
	if err := c.Put(t.Context(), markedBatch(1)); err != nil {
		t.Error(err)
	}
}

func TestOurOwnRefusalsSayThatNothingWasTaken(t *testing.T) {
	k := &keeper{answer: func(forward.Batch) error {
		return &forward.BusyError{After: time.Second, NotTaken: true, Err: errors.New("full")}
	}}
	lis := serve(t, ServerConfig{}, k, 100)
	c := newClient(t, ClientConfig{Endpoints: []string{lis.GRPC.String()}})
	connected(c)
	if b := forward.Busy(c.Put(t.Context(), markedBatch(1))); b == nil || !b.NotTaken {
		t.Errorf("got %v", b)
	}
	k.answer = func(forward.Batch) error { return fmt.Errorf("who knows") }
	if b := forward.Busy(c.Put(t.Context(), markedBatch(1))); b != nil && b.NotTaken {
		t.Error("an unclear error passes for a clear one")
	}
}
