package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
)

// A cluster is everything that runs:
//
//	writers ─► agent-a ─► P0 ─► collector-1 or collector-2 ─┐
//	writers ─► agent-b ─► P1 ─► collector-1 ────────────────┼─► PE ─► engine
//	                  └─► P2 ─► collector-2 ────────────────┘
//
// The P are proxies. Agent A's log lies on a disk of its own.
type cluster struct {
	dir      string
	spillway string // the program
	out      io.Writer
	began    time.Time

	disk       *disk
	engine     *engine
	collectors []*node
	agents     []*agent
	proxies    []*proxy
	front      *proxy // the one before both collectors
	replays    replays

	kills, faults *counters

	stopWatching context.CancelFunc
	watching     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	events  *os.File   // what was done when
	foundBy []string   // what went wrong beside numbers
}

// An engine is a real ClickHouse.
type engine struct {
	*process
	http string // address
}

// A node is an agent or a collector.
type node struct {
	*process
	grpc, http, admin string // addresses
}

func (n *node) metrics() (map[string]float64, error) {
	said, err := get("http://" + n.admin + "/metrics")
	if err != nil {
		return nil, err
	}
	return kit.Samples(said)
}

// An agent is a node with a log and files to tail.
type agent struct {
	*node
	wal, files string // directories
	lastKill   time.Time
	destroyed  []generation // of its log, by us
}

// newCluster makes everything that start starts. stop is due, also after an error.
func newCluster(dir string, o options) (c *cluster, err error) {
	c = &cluster{dir: dir, spillway: o.spillway, out: o.out, began: time.Now(), kills: newCounters(), faults: newCounters()}
	if c.events, err = os.Create(filepath.Join(dir, "events.log")); err != nil {
		return c, err
	}
	if c.disk, err = mountDisk(dir, diskMiB); err != nil {
		return c, err
	}
	return c, c.lay(o)
}

// start returns when all processes answer.
func (c *cluster) start(ctx context.Context) error {
	for _, p := range c.processes() {
		if err := p.up(ctx); err != nil {
			return err
		}
	}
	watch, stop := context.WithCancel(context.Background())
	c.stopWatching = stop
	c.watching.Go(func() { c.watch(watch) })
	return nil
}

// lay makes all parts, from the engine up, each knowing the address of the one below.
func (c *cluster) lay(o options) error {
	http, err := kit.FreeAddr()
	if err != nil {
		return err
	}
	native, err := kit.FreeAddr()
	if err != nil {
		return err
	}
	data := filepath.Join(c.dir, "engine-data")
	c.engine = &engine{c.process("engine", o.engine, "http://"+http+"/ping", "--data-dir", data, "--http", http, "--native", native, "--die-with-parent"), http}

	before, err := c.proxy("PE", o.seed, http)
	if err != nil {
		return err
	}
	for i := range 2 {
		collector, err := c.node(fmt.Sprintf("collector-%d", i+1), "collector", collectorConfig, before.Addr())
		if err != nil {
			return err
		}
		c.collectors = append(c.collectors, collector)
	}
	one, two := c.collectors[0].grpc, c.collectors[1].grpc
	p0, err0 := c.proxy("P0", o.seed, one, two)
	p1, err1 := c.proxy("P1", o.seed, one)
	p2, err2 := c.proxy("P2", o.seed, two)
	if err := errors.Join(err0, err1, err2); err != nil {
		return err
	}
	c.front = p0
	return errors.Join(
		c.agent("agent-a", filepath.Join(c.disk.dir, "wal"), "max_size_mib: 64, min_free_mib: 1", fmt.Sprintf("[%q]", p0.Addr()), "zstd"),
		c.agent("agent-b", filepath.Join(c.dir, "wal-b"), "max_size_mib: 128, min_free_mib: 64", fmt.Sprintf("[%q, %q]", p1.Addr(), p2.Addr()), "none"))
}

func (c *cluster) process(name, binary, health string, args ...string) *process {
	return &process{name: name, binary: binary, args: args, health: health, output: filepath.Join(c.dir, name+".log"), event: c.event}
}

func (c *cluster) proxy(name string, seed uint64, targets ...string) (*proxy, error) {
	wire, err := kit.NewProxy(seed+uint64(len(c.proxies)), targets...)
	if err != nil {
		return nil, err
	}
	p := &proxy{Proxy: wire, name: name}
	c.proxies = append(c.proxies, p)
	return p, nil
}

// node makes an agent or a collector. The configuration's first three verbs are its addresses.
func (c *cluster) node(name, role, config string, args ...any) (*node, error) {
	n := &node{}
	var addrs []any
	for _, a := range []*string{&n.grpc, &n.http, &n.admin} {
		var err error
		if *a, err = kit.FreeAddr(); err != nil {
			return nil, err
		}
		addrs = append(addrs, *a)
	}
	file := filepath.Join(c.dir, name+".yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, append(addrs, args...)...), 0o600); err != nil {
		return nil, err
	}
	n.process = c.process(name, c.spillway, "http://"+n.admin+"/healthz", role, "--config", file)
	return n, nil
}

// diskMiB is the size of agent A's disk. Its log may take a part of it, so that a full disk and a
// full log are two things; a small one, so that its generations are.
const diskMiB = 192

// databaseName is the engine's own.
const databaseName = "otel"

// Short waits, so that much happens; small limits, so that they are met.
const (
	collectorConfig = `
receivers: {otlp: {grpc: {endpoint: %[1]q}, http: {endpoint: %[2]q}}}
admin: {endpoint: %[3]q}
memory_limiter: {limit_mib: 384}
batch: {timeout: 2s}
forward: {clickhouse: {dsn: "http://default:@%[4]s/` + databaseName + `", retry_on_failure: {initial_interval: 300ms, max_interval: 2s}}}
`
	agentConfig = `
receivers: {otlp: {grpc: {endpoint: %[1]q}, http: {endpoint: %[2]q}}, tail: [{include: [%[4]q, %[5]q]}]}
admin: {endpoint: %[3]q}
memory_limiter: {limit_mib: 256}
wal: {dir: %[6]q, %[7]s}
batch: {timeout: 500ms}
forward: {otlp: {endpoints: %[8]s, compression: %[9]s, retry_on_failure: {initial_interval: 300ms, max_interval: 2s}}}
`
)

func (c *cluster) agent(name, wal, limits, endpoints, compression string) error {
	files := filepath.Join(c.dir, "files-of-"+name)
	if err := os.Mkdir(files, 0o755); err != nil { // before the agent looks: one that comes later is found by its slow scan only
		return err
	}
	n, err := c.node(name, "agent", agentConfig, filepath.Join(files, "*.log"), filepath.Join(files, "*.log.*"), wal, limits, endpoints, compression)
	if err != nil {
		return err
	}
	c.agents = append(c.agents, &agent{node: n, wal: wal, files: files})
	return nil
}

// processes are all, downstream first.
func (c *cluster) processes() (all []*process) {
	if c.engine != nil {
		all = append(all, c.engine.process)
	}
	for _, n := range c.nodes() {
		all = append(all, n.process)
	}
	return all
}

// nodes are the collectors and the agents.
func (c *cluster) nodes() []*node {
	all := slices.Clone(c.collectors)
	for _, a := range c.agents {
		all = append(all, a.node)
	}
	return all
}

// watch starts again what ended by itself, which is found in the end.
func (c *cluster) watch(ctx context.Context) {
	for kit.Pause(ctx, 500*time.Millisecond) {
		for _, p := range c.processes() {
			if p.down() && p.turn.TryLock() {
				if err := p.start(); err != nil {
					c.found("%v", err)
				}
				p.turn.Unlock()
			}
		}
	}
}

// heal ends what is left of faults.
func (c *cluster) heal() {
	for _, p := range c.proxies {
		p.Set(kit.Weather{})
	}
	if err := c.disk.empty(); err != nil {
		c.found("%v", err)
	}
	c.event("healed")
}

// stop ends everything.
func (c *cluster) stop() {
	if c.stopWatching != nil {
		c.stopWatching()
		c.watching.Wait()
	}
	c.replays.stop()
	for _, p := range c.processes() {
		p.kill()
	}
	for _, p := range c.proxies {
		p.Close()
	}
	if c.disk != nil {
		if err := c.disk.close(); err != nil {
			fmt.Fprintln(c.out, "torture:", err)
		}
	}
	c.events.Close()
}

// event notes what happens, and when.
func (c *cluster) event(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.events, "%s +%.3f s: %s\n", time.Now().UTC().Format("15:04:05.000"), time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

// found notes something that makes the run a failure.
func (c *cluster) found(format string, args ...any) {
	c.event(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.foundBy = append(c.foundBy, fmt.Sprintf(format, args...))
}
