package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const (
	serverName = "spillway-engine"
	// headerTimeout is how long a request's header may take to come.
	headerTimeout = 10 * time.Second
	// killTimeout is how long statements get to end once they have been told to.
	killTimeout = time.Second
)

// Server is a running engine and its two listeners.
type Server struct {
	engine   *engine
	log      *slog.Logger
	lock     *os.File
	listener struct{ http, native net.Listener }
	http     *http.Server
	native   *nativeServer
	cancel   context.CancelFunc // of all statements
	serving  sync.WaitGroup
}

// Start loads the library, opens the data directory and serves both protocols until Shutdown. ctx bounds the start alone. A process
// can start one engine in its life.
func Start(ctx context.Context, c Config) (*Server, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	lock, err := lockDataDir(ctx, c.DataDir)
	if err != nil {
		return nil, err
	}
	s := &Server{log: c.Log, lock: lock}
	if err := s.start(c); err != nil {
		s.closeListeners()
		lock.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(c Config) error {
	// First, so that a taken port costs no engine: a process has only one.
	if err := s.listen(c); err != nil {
		return err
	}
	args, err := writeEngineConfig(c)
	if err != nil {
		return err
	}
	// Times in SQL text are UTC wherever we run. The library asks the environment, and only while it boots.
	if err := os.Setenv("TZ", "UTC"); err != nil {
		return fmt.Errorf("time zone: %w", err)
	}
	// The library's handlers are off, and without one a client that hangs up would end the process.
	signal.Ignore(syscall.SIGPIPE)
	if err := load(c.Library); err != nil {
		return err
	}
	if s.engine, err = openEngine(c, args); err != nil {
		return fmt.Errorf("engine in %s: %w", c.DataDir, err)
	}
	s.serve()
	return nil
}

func (s *Server) listen(c Config) error {
	var err error
	if s.listener.http, err = net.Listen("tcp", c.HTTPAddr); err != nil {
		return fmt.Errorf("http: %w", err)
	}
	if s.listener.native, err = net.Listen("tcp", c.NativeAddr); err != nil {
		return fmt.Errorf("native: %w", err)
	}
	return nil
}

func (s *Server) closeListeners() {
	for _, l := range []net.Listener{s.listener.http, s.listener.native} {
		if l != nil {
			l.Close()
		}
	}
}

func (s *Server) serve() {
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           &httpHandler{engine: s.engine, log: s.log},
		ReadHeaderTimeout: headerTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.native = &nativeServer{engine: s.engine, log: s.log, ctx: ctx, idle: map[*nativeConn]bool{}}
	s.serving.Go(func() {
		if err := s.http.Serve(s.listener.http); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("http listener ended", "err", err)
		}
	})
	s.serving.Go(func() {
		if err := s.native.serve(s.listener.native); !errors.Is(err, net.ErrClosed) {
			s.log.Error("native listener ended", "err", err)
		}
	})
}

// HTTPAddr is the address of the HTTP protocol, with the port that was picked.
func (s *Server) HTTPAddr() string { return s.listener.http.Addr().String() }

// NativeAddr is the address of the native protocol, with the port that was picked.
func (s *Server) NativeAddr() string { return s.listener.native.Addr().String() }

// Shutdown takes no new statements, lets those that run end until ctx does, stops the rest and closes the engine. The error says
// that some statement could not even be stopped; the engine is then left open for the process to end with, which costs nothing but
// the statement.
func (s *Server) Shutdown(ctx context.Context) error {
	s.listener.native.Close()
	s.native.stop()
	err := s.http.Shutdown(ctx)
	if err == nil {
		err = s.native.wait(ctx)
	}
	s.cancel()
	if err != nil {
		s.log.Warn("statements are running still, stopping them")
		killed, done := context.WithTimeout(context.Background(), killTimeout)
		defer done()
		if err := errors.Join(s.http.Shutdown(killed), s.native.wait(killed)); err != nil {
			return fmt.Errorf("stop statements: %w", err)
		}
	}
	s.serving.Wait()
	s.engine.close()
	return s.lock.Close()
}

// wait waits until all connections have ended.
func (s *nativeServer) wait(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
