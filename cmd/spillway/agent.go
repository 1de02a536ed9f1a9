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
	"sync/atomic"
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
	var stdin bool
	c := &cobra.Command{Use: "agent", Short: "collect on this node, keep it on disk, forward it to a collector", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.serve(c.Context(), file, func(_ context.Context, log *slog.Logger, r *reloads) (service, error) {
				cfg, err := load(roleAgent, file, p.env)
				if err != nil {
					return nil, usageError{err}
				}
				n, err := newNode(cfg.config, log, r)
				if err != nil {
					return nil, err
				}
				n.again = func() (*loaded, error) { return load(roleAgent, file, p.env) }
				if stdin {
					n.stdin = agent.NewStdin(os.Stdin, tail.DefaultConfig(), lines.Options{}, cfg.attributes(), cfg.ShutdownTimeout, log)
				}
				log.Info("agent started", "version", versionString(), "otlp_grpc", addr(n.listening.GRPC), "otlp_http", addr(n.listening.HTTP), "loki", addr(n.loki), "admin", n.admin.addr(), "wal", cfg.WAL.Dir, "forward_to", cfg.Forward.OTLP.Endpoints)
				return n, nil
			})
		}}
	c.Flags().StringVar(&file, "config", "", "configuration file")
	c.Flags().BoolVar(&stdin, "stdin", false, "take the lines of stdin, and stop at its end")
	return c
}

// A node is an agent with everything around it: what a standalone process has, too.
type node struct {
	cfg       *config                // of the start
	now       atomic.Pointer[config] // of the last reload, which alone sets it
	again     func() (*loaded, error)
	log       *slog.Logger
	started   time.Time
	reloads   *reloads
	doors     *doors
	tier      *tier // of a standalone process; else nil
	limiter   *forward.Limiter
	agent     *agent.Agent
	self      agent.Self
	server    *otlp.Server
	pushes    *loki.Server
	listening *otlp.Listening
	loki      net.Addr // nil: off
	tailing   *agent.Slot
	journals  *agent.Slot
	stdin     *agent.Stdin // nil: not read
	client    *otlp.Client
	admin     *admin

	filesNow    atomic.Pointer[agent.Files] // nil: nothing to tail
	filesDoor   *door
	stdinDoor   *door
	journalsNow atomic.Pointer[[]*agent.Journal]
	journalDoor atomic.Pointer[[]*door]
}

// newNode opens everything, so that a mistake shows before anything runs.
func newNode(cfg *config, log *slog.Logger, r *reloads) (*node, error) {
	if cfg.Forward.OTLP == nil {
		return nil, usageError{errors.New("forward.otlp: an agent needs endpoints")}
	}
	reg := newRegistry()
	r.register(reg)
	n := &node{cfg: cfg, log: log, started: time.Now(), reloads: r, doors: newDoors(), filesDoor: &door{name: "files"}, stdinDoor: &door{name: "stdin", address: "stdin"},
		limiter: newLimiter(cfg.MemoryLimiter, forward.Hard, log)}
	n.now.Store(cfg)
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
	n.server = otlp.NewServer(n.ports(n.cfg), n.doors.otlp(n.agent.Entrance()), n.limiter, n.agent.Metrics(), n.log)
	if n.listening, err = n.server.Listen(); err != nil {
		return err
	}
	n.pushes = loki.NewServer(n.cfg.Receivers.Loki, doorway{&n.doors.loki, n.agent.Entrance()}, n.limiter, n.agent.Metrics(), n.log)
	if n.loki, err = n.pushes.Beside(n.listening); err != nil {
		return err
	}
	n.doors.grpc.address, n.doors.http.address, n.doors.loki.address = addr(n.listening.GRPC), addr(n.listening.HTTP), addr(n.loki)
	n.self = agent.WhoAmI("/proc", os.LookupEnv)
	n.journals = agent.NewSlot(n.newJournals(n.cfg))
	files, err := n.newFiles(n.cfg)
	if err != nil {
		return err
	}
	n.tailing = agent.NewSlot(files)
	reg.MustRegister(agent.NewFilesCollector(n.filesNow.Load),
		agent.NewJournalCollector(func() []*agent.Journal { return *n.journalsNow.Load() }))
	return nil
}

// ports is what the OTLP server is made of.
func (n *node) ports(cfg *config) otlp.ServerConfig {
	c := cfg.Receivers.OTLP
	c.Clock = n.client.Clock() // for agents that send to this one
	return c
}

// newFiles is nil when there is nothing to tail.
func (n *node) newFiles(cfg *config) (agent.Source, error) {
	n.filesNow.Store(nil)
	if len(cfg.Receivers.Tail) == 0 {
		return nil, nil
	}
	var groups []agent.FileGroup
	for _, t := range cfg.Receivers.Tail {
		g := agent.FileGroup{Tail: t.tail(), Lines: t.options(t.Parse), Rules: t.ResourceRules, Attrs: append(attributes(t.Resource), cfg.attributes()...)}
		g.Tail.Exclude = slices.Concat(g.Tail.Exclude, ownOutput("/proc/self/fd"), n.self.OwnLogs(g.Tail.Include))
		groups = append(groups, g)
	}
	files, err := agent.NewFiles(groups, n.agent.Cursors(), n.agent.Missed, n.log)
	if err != nil {
		return nil, err
	}
	n.filesNow.Store(files)
	return counted{files, n.filesDoor}, nil
}

// newJournals does not run journalctl yet.
func (n *node) newJournals(cfg *config) agent.Source {
	journals, sources, doors := []*agent.Journal{}, agent.Together{}, []*door{}
	ordinals := make(map[string]int) // several of a directory are told apart by their order
	for _, c := range cfg.Receivers.Journald {
		j := agent.NewJournal(c, ordinals[c.Directory], cfg.attributes(), n.self, n.agent.Cursors(), n.log)
		d := &door{name: "journal", address: orDefault(c.Directory, false, "the system's")}
		journals, sources, doors = append(journals, j), append(sources, counted{j, d}), append(doors, d)
		ordinals[c.Directory]++
	}
	n.journalsNow.Store(&journals)
	n.journalDoor.Store(&doors)
	return sources
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
func (c *config) attributes() (attrs []lines.Attr) {
	if c.Service.Name != "" {
		attrs = append(attrs, lines.Attr{Key: "service.name", Value: c.Service.Name})
	}
	return append(attrs, attributes(c.Resource)...)
}

// attributes are a map's entries, by key.
func attributes(m map[string]string) (attrs []lines.Attr) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		attrs = append(attrs, lines.Attr{Key: k, Value: m[k]})
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

// A last source ends the node when it ends.
type last struct {
	agent.Source
	end func()
}

func (l last) Run(ctx context.Context, next forward.Sink) error {
	defer l.end()
	return l.Source.Run(ctx, next)
}

// requestGrace is how long requests under way may take to finish when intake stops.
const requestGrace = 5 * time.Second

// run delivers until ctx is done, then shuts down in the order of the data.
func (n *node) run(ctx context.Context) error {
	stop := n.admin.start(n.log)
	defer stop()
	sources := []agent.Source{receiver{n.listening, min(requestGrace, n.cfg.ShutdownTimeout)}, n.tailing, n.journals}
	if n.stdin != nil {
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		defer end()
		sources = append(sources, last{counted{n.stdin, n.stdinDoor}, end})
	}
	err := n.agent.Run(ctx, sources, n.client)
	return errors.Join(err, n.client.Close())
}

func (n *node) reload(ctx context.Context) ([]string, error) {
	cfg, err := n.again()
	if err != nil {
		return nil, err
	}
	c, err := n.prepare(ctx, cfg.config)
	if err != nil {
		return nil, err
	}
	return c.keys, c.apply(ctx)
}

// prepare finds out whether cfg can hold while the node runs.
func (n *node) prepare(ctx context.Context, cfg *config) (*change, error) {
	if cfg.Forward.OTLP == nil {
		return nil, errors.New("forward.otlp: an agent needs endpoints")
	}
	keys, err := compare(n.now.Load(), cfg, n.can)
	if err != nil {
		return nil, err
	}
	ports, err := n.server.Prepare(n.ports(cfg))
	if err != nil {
		return nil, err
	}
	pushes, err := n.pushes.Prepare(cfg.Receivers.Loki)
	if err != nil {
		return nil, err
	}
	target, discard := func() {}, func() {}
	if anyWithin(keys, targetSections...) || cfg.Forward.OTLP.TLS != nil { // the files that it names may have changed
		if target, discard, err = n.client.Prepare(ctx, cfg.Forward.OTLP.ClientConfig); err != nil {
			return nil, fmt.Errorf("forward.otlp: %w", err)
		}
	}
	return &change{keys: keys, discard: discard, apply: func(ctx context.Context) error {
		if err := n.exchange(ctx, keys, cfg); err != nil {
			discard()
			return err
		}
		ports()
		pushes()
		target()
		n.now.Store(cfg)
		return nil
	}}, nil
}

// can says what n takes over while it runs. What stdin's lines are is settled when it begins, and in
// overflow mode the log does not know all that the sources have read.
func (n *node) can(key string) bool {
	settled := n.stdin != nil && within(key, "service", "resource") ||
		n.cfg.WAL.Mode != forward.ModeAlways && (within(key, filesSections...) || within(key, journalSections...))
	return nodeCan(key) && !settled
}

// exchange has the sources of cfg take the place of those that keys tell of. What the log knows of
// files and journals is what the new ones begin with.
func (n *node) exchange(ctx context.Context, keys []string, cfg *config) error {
	if anyWithin(keys, filesSections...) {
		err := n.tailing.Exchange(ctx, func() (agent.Source, error) { return n.newFiles(cfg) })
		if errors.Is(err, agent.ErrEnded) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			back := n.tailing.Exchange(ctx, func() (agent.Source, error) { return n.newFiles(n.now.Load()) })
			return errors.Join(err, back)
		}
	}
	if anyWithin(keys, journalSections...) {
		return n.journals.Exchange(ctx, func() (agent.Source, error) { return n.newJournals(cfg), nil })
	}
	return nil
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

func (n *node) summary() string {
	_, held, _, _ := n.agent.Totals()
	text := fmt.Sprintf("delivering, %d items in the log", held)
	if err := n.ready(); err != nil {
		text = fmt.Sprintf("%v, %d items in the log", err, held)
	}
	return text
}

func addr(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}
