package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillway-io/spillway/forward/clickhouse"
)

// standaloneFlags is what the command line can say about a standalone process.
type standaloneFlags struct {
	dataDir, config, dsn, engineLib, engineHTTP, engineNative string
}

func (f *standaloneFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.dataDir, "data-dir", "spillway-data", "directory for the log and, without --clickhouse, for ClickHouse")
	c.Flags().StringVar(&f.config, "config", "", "configuration file: the agent's, with the collector's half below collector:")
	c.Flags().StringVar(&f.dsn, "clickhouse", "", "write to this server (http://user:password@host:8123/otel) instead of an embedded engine")
	c.Flags().StringVar(&f.engineLib, "engine-lib", "", "the engine's library, instead of the one that make engine fetched")
	c.Flags().StringVar(&f.engineHTTP, "engine-http", "127.0.0.1:8123", "where the embedded engine speaks ClickHouse's HTTP")
	c.Flags().StringVar(&f.engineNative, "engine-native", "127.0.0.1:9000", "where the embedded engine speaks ClickHouse's native protocol")
}

func (p *program) standaloneCommand() *cobra.Command {
	var flags standaloneFlags
	c := &cobra.Command{Use: "standalone", Short: "agent and collector in one process, with an embedded ClickHouse unless one is named", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.serve(c.Context(), flags.config, func(ctx context.Context, log *slog.Logger, r *reloads) (service, error) {
				s, err := p.openStandalone(ctx, flags, log, r)
				if err != nil {
					return nil, err
				}
				s.announce(p)
				return s, nil
			})
		}}
	flags.add(c)
	return c
}

// A standalone process is a node and a collector that talk over loopback, as they would over a
// network, and an engine as a child process unless a server was named.
type standalone struct {
	p      *program
	flags  standaloneFlags
	node   *node
	tier   *tier
	engine *engine // nil: a server was named
	dir    string
}

func (p *program) openStandalone(ctx context.Context, f standaloneFlags, log *slog.Logger, r *reloads) (s *standalone, err error) {
	s = &standalone{p: p, flags: f}
	if s.dir, err = filepath.Abs(f.dataDir); err != nil {
		return nil, err
	}
	cfg, err := s.load()
	if err != nil {
		return nil, usageError{err}
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if s.embedded(cfg) {
		if s.engine, err = startEngine(ctx, f, filepath.Join(s.dir, "clickhouse"), p.env); err != nil {
			return nil, err
		}
	}
	if err := s.connect(cfg); err != nil {
		return nil, errors.Join(err, s.engine.stop())
	}
	if s.tier, err = newTier(cfg.Collector, log, nil); err != nil {
		return nil, errors.Join(err, s.engine.stop())
	}
	s.aim(cfg)
	if s.node, err = newNode(cfg.config, log, r); err != nil {
		return nil, errors.Join(err, s.engine.stop())
	}
	s.node.tier = s.tier
	return s, nil
}

// load reads the file, and fills in what follows from the flags.
func (s *standalone) load() (*loaded, error) {
	cfg, err := load(roleStandalone, s.flags.config, s.p.env)
	if err != nil {
		return nil, err
	}
	if !cfg.named["wal.dir"] {
		cfg.WAL.Dir = filepath.Join(s.dir, "wal")
	}
	half := cfg.Collector
	half.Admin.Endpoint = orDefault(half.Admin.Endpoint, cfg.named["collector.admin.endpoint"], "127.0.0.1:13134")
	if s.flags.dsn != "" {
		if _, err := clickhouse.ParseDSN(s.flags.dsn); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// embedded says whether nobody names a server.
func (s *standalone) embedded(cfg *loaded) bool {
	return s.flags.dsn == "" && !cfg.named["collector.forward.clickhouse.dsn"]
}

// connect fills in which ClickHouse there is. Whether it is the embedded one is settled at the start.
func (s *standalone) connect(cfg *loaded) error {
	if s.embedded(cfg) != (s.engine != nil) {
		return fmt.Errorf("collector.forward.clickhouse.dsn: %w", errRestart)
	}
	switch {
	case s.flags.dsn != "":
		cfg.Collector.Forward.ClickHouse.DSN = s.flags.dsn
	case s.engine != nil:
		cfg.Collector.Forward.ClickHouse.DSN = "http://default:@" + s.engine.http + "/otel"
	}
	return nil
}

// aim has the node send to the tier, unless the file says otherwise.
func (s *standalone) aim(cfg *loaded) {
	if !cfg.named["forward.otlp.endpoints"] {
		cfg.Forward.OTLP.Endpoints = []string{dialable(s.tier.listening.GRPC)}
	}
}

func (s *standalone) reload(ctx context.Context) ([]string, error) {
	cfg, err := s.load()
	if err != nil {
		return nil, err
	}
	if err := s.connect(cfg); err != nil {
		return nil, err
	}
	s.aim(cfg)
	half, tierErr := s.tier.prepare(ctx, cfg.Collector)
	if tierErr != nil {
		tierErr = below("collector", tierErr)
	}
	whole := *cfg.config
	whole.Collector = s.node.now.Load().Collector // the tier has compared it
	front, nodeErr := s.node.prepare(ctx, &whole)
	switch {
	case tierErr == nil && nodeErr != nil:
		half.discard()
	case tierErr != nil && nodeErr == nil:
		front.discard()
	}
	if err := errors.Join(nodeErr, tierErr); err != nil {
		return nil, err
	}
	if err := front.apply(ctx); err != nil {
		half.discard()
		return nil, err
	}
	for _, key := range half.keys {
		front.keys = append(front.keys, "collector."+key)
	}
	return front.keys, half.apply(ctx)
}

func (s *standalone) summary() string { return s.node.summary() + "; " + s.tier.summary() }

func orDefault(v string, named bool, def string) string {
	if v == "" && !named {
		return def
	}
	return v
}

// dialable is the loopback address of a listener that listens everywhere.
func dialable(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix://" + a.String()
	}
	host, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return a.String()
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// run stops in the order of the data: the node first, so that it can still deliver.
func (s *standalone) run(ctx context.Context) error {
	stopTier, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var tier sync.WaitGroup
	var tierErr error
	tier.Go(func() { tierErr = s.tier.run(stopTier) })
	err := s.node.run(ctx)
	cancel()
	tier.Wait()
	return errors.Join(err, tierErr, s.engine.stop())
}

// announce says, in a few lines, what listens where and what to try.
func (s *standalone) announce(p *program) {
	fmt.Fprintf(p.stdout, "spillway standalone\n")
	fmt.Fprintf(p.stdout, "  OTLP       gRPC %s, HTTP %s\n", s.node.listening.GRPC, s.node.listening.HTTP)
	fmt.Fprintf(p.stdout, "  ClickHouse %s\n", s.where())
	fmt.Fprintf(p.stdout, "  data       %s\n", s.dir)
	fmt.Fprintf(p.stdout, "  status     http://%s/ (collector http://%s/; also /status, /metrics)\n", s.node.admin.addr(), s.tier.admin.addr())
	if s.engine != nil {
		fmt.Fprintf(p.stdout, "  try        curl 'http://%s/' -d 'SELECT ServiceName, count() FROM otel_logs GROUP BY 1'\n", s.engine.http)
	}
}

func (s *standalone) where() string {
	if s.engine == nil {
		return s.tier.hop().conn.Addr() + " (named)"
	}
	return fmt.Sprintf("HTTP %s, native %s (embedded)", s.engine.http, s.engine.native)
}

// An engine is spillway-engine as a child process.
type engine struct {
	cmd          *exec.Cmd
	http, native string
	exited       chan error
}

const engineBinary = "spillway-engine"

var errNoEngine = errors.New("no embedded ClickHouse here: run make engine build, or name a server with --clickhouse http://user:password@host:8123/otel")

// startEngine starts it and waits until it serves.
func startEngine(ctx context.Context, f standaloneFlags, dir string, env func(string) (string, bool)) (*engine, error) {
	path, err := findEngine(env)
	if err != nil {
		return nil, err
	}
	args := []string{"--data-dir", dir, "--http", f.engineHTTP, "--native", f.engineNative, "--die-with-parent"}
	if f.engineLib != "" {
		args = append(args, "--engine-lib", f.engineLib)
	}
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is ours: the engine stops after the data is in
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("embedded ClickHouse: %w", err)
	}
	e := &engine{cmd: cmd, exited: make(chan error, 1)}
	ready := make(chan string, 1)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			if line, ok := strings.CutPrefix(s.Text(), "ready "); ok {
				ready <- line
			}
		}
		e.exited <- cmd.Wait()
	}()
	select {
	case line := <-ready:
		for _, word := range strings.Fields(line) {
			switch k, v, _ := strings.Cut(word, "="); k {
			case "http":
				e.http = v
			case "native":
				e.native = v
			}
		}
		return e, nil
	case err := <-e.exited:
		return nil, fmt.Errorf("embedded ClickHouse did not start (%v): see its message above, or name a server with --clickhouse", err)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), e.stop())
	}
}

// findEngine looks beside this program and in PATH.
func findEngine(env func(string) (string, bool)) (string, error) {
	if path, ok := env("SPILLWAY_ENGINE_BIN"); ok {
		return path, nil
	}
	if self, err := os.Executable(); err == nil {
		if path := filepath.Join(filepath.Dir(self), engineBinary); isFile(path) {
			return path, nil
		}
	}
	if path, err := exec.LookPath(engineBinary); err == nil {
		return path, nil
	}
	return "", errNoEngine
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// engineGrace is how long the engine may take to end by itself.
const engineGrace = 10 * time.Second

func (e *engine) stop() error {
	if e == nil {
		return nil
	}
	e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.exited:
	case <-time.After(engineGrace):
		e.cmd.Process.Kill()
		<-e.exited
	}
	return nil
}
