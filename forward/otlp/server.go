package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/tap"

	"github.com/spillway-io/spillway/forward"
)

// ListenerConfig is one port.
type ListenerConfig struct {
	Endpoint          string     `yaml:"endpoint"`              // host:port, or the path of a socket; "": off
	Transport         string     `yaml:"transport"`             // tcp or unix; "": tcp
	MaxRecvMsgSizeMiB int        `yaml:"max_recv_msg_size_mib"` // of one request, decompressed, 1 to 30; larger ones are refused for good; 0: 16
	TLS               *ServerTLS `yaml:"tls"`                   // the certificate; without this section: plain text
	Auth              Auth       `yaml:"auth"`                  // what senders have to show
	// How long a gRPC connection may last; then it is closed in order, so that clients spread over new replicas; 0s: for ever.
	MaxConnectionAge time.Duration `yaml:"max_connection_age"`
}

// defaultMaxRecv is the limit of one request, in MiB.
const defaultMaxRecv = 16

func (c ListenerConfig) maxRecv() int {
	if c.MaxRecvMsgSizeMiB == 0 {
		return defaultMaxRecv << 20
	}
	return c.MaxRecvMsgSizeMiB << 20
}

// A Server takes OTLP requests, checks them, and puts them into a Sink. A client hears OK when
// the Sink owns the batch, never before.
type Server struct {
	cfg     atomic.Pointer[ServerConfig]
	next    forward.Sink
	limiter *forward.Limiter
	metrics *forward.Counters
	log     *slog.Logger
	health  *health.Server
	ports   *Listening // nil before Listen
	readers *readers   // of gRPC
}

// ServerConfig is the pair of ports.
type ServerConfig struct {
	GRPC ListenerConfig `yaml:"grpc"` // OTLP/gRPC
	HTTP ListenerConfig `yaml:"http"` // OTLP/HTTP, protobuf and JSON, on /v1/logs, /v1/traces and /v1/metrics

	// SinkDecodes says that the sink decodes every body, and refuses what is malformed, before
	// it answers: then bodies are counted here and not checked, and not cut either.
	SinkDecodes bool `yaml:"-"`
	// Clock is that of the ClickHouse that the data ends in, for senders to state fences on.
	Clock *forward.Clock `yaml:"-"`
}

// NewServer serves nothing until Listen. Bodies are counted by the limiter while they are read.
func NewServer(cfg ServerConfig, next forward.Sink, l *forward.Limiter, m *forward.Counters, log *slog.Logger) *Server {
	s := &Server{next: next, limiter: l, metrics: m, log: log, health: health.NewServer()}
	s.cfg.Store(&cfg)
	return s
}

// config is what holds now.
func (s *Server) config() *ServerConfig { return s.cfg.Load() }

// Prepare reads the certificates that cfg names. apply has connections to come use them, and requests to
// come show the tokens of cfg; it also takes over the clock and, where bodies are read over HTTP, the
// limit of a request. Whatever else differs has no effect. It is called after Listen.
func (s *Server) Prepare(cfg ServerConfig) (apply func(), err error) {
	var applies []func()
	for _, p := range []struct {
		name string
		port net.Addr
		tls  *liveTLS
		cfg  ListenerConfig
	}{{"OTLP gRPC", s.ports.GRPC, s.ports.grpcTLS, cfg.GRPC}, {"OTLP HTTP", s.ports.HTTP, s.ports.httpTLS, cfg.HTTP}} {
		if p.port == nil {
			continue
		}
		apply, err := p.tls.prepare(p.cfg.TLS)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		applies = append(applies, apply)
	}
	return func() {
		for _, apply := range applies {
			apply()
		}
		s.cfg.Store(&cfg)
	}, nil
}

// A Listening server has its ports open.
type Listening struct {
	GRPC, HTTP net.Addr // nil: off
	serve      []func() error
	stop       []func(context.Context)

	grpcTLS, httpTLS *liveTLS // of its own ports, not of those that joined
}

// Prepare is for the port of ListenHTTP: it reads the certificates that c names; apply has connections
// to come use them. A port that speaks TLS goes on to do so.
func (l *Listening) Prepare(c *ServerTLS) (apply func(), err error) { return l.httpTLS.prepare(c) }

// Listen opens the ports, so that a caller knows before anything starts that they are free.
func (s *Server) Listen() (*Listening, error) {
	l := &Listening{}
	if err := errors.Join(s.listenGRPC(l), s.listenHTTP(l)); err != nil {
		l.close()
		return nil, err
	}
	s.ports = l
	return l, nil
}

// Serve serves until ctx is done, then takes no new requests, and returns when those under way
// have been answered or grace has passed.
func (l *Listening) Serve(ctx context.Context, grace time.Duration) error {
	errs := make(chan error, len(l.serve))
	for _, serve := range l.serve {
		go func() { errs <- serve() }()
	}
	var err error
	running := len(l.serve)
	select {
	case <-ctx.Done():
	case err = <-errs:
		running--
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	var stopping sync.WaitGroup
	for _, stop := range l.stop {
		stopping.Go(func() { stop(limit) })
	}
	stopping.Wait()
	for range running {
		<-errs
	}
	return err
}

// Join has l serve the ports of other, too, which is not used any more.
func (l *Listening) Join(other *Listening) {
	l.serve = append(l.serve, other.serve...)
	l.stop = append(l.stop, other.stop...)
}

func (l *Listening) close() {
	for _, stop := range l.stop {
		expired, cancel := context.WithCancel(context.Background())
		cancel()
		stop(expired)
	}
}

const (
	// maxStreams bounds the requests under way on one connection.
	maxStreams = 128
	// What one stream may have sent before it is read is bounded by its window, and that of a connection by
	// connWindows of them. The least is what HTTP/2 begins with.
	minWindow, maxWindow = 64 << 10, 512 << 10
	connWindows          = 4
	// windowShare is the part of the memory that a window is.
	windowShare = 1024
)

func (s *Server) listenGRPC(l *Listening) error {
	c := s.config().GRPC
	if c.Endpoint == "" {
		return nil
	}
	secure, err := newLiveTLS(c.TLS, "h2")
	if err != nil {
		return fmt.Errorf("OTLP gRPC: %w", err)
	}
	lis, err := c.listen()
	if err != nil {
		return fmt.Errorf("OTLP gRPC: %w", err)
	}
	_, _, _, hard := s.limiter.Usage()
	window := int32(max(minWindow, min(maxWindow, hard/windowShare)))
	s.readers = newReaders(s.limiter, c.maxRecv())
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.MaxRecvMsgSize(c.maxRecv()),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(connWindows * window),
		grpc.ConnectionTimeout(20 * time.Second),
		grpc.MaxHeaderListSize(16 << 10),
		grpc.InTapHandle(s.tap),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second,
			MaxConnectionAge: c.MaxConnectionAge, MaxConnectionAgeGrace: time.Minute}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
	if secure != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(secure.config())))
	}
	srv := grpc.NewServer(opts...)
	for sig, name := range services {
		srv.RegisterService(&grpc.ServiceDesc{ServiceName: name, HandlerType: (*any)(nil),
			Streams: []grpc.StreamDesc{{StreamName: "Export", Handler: s.export(sig)}}}, s)
	}
	healthpb.RegisterHealthServer(srv, s.health)
	l.GRPC, l.grpcTLS = lis.Addr(), secure
	l.serve = append(l.serve, func() error { return srv.Serve(lis) })
	l.stop = append(l.stop, func(ctx context.Context) {
		s.health.Shutdown()
		defer context.AfterFunc(ctx, srv.Stop)()
		srv.GracefulStop()
	})
	return nil
}

// services are the gRPC services of OTLP. Profiles are answered UNIMPLEMENTED by gRPC itself.
var services = map[forward.Signal]string{
	forward.Logs:    "opentelemetry.proto.collector.logs.v1.LogsService",
	forward.Traces:  "opentelemetry.proto.collector.trace.v1.TraceService",
	forward.Metrics: "opentelemetry.proto.collector.metrics.v1.MetricsService",
}

// tap refuses a request before anything of it is read.
func (s *Server) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	if !s.config().GRPC.Auth.allows(first(info.Header.Get("authorization"))) && info.FullMethodName != healthpb.Health_Check_FullMethodName {
		return ctx, s.refuse(errUnauthenticated{})
	}
	if err := s.limiter.Take(0); err != nil {
		return ctx, s.refuse(err)
	}
	return ctx, nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

const (
	// identityHeader tells a sender which version of record markers this peer reads.
	identityHeader = "spillway-identity"
	// clockHeader tells a sender what time it is at ClickHouse, in unix nanoseconds. It is a
	// trailer in gRPC.
	clockHeader = "spillway-clock"
	// What proxies say who send a request again by themselves, https://www.envoyproxy.io/docs and
	// https://github.com/grpc/proposal/blob/master/A6-client-retries.md.
	envoyAttempt = "x-envoy-attempt-count"      // 1 is the first
	grpcAttempts = "grpc-previous-rpc-attempts" // 0 is the first, and not sent
)

var identityVersion = strconv.Itoa(forward.MarkerVersion)

// clock is what clockHeader says, "" when nobody knows.
func (s *Server) clock() string {
	clock := s.config().Clock
	if clock == nil {
		return ""
	}
	now, ok := clock.Now()
	if !ok {
		return ""
	}
	return strconv.FormatInt(now.UnixNano(), 10)
}

// repeated reads the headers of proxies.
func repeated(get func(string) string) bool {
	envoy, _ := strconv.Atoi(get(envoyAttempt))
	before, _ := strconv.Atoi(get(grpcAttempts))
	return envoy > 1 || before > 0
}

// export handles one call. This is where a batch enters spillway over gRPC. To gRPC it is a stream, so that it is
// read when there is room for it.
func (s *Server) export(sig forward.Signal) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		msg, err := s.readers.receive(stream)
		if forward.Busy(err) != nil {
			return s.refuse(err)
		}
		if err != nil {
			return err
		}
		defer msg.free()
		ctx := stream.Context()
		grpc.SetSendCompressor(ctx, "identity")
		stream.SetHeader(metadata.Pairs(identityHeader, identityVersion))

		md, _ := metadata.FromIncomingContext(ctx)
		err = s.grpcBody(ctx, sig, msg, repeated(func(name string) string { return first(md.Get(name)) }))
		if now := s.clock(); now != "" {
			stream.SetTrailer(metadata.Pairs(clockHeader, now))
		}
		partial := forward.Partial(err)
		if err != nil && partial == nil {
			return s.refuse(err)
		}
		return stream.SendMsg(&raw{out: partialSuccess(partial)})
	}
}

// grpcBody brings the message into one piece, decompressed, and hands it on.
func (s *Server) grpcBody(ctx context.Context, sig forward.Signal, msg *received, again bool) error {
	wire := newBody(s.limiter)
	defer wire.free()
	var whole []byte
	if len(msg.in) == 1 {
		whole = msg.in[0].ReadOnlyData()
	} else {
		n := msg.in.Len()
		if err := wire.room(n); err != nil {
			return err
		}
		whole = wire.bytes[:n]
		msg.in.CopyTo(whole)
		msg.free()
	}
	enc, whole := untag(whole)
	if enc == "" {
		return s.accept(ctx, sig, whole, again)
	}
	b := newBody(s.limiter)
	defer b.free()
	if err := b.expand(whole, enc, s.config().GRPC.maxRecv()); err != nil {
		return err
	}
	msg.free()
	wire.free()
	return s.accept(ctx, sig, b.bytes, again)
}

// accept checks a body and puts it into the sink. It is the door: everything behind it may
// rely on the body being well-formed.
func (s *Server) accept(ctx context.Context, sig forward.Signal, body []byte, again bool) error {
	b, err := s.checked(sig, body)
	if err != nil {
		return &forward.RefusedError{Reason: forward.ReasonMalformed, Err: err}
	}
	b.Repeated = again
	if b.Items == 0 && !s.config().SinkDecodes {
		return nil // a decoder knows better what is nothing, and an empty request asks whether it is ready
	}
	return s.next.Put(ctx, b)
}

// checked is a body as a batch.
func (s *Server) checked(sig forward.Signal, body []byte) (b forward.Batch, err error) {
	body, unknown, err := unmarked(body)
	if err != nil {
		return b, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if unknown > 0 {
		s.metrics.UnknownMarkers.Add(float64(unknown))
		s.log.Warn("a sender uses record markers of a version that is not known here: its records are stored at least once; bring both to the same release",
			"signal", sig.String(), "records", unknown, "known", forward.MarkerVersion)
	}
	b = forward.Batch{Signal: sig, Body: body}
	if s.config().SinkDecodes {
		b.Items, err = Count(sig, body)
		return b, err
	}
	if b.Items, b.Parts, err = Check(sig, body); err != nil || b.Parts != nil {
		return b, err
	}
	return Cut(sig, body, b.Items, MaxRecord), nil
}

// refuse counts an error and turns it into what the client hears.
func (s *Server) refuse(err error) error {
	s.metrics.Refused.WithLabelValues(reason(err)).Inc()
	return grpcStatus(err)
}

func reason(err error) string {
	var auth errUnauthenticated
	switch {
	case forward.Refused(err) != nil:
		return forward.Refused(err).Reason
	case errors.Is(err, forward.ErrMemory):
		return "memory"
	case forward.Busy(err) != nil:
		return "busy"
	case errors.As(err, &auth):
		return "unauthenticated"
	}
	return "failed"
}
