package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/spillway-io/spillway/forward"
)

// paths are those of OTLP/HTTP.
var paths = map[string]forward.Signal{
	"/v1/logs":    forward.Logs,
	"/v1/traces":  forward.Traces,
	"/v1/metrics": forward.Metrics,
}

// rejectedField is the signal's name for the count in partial_success, as JSON.
var rejectedField = map[forward.Signal]string{
	forward.Logs:    "rejectedLogRecords",
	forward.Traces:  "rejectedSpans",
	forward.Metrics: "rejectedDataPoints",
}

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

func (s *Server) listenHTTP(l *Listening) error {
	if s.config().HTTP.Endpoint == "" {
		return nil
	}
	h, err := ListenHTTP(s.config().HTTP, s.mux(), s.log)
	if err != nil {
		return fmt.Errorf("OTLP HTTP: %w", err)
	}
	l.HTTP, l.httpTLS = h.HTTP, h.httpTLS
	l.Join(h)
	return nil
}

// ListenHTTP opens the port of c for h, with the timeouts and bounds of every port that takes
// telemetry. Authorize and ReadBody are for h to call.
func ListenHTTP(c ListenerConfig, h http.Handler, log *slog.Logger) (*Listening, error) {
	secure, err := newLiveTLS(c.TLS, "h2", "http/1.1")
	if err != nil {
		return nil, err
	}
	lis, err := c.listen()
	if err != nil {
		return nil, err
	}
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute, // a half-open connection holds nothing longer
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if secure != nil {
		srv.TLSConfig = secure.config()
	}
	l := &Listening{HTTP: lis.Addr(), httpTLS: secure}
	l.serve = append(l.serve, func() error {
		serve := srv.Serve
		if secure != nil {
			serve = func(lis net.Listener) error { return srv.ServeTLS(lis, "", "") }
		}
		if err := serve(lis); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	l.stop = append(l.stop, func(ctx context.Context) {
		if srv.Shutdown(ctx) != nil {
			srv.Close()
		}
		lis.Close()
	})
	return l, nil
}

func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	for path, sig := range paths {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { s.serveHTTP(w, r, sig) })
	}
	mux.HandleFunc("POST /v1development/profiles", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r.Header.Get("Content-Type"), 0, &forward.RefusedError{Reason: forward.ReasonUnsupported, Err: errors.New("profiles are not supported: send logs, traces or metrics")})
	})
	return mux
}

// serveHTTP handles one request. This is where a batch enters spillway over HTTP.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request, sig forward.Signal) {
	w.Header().Set(identityHeader, identityVersion)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	err := s.httpBody(r, kind, sig)
	if now := s.clock(); now != "" {
		w.Header().Set(clockHeader, now)
	}
	s.answer(w, kind, sig, err)
}

func (s *Server) httpBody(r *http.Request, kind string, sig forward.Signal) error {
	if err := s.config().HTTP.Auth.Authorize(r); err != nil {
		return err
	}
	if kind != typeProtobuf && kind != typeJSON {
		return errMediaType{r.Header.Get("Content-Type")}
	}
	encodings, err := ContentEncoding(r, "gzip", "zstd")
	if err != nil {
		return err
	}
	body, free, err := s.config().HTTP.ReadBody(r, s.limiter, encodings...)
	if err != nil {
		return err
	}
	defer free()
	if kind == typeProtobuf {
		return s.accept(r.Context(), sig, body, repeated(r.Header.Get))
	}
	body, err = fromJSON(sig, body)
	if err != nil {
		return &forward.RefusedError{Reason: forward.ReasonMalformed, Err: fmt.Errorf("%w: JSON: %w", ErrMalformed, err)}
	}
	return s.accept(r.Context(), sig, body, repeated(r.Header.Get))
}

// fromJSON is the one place on the node where telemetry is decoded: OTLP/JSON has no wire form
// that could be passed on. pdata knows its ids in hex and its 64-bit integers in strings.
func fromJSON(sig forward.Signal, b []byte) ([]byte, error) {
	switch sig {
	case forward.Logs:
		r := plogotlp.NewExportRequest()
		if err := r.UnmarshalJSON(b); err != nil {
			return nil, err
		}
		return r.MarshalProto()
	case forward.Traces:
		r := ptraceotlp.NewExportRequest()
		if err := r.UnmarshalJSON(b); err != nil {
			return nil, err
		}
		return r.MarshalProto()
	}
	r := pmetricotlp.NewExportRequest()
	if err := r.UnmarshalJSON(b); err != nil {
		return nil, err
	}
	return r.MarshalProto()
}

// Refuse counts err, says in h when to come back if that would help, and returns the status to
// answer with.
func Refuse(h http.Header, m *forward.Counters, err error) (status int) {
	m.Refused.WithLabelValues(reason(err)).Inc()
	status, after := httpStatus(err)
	if after > 0 {
		h.Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	}
	return status
}

// answer writes the response in the content type of the request.
func (s *Server) answer(w http.ResponseWriter, kind string, sig forward.Signal, err error) {
	if kind != typeJSON {
		kind = typeProtobuf
	}
	w.Header().Set("Content-Type", kind)
	partial := forward.Partial(err)
	if err == nil || partial != nil {
		if kind == typeJSON {
			if partial == nil {
				w.Write([]byte("{}"))
				return
			}
			fmt.Fprintf(w, `{"partialSuccess":{%q:"%d","errorMessage":%q}}`, rejectedField[sig], partial.Items, partial.Error())
			return
		}
		w.Write(partialSuccess(partial))
		return
	}
	status := Refuse(w.Header(), s.metrics, err)
	code, _, _ := classify(err)
	body := &spb.Status{Code: int32(code), Message: err.Error()}
	var out []byte
	if kind == typeJSON {
		out, _ = protojson.Marshal(body)
	} else {
		out, _ = proto.Marshal(body)
	}
	w.WriteHeader(status)
	w.Write(out)
}
