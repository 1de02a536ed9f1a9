package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/spillway-io/spillway/agent"
	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/loki"
	"github.com/spillway-io/spillway/forward/otlp"
	"github.com/spillway-io/spillway/tail"
)

func (p *program) agentCommand() *cobra.Command {
	var file string
	c := &cobra.Command{Use: "agent", Short: "collect on this node, keep it on disk, forward it to a collector", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load(roleAgent, file, p.env)
			if err != nil {
				return usageError{err}
			}
			log := p.logger()
			n, err := newNode(cfg.config, log)
			if err != nil {
				return err
			}
			log.Info("agent started", "version", versionString(), "otlp_grpc", addr(n.listening.GRPC), "otlp_http", addr(n.listening.HTTP), "loki", addr(n.loki), "admin", n.admin.addr(), "wal", cfg.WAL.Dir, "forward_to", cfg.Forward.OTLP.Endpoints)
			return n.run(c.Context())
		}}
	c.Flags().StringVar(&file, "config", "", "configuration file")
	return c
}

// A node is an agent with everything around it: what a standalone process has, too.
type node struct {
	cfg       *config
	log       *slog.Logger
	limiter   *forward.Limiter
	agent     *agent.Agent
	listening *otlp.Listening
	loki      net.Addr     // nil: off
	files     *agent.Files // nil: nothing to tail
	client    *otlp.Client
	admin     *admin
}

// newNode opens everything, so that a mistake shows before anything runs.
func newNode(cfg *config, log *slog.Logger) (*node, error) {
	if cfg.Forward.OTLP == nil {
		return nil, usageError{errors.New("forward.otlp: an agent needs endpoints")}
	}
	reg := newRegistry()
	n := &node{cfg: cfg, log: log, limiter: newLimiter(cfg.MemoryLimiter, forward.Hard, log)}
	var err error
	n.agent, err = agent.Open(agent.Config{WAL: cfg.WAL, Batch: cfg.Batch, Retry: cfg.Forward.OTLP.RetryOnFailure,
		Parallel: cfg.Forward.OTLP.NumConsumers, ShutdownTimeout: cfg.ShutdownTimeout}, n.limiter, reg, log)
	if err != nil {
		return nil, err
	}
	if n.client, err = otlp.NewClient(cfg.Forward.OTLP.ClientConfig, log); err != nil {
		return nil, errors.Join(err, n.agent.Close())
	}
	if err := n.openSources(reg); err != nil {
		return nil, errors.Join(err, n.client.Close(), n.agent.Close())
	}
	n.admin, err = newAdmin(cfg.Admin.Endpoint, reg, n.ready, n.status)
	return n, err
}

func (n *node) openSources(reg prometheus.Registerer) (err error) {
	receivers := n.cfg.Receivers.OTLP
	receivers.Clock = n.client.Clock() // for agents that send to this one
	server := otlp.NewServer(receivers, n.agent.Entrance(), n.limiter, n.agent.Metrics(), n.log)
	if n.listening, err = server.Listen(); err != nil {
		return err
	}
	pushes := loki.NewServer(n.cfg.Receivers.Loki, n.agent.Entrance(), n.limiter, n.agent.Metrics(), n.log)
	if n.loki, err = pushes.Beside(n.listening); err != nil {
		return err
	}
	if len(n.cfg.Receivers.Tail) == 0 {
		return nil
	}
	var configs []tail.Config
	parse := "auto"
	for _, t := range n.cfg.Receivers.Tail {
		c := t.tail()
		c.Exclude = append(slices.Clone(c.Exclude), ownOutput("/proc/self/fd")...)
		configs = append(configs, c)
		if t.Parse != "" {
			parse = t.Parse
		}
	}
	n.files, err = agent.NewFiles(configs, n.agent.Cursors(), lines.Options{Parse: parse}, n.attributes(), n.log)
	if err != nil {
		return err
	}
	reg.MustRegister(agent.NewFilesCollector(n.files))
	return nil
}

// ownOutput are the files that this process writes its own output to, if it does: to tail
// them would be to log about every line that was logged.
func ownOutput(fds string) (files []string) {
	for _, fd := range []string{"1", "2"} {
		name, err := filepath.EvalSymlinks(filepath.Join(fds, fd))
		if err != nil {
			continue // a pipe, a socket or nothing
		}
		if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
			files = append(files, name)
		}
	}
	return files
}

// attributes are the resource of tailed records.
func (n *node) attributes() (attrs []lines.Attr) {
	if n.cfg.Service.Name != "" {
		attrs = append(attrs, lines.Attr{Key: "service.name", Value: n.cfg.Service.Name})
	}
	for _, k := range slices.Sorted(maps.Keys(n.cfg.Resource)) {
		attrs = append(attrs, lines.Attr{Key: k, Value: n.cfg.Resource[k]})
	}
	return attrs
}

// receiver is the ports, of OTLP and of Loki, as a source.
type receiver struct {
	listening *otlp.Listening
	grace     time.Duration
}

func (r receiver) Run(ctx context.Context, _ forward.Sink) error {
	return r.listening.Serve(ctx, r.grace)
}

// requestGrace is how long requests under way may take to finish when intake stops.
const requestGrace = 5 * time.Second

// run delivers until ctx is done, then shuts down in the order of the data.
func (n *node) run(ctx context.Context) error {
	stop := n.admin.start(n.log)
	defer stop()
	sources := []agent.Source{receiver{n.listening, min(requestGrace, n.cfg.ShutdownTimeout)}}
	if n.files != nil {
		sources = append(sources, n.files)
	}
	err := n.agent.Run(ctx, sources, n.client)
	return errors.Join(err, n.client.Close())
}

func (n *node) ready() error {
	if p := n.limiter.Pressure(); p == forward.Hard {
		return errors.New("memory limit reached, refusing")
	}
	if open, since := n.agent.Circuit().Open(); open {
		return fmt.Errorf("nothing delivered since %s; data waits in the log", since.UTC().Format(time.RFC3339))
	}
	return nil
}

func (n *node) status() map[string]any {
	open, _ := n.agent.Circuit().Open()
	return map[string]any{"role": "agent", "version": versionString(), "pressure": n.limiter.Pressure().String(), "circuit_open": open,
		"otlp_grpc": addr(n.listening.GRPC), "otlp_http": addr(n.listening.HTTP), "loki": addr(n.loki), "wal": n.agent.Status()}
}

func addr(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}
