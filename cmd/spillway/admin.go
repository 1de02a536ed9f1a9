package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// An admin port answers / (the page), /status (the same as JSON), /metrics, /healthz (the process
// lives), /readyz (it takes data and gets rid of it), and /debug/pprof.
type admin struct {
	listener net.Listener // nil: off
	server   *http.Server
	metrics  *prometheus.Registry
}

func newAdmin(endpoint string, reg *prometheus.Registry, ready func() error, status func() *status) (*admin, error) {
	a := &admin{metrics: reg}
	if endpoint == "" {
		return a, nil
	}
	var err error
	if a.listener, err = net.Listen("tcp", endpoint); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.Encode(status())
	})
	mux.HandleFunc("GET /{$}", servePage)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	a.server = &http.Server{Handler: guard(a.listener.Addr(), mux), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	return a, nil
}

func (a *admin) addr() string {
	if a.listener == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// start serves; what it returns stops.
func (a *admin) start(log *slog.Logger) (stop func()) {
	if a.listener == nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("admin port stopped", "err", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if a.server.Shutdown(ctx) != nil {
			a.server.Close()
		}
		<-done
	}
}
