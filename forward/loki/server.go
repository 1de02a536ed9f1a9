package loki

import (
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/otlp"
)

// A Server takes push requests and puts them into a Sink. A client hears 204 when the Sink owns
// all of a request, never before.
type Server struct {
	cfg     atomic.Pointer[otlp.ListenerConfig]
	next    forward.Sink
	limiter *forward.Limiter
	metrics *forward.Counters
	log     *slog.Logger
	port    *otlp.Listening // nil: off, or not open yet
}

// NewServer serves nothing until Beside. Bodies, and what they become, are counted by the limiter.
func NewServer(cfg otlp.ListenerConfig, next forward.Sink, l *forward.Limiter, m *forward.Counters, log *slog.Logger) *Server {
	s := &Server{next: next, limiter: l, metrics: m, log: log}
	s.cfg.Store(&cfg)
	return s
}

// Prepare reads the certificates that cfg names. apply has connections to come use them, and requests
// to come show the tokens of cfg and keep to its limit of a request. Whatever else differs has no
// effect. It is called after Beside.
func (s *Server) Prepare(cfg otlp.ListenerConfig) (apply func(), err error) {
	if s.port == nil {
		return func() {}, nil
	}
	secure, err := s.port.Prepare(cfg.TLS)
	if err != nil {
		return nil, fmt.Errorf("receivers.loki: %w", err)
	}
	return func() { secure(); s.cfg.Store(&cfg) }, nil
}

// Beside opens the port, unless it is off, and has l serve it. It returns its address, or nil.
func (s *Server) Beside(l *otlp.Listening) (net.Addr, error) {
	if s.cfg.Load().Endpoint == "" {
		return nil, nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /loki/api/v1/push", s.push)
	port, err := otlp.ListenHTTP(*s.cfg.Load(), mux, s.log)
	if err != nil {
		return nil, fmt.Errorf("receivers.loki: %w", err)
	}
	s.port = port
	l.Join(port)
	return port.HTTP, nil
}

// push handles one request. This is where a batch enters spillway from a client of Loki.
func (s *Server) push(w http.ResponseWriter, r *http.Request) {
	if err := s.take(r); err != nil && forward.Partial(err) == nil {
		http.Error(w, err.Error(), otlp.Refuse(w.Header(), s.metrics, err))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) take(r *http.Request) error {
	if err := s.cfg.Load().Auth.Authorize(r); err != nil {
		return err
	}
	decode, encodings, err := form(r)
	if err != nil {
		return err
	}
	tenant := r.Header.Get("X-Scope-OrgID")
	if len(tenant) > maxTenant {
		return malformed(fmt.Errorf("X-Scope-OrgID of %d bytes: send at most %d", len(tenant), maxTenant))
	}
	body, free, err := s.cfg.Load().ReadBody(r, s.limiter, encodings...)
	if err != nil {
		return err
	}
	out, err := s.convert(body, decode, tenant)
	free()
	if err != nil {
		return err
	}
	defer s.limiter.Give(out.taken)
	if out.items == 0 {
		return nil
	}
	return s.next.Put(r.Context(), otlp.Cut(forward.Logs, out.body, out.items, otlp.MaxRecord))
}

// form is how the body of r is to be read: the decoder, and what has to be undone before. As in
// Loki, protobuf is always in Snappy, whether or not Content-Encoding says so.
func form(r *http.Request) (decode func(*converter, []byte) error, encodings []string, err error) {
	header := r.Header.Get("Content-Type")
	kind, _, _ := mime.ParseMediaType(header)
	switch {
	case kind == "application/json":
		encodings, err = otlp.ContentEncoding(r, "gzip", "deflate", "zstd")
		return (*converter).json, encodings, err
	case kind == "application/x-protobuf" || header == "":
		encodings, err = otlp.ContentEncoding(r, "gzip", "deflate", "zstd", "snappy")
		if !slices.Contains(encodings, "snappy") {
			encodings = append(encodings, "snappy")
		}
		return (*converter).protobuf, encodings, err
	}
	return nil, nil, &forward.RefusedError{Reason: forward.ReasonUnsupported,
		Err: fmt.Errorf("content type %q: use application/x-protobuf (in Snappy) or application/json", header)}
}

func malformed(err error) error {
	return &forward.RefusedError{Reason: forward.ReasonMalformed, Err: err}
}

// convert makes OTLP of a body. What that takes is counted, and the caller's to give back.
func (s *Server) convert(body []byte, decode func(*converter, []byte) error, tenant string) (output, error) {
	converting <- struct{}{}
	defer func() { <-converting }()
	c := converters.Get().(*converter)
	defer converters.Put(c)
	c.begin(s.limiter, tenant, time.Now())
	err := decode(c, body)
	out := c.out
	c.out = output{}
	if err != nil {
		s.limiter.Give(out.taken)
		if forward.Busy(err) == nil && forward.Refused(err) == nil {
			err = malformed(err)
		}
		return output{}, err
	}
	return out, nil
}
