package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-io/spillway/agent"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/clickhouse"
	"github.com/spillway-io/spillway/forward/otlp"
	"github.com/spillway-io/spillway/schema"
	"github.com/spillway-io/spillway/tail"
)

// A config is one file. Which keys a role uses is decided by the role; each key has a default.
type config struct {
	Service         serviceConfig         `yaml:"service"`          // what records are about that do not say so
	Resource        map[string]string     `yaml:"resource"`         // resource attributes of records from files, the journal and stdin, where those do not say otherwise
	Receivers       receiversConfig       `yaml:"receivers"`        // ways in
	MemoryLimiter   forward.LimiterConfig `yaml:"memory_limiter"`   // how much memory may be spoken for; above it senders are told when to come back
	WAL             agent.WALConfig       `yaml:"wal"`              // an agent's log on disk, where everything is until it is delivered
	Batch           forward.BatchConfig   `yaml:"batch"`            // what goes together: a request of an agent, a block of a collector
	Forward         forwardConfig         `yaml:"forward"`          // ways out
	Schema          schemaConfig          `yaml:"schema"`           // a collector's tables
	Admin           adminConfig           `yaml:"admin"`            // the port for people and Prometheus
	ShutdownTimeout time.Duration         `yaml:"shutdown_timeout"` // how long SIGTERM waits for deliveries; what is left is said, and stays in the log
	Collector       *config               `yaml:"collector"`        // standalone's collector half: the keys of a collector, where they differ from its defaults

	secrets []string // what files held that values name; not a key
}

type serviceConfig struct {
	Name string `yaml:"name"` // service.name of records from files, the journal and stdin, where nothing else says it
}

type receiversConfig struct {
	OTLP otlp.ServerConfig   `yaml:"otlp"` // OTLP over gRPC and HTTP
	Loki otlp.ListenerConfig `yaml:"loki"` // Loki's push API, off until an endpoint is named; see loki.md
	Tail []tailConfig        `yaml:"tail"` // log files; of several entries the first whose globs match a file decides; see tail.md

	Journald []agent.JournalConfig `yaml:"journald"` // systemd's journal, by journalctl; see journald.md
}

type tailConfig struct {
	Include      []string `yaml:"include"`        // globs of absolute paths, of which * does not match a slash
	Exclude      []string `yaml:"exclude"`        // globs of files that include names and that are left alone; default: *.gz and *.tmp, which are read as rotated files all the same
	Format       string   `yaml:"format"`         // cri, docker, plain, or auto: by each file's first line; default: auto
	Parse        string   `yaml:"parse"`          // auto: JSON of structlog and friends becomes fields; none: the line is the body; default: auto
	StartAt      string   `yaml:"start_at"`       // beginning or end, of files that were there before the agent saw them for the first time; default: beginning
	MaxLineBytes int      `yaml:"max_line_bytes"` // longer lines are cut, marked with log.truncated and counted; default: 1048576

	Multiline        multilineConfig `yaml:"multiline"`          // lines that are one record
	ForceFlushPeriod time.Duration   `yaml:"force_flush_period"` // how long a line waits for those that may belong to it; default: 1s
	RateLimit        rateLimitConfig `yaml:"rate_limit"`         // how fast one source is read; what is over it waits in the file, so that one pod cannot fill the log

	linesConfig
}

// multilineConfig has the OpenTelemetry Collector's names where it has them.
type multilineConfig struct {
	Mode             string `yaml:"mode"`               // auto: stack traces of Python, Java, Go and Node are joined; none; default: auto
	LineStartPattern string `yaml:"line_start_pattern"` // regular expression (RE2) of a record's first line, instead of mode
	MaxLines         int    `yaml:"max_lines"`          // lines of one record; the next begins another; default: 256
	MaxBytes         int    `yaml:"max_bytes"`          // likewise; default: 262144
}

type rateLimitConfig struct {
	BytesPerSecond int64       `yaml:"bytes_per_second"` // 0: no limit
	BurstBytes     int64       `yaml:"burst_bytes"`      // 0: ten seconds' worth
	Per            tail.Source `yaml:"per"`              // what a source is: file, or directory, which in Kubernetes is a container with its restarts; default: file
}

type forwardConfig struct {
	OTLP       *forwardOTLP       `yaml:"otlp"`       // where an agent sends, by gRPC
	ClickHouse *forwardClickHouse `yaml:"clickhouse"` // where a collector inserts, over ClickHouse's HTTP or native protocol
}

type forwardOTLP struct {
	otlp.ClientConfig
	RetryOnFailure forward.RetryConfig `yaml:"retry_on_failure"` // how long to wait between attempts; nothing is given up by time
	NumConsumers   int                 `yaml:"num_consumers"`    // batches in flight for each signal, 1 to 64
}

type forwardClickHouse struct {
	DSN            string              `yaml:"dsn" secret:"dsn"` // http://, https:// or clickhouse://USER:PASSWORD@HOST:PORT/DATABASE; several hosts, with commas, are replicas of one another
	TLS            *otlp.ClientTLS     `yaml:"tls"`              // with an https DSN; none: the system's authorities
	RetryOnFailure forward.RetryConfig `yaml:"retry_on_failure"` // of one block, and never beyond the time that its senders wait
}

type schemaConfig struct {
	Create        bool      `yaml:"create"`         // make and change tables at the start; nothing that removes rows. false: spillway schema apply does
	Retention     retention `yaml:"retention"`      // the age at which rows go, by their own time
	ColdAfter     retention `yaml:"cold_after"`     // the age at which rows move to the volume cold of the storage policy; 0s: never
	StoragePolicy string    `yaml:"storage_policy"` // of the server, one with a volume cold if cold_after is set; "": the server's default
	Cluster       string    `yaml:"cluster"`        // of the server's remote_servers: replicated tables on all its nodes; "": one server

	ReplicatedDatabase bool `yaml:"replicated_database"` // the database's engine is Replicated: nothing is sent ON CLUSTER
	Managed            bool `yaml:"managed"`             // ClickHouse Cloud: engines and storage are its own affair
}

// retention is schema.Retention with keys.
type retention struct {
	Traces  time.Duration `yaml:"traces"`  // of otel_traces; 0s: never
	Logs    time.Duration `yaml:"logs"`    // of otel_logs; 0s: never
	Metrics time.Duration `yaml:"metrics"` // of otel_metrics_*; 0s: never
}

type adminConfig struct {
	Endpoint string `yaml:"endpoint"` // host:port of the status page, /status, /metrics, /healthz, /readyz and /debug/pprof; it asks for no password; "": off
}

// A role decides defaults and what is asked of a config.
type role string

const (
	roleAgent      role = "agent"
	roleCollector  role = "collector"
	roleStandalone role = "standalone"
)

// collectorEndpoint is where an agent sends when nobody says otherwise.
const collectorEndpoint = "127.0.0.1:4319"

func defaults(r role) *config {
	c := &config{
		MemoryLimiter:   forward.DefaultLimiterConfig(),
		WAL:             agent.DefaultWALConfig(),
		ShutdownTimeout: 20 * time.Second,
	}
	switch r {
	case roleCollector:
		c.Receivers.OTLP.GRPC = otlp.ListenerConfig{Endpoint: "0.0.0.0:4319", MaxRecvMsgSizeMiB: 20}
		c.Receivers.OTLP.HTTP = otlp.ListenerConfig{Endpoint: "0.0.0.0:4320", MaxRecvMsgSizeMiB: 20}
		c.Batch = clickhouse.DefaultBatchConfig()
		c.Forward.ClickHouse = &forwardClickHouse{DSN: "http://default:@127.0.0.1:8123/otel", RetryOnFailure: forward.DefaultRetryConfig()}
		c.Schema = schemaConfig{Create: true, Retention: retention(schema.DefaultOptions().Retention)}
		c.Admin.Endpoint = "127.0.0.1:13134"
	default:
		c.Receivers.OTLP.GRPC = otlp.ListenerConfig{Endpoint: "127.0.0.1:4317", MaxRecvMsgSizeMiB: 16}
		c.Receivers.OTLP.HTTP = otlp.ListenerConfig{Endpoint: "127.0.0.1:4318", MaxRecvMsgSizeMiB: 16}
		c.Batch = forward.DefaultBatchConfig()
		c.Forward.OTLP = &forwardOTLP{
			ClientConfig:   otlp.ClientConfig{Endpoints: []string{collectorEndpoint}, Compression: "zstd", Timeout: 60 * time.Second, Identity: "auto"},
			RetryOnFailure: forward.DefaultRetryConfig(), NumConsumers: 4,
		}
		c.Admin.Endpoint = "127.0.0.1:13133"
	}
	if r == roleStandalone {
		c.Collector = defaults(roleCollector)
		c.Collector.Receivers.OTLP.GRPC.Endpoint = "127.0.0.1:4319"
		c.Collector.Receivers.OTLP.HTTP.Endpoint = "127.0.0.1:4320"
	}
	return c
}

// A loaded config remembers which keys the file named.
type loaded struct {
	*config
	file  string
	named map[string]bool   // dotted paths that the file sets
	at    map[string]string // file:line:column of these, and of elements of lists
	below string            // what the keys of this config are below in the file
}

// load reads a file over the defaults of r; "" is no file. All errors are reported at once.
func load(r role, file string, env func(string) (string, bool)) (*loaded, error) {
	l := &loaded{config: defaults(r), file: file, named: make(map[string]bool), at: make(map[string]string)}
	var errs []error
	if file != "" {
		src, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		errs = append(errs, decodeYAML(file, src, l, env)...)
	}
	errs = append(errs, fromEnv(l, env)...)
	fromOTel(l, env)
	if l.Collector != nil {
		l.Collector.secrets = l.secretTexts() // both halves write the same log
	}
	errs = append(errs, l.check(r)...)
	return l, errors.Join(errs...)
}

// fromOTel takes the variables of the OpenTelemetry SDKs for what nobody else has said.
func fromOTel(l *loaded, env func(string) (string, bool)) {
	if f := l.Forward.OTLP; f != nil && !l.named["forward.otlp.endpoints"] {
		if v, ok := env("OTEL_EXPORTER_OTLP_ENDPOINT"); ok && v != "" {
			host, plain := strings.CutPrefix(v, "http://")
			host, secure := strings.CutPrefix(host, "https://")
			f.Endpoints = []string{strings.TrimSuffix(host, "/")}
			if secure && !plain && f.TLS == nil {
				f.TLS = &otlp.ClientTLS{}
			}
		}
		if v, ok := env("OTEL_EXPORTER_OTLP_CERTIFICATE"); ok && v != "" && f.TLS == nil {
			f.TLS = &otlp.ClientTLS{CAFile: v}
		}
		if v, ok := env("OTEL_EXPORTER_OTLP_HEADERS"); ok && f.Headers == nil {
			f.Headers = pairs(v)
		}
	}
	if v, ok := env("OTEL_SERVICE_NAME"); ok && l.Service.Name == "" {
		l.Service.Name = v
	}
	if v, ok := env("OTEL_RESOURCE_ATTRIBUTES"); ok {
		for k, v := range pairs(v) {
			if _, set := l.Resource[k]; !set {
				if l.Resource == nil {
					l.Resource = make(map[string]string)
				}
				l.Resource[k] = v
			}
		}
	}
}

// pairs reads k=v,k=v.
func pairs(s string) map[string]string {
	out := make(map[string]string)
	for _, kv := range strings.Split(s, ",") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			out[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	return out
}

// check asks each part whether it makes sense, and whether they do together.
func (l *loaded) check(r role) []error {
	var errs []error
	at := func(key string, err error) {
		if err == nil {
			return
		}
		for line := range strings.Lines(err.Error()) {
			errs = append(errs, fmt.Errorf("%s%s: %s", l.place(key), join(l.below, key), strings.TrimSpace(line)))
		}
	}
	if l.ShutdownTimeout <= 0 {
		at("shutdown_timeout", errors.New("must be positive, for instance 20s"))
	}
	at("memory_limiter", l.MemoryLimiter.Validate())
	at("batch", l.Batch.Validate())
	at("receivers.otlp.grpc", l.Receivers.OTLP.GRPC.Validate())
	at("receivers.otlp.http", l.Receivers.OTLP.HTTP.Validate())
	at("receivers.loki", l.Receivers.Loki.Validate())
	if l.Receivers.Loki.MaxConnectionAge != 0 {
		at("receivers.loki.max_connection_age", errors.New("is for gRPC: leave it out"))
	}
	if r == roleCollector {
		l.checkCollector(at)
		return errs
	}
	at("wal", l.WAL.Validate())
	for i, t := range l.Receivers.Tail {
		at(fmt.Sprintf("receivers.tail[%d]", i), t.validate())
	}
	for i, j := range l.Receivers.Journald {
		at(fmt.Sprintf("receivers.journald[%d]", i), j.Validate())
	}
	if f := l.Forward.OTLP; f != nil {
		at("forward.otlp", f.Validate())
		checkTLS(at, "forward.otlp.tls", f.TLS)
		at("forward.otlp.retry_on_failure", f.RetryOnFailure.Validate())
		if f.NumConsumers < 1 || f.NumConsumers > 64 {
			at("forward.otlp.num_consumers", errors.New("must be between 1 and 64"))
		}
		for _, e := range f.Endpoints {
			at("forward.otlp.endpoints", l.loop(e))
		}
	}
	if r == roleStandalone && l.Collector != nil {
		half := &loaded{config: l.Collector, file: l.file, named: l.named, at: l.at, below: "collector"}
		errs = append(errs, half.check(roleCollector)...)
	}
	return errs
}

// checkTLS looks at the files, so that one that is missing has its key's place.
func checkTLS(at func(string, error), key string, c *otlp.ClientTLS) {
	if c == nil || c.Insecure {
		return
	}
	if c.CAFile != "" {
		_, err := (&otlp.ClientTLS{CAFile: c.CAFile}).Config()
		at(key+".ca_file", err)
	}
	if c.CertFile != "" || c.KeyFile != "" {
		_, err := (&otlp.ClientTLS{CertFile: c.CertFile, KeyFile: c.KeyFile}).Config()
		at(key+".cert_file", err)
	}
}

// place is where in the file a key is, or the nearest section around it that the file has, with a colon
// behind it: what begins a message about it.
func (l *loaded) place(key string) string {
	if l.file == "" {
		return ""
	}
	for full := join(l.below, key); full != ""; {
		if at, ok := l.at[full]; ok {
			return at + ": "
		}
		full = full[:max(0, strings.LastIndexAny(full, ".["))]
	}
	return l.file + ": "
}

func (l *loaded) checkCollector(at func(string, error)) {
	if l.Forward.ClickHouse == nil {
		at("forward.clickhouse", errors.New("a collector needs dsn"))
		return
	}
	if _, err := l.Forward.ClickHouse.TLS.Config(); err != nil {
		checkTLS(at, "forward.clickhouse.tls", l.Forward.ClickHouse.TLS)
		_, err := clickhouse.ParseDSN(l.Forward.ClickHouse.DSN)
		at("forward.clickhouse", err)
	} else if conn, err := l.openClickHouse(); err != nil {
		at("forward.clickhouse", err)
	} else {
		conn.Close() // it did not connect yet
	}
	at("forward.clickhouse.retry_on_failure", l.Forward.ClickHouse.RetryOnFailure.Validate())
	at("schema", l.tables().Validate())
}

// tables is the options that tables are made with; the database is the DSN's.
func (c *config) tables() schema.Options {
	o := schema.DefaultOptions()
	o.Retention, o.ColdAfter = schema.Retention(c.Schema.Retention), schema.Retention(c.Schema.ColdAfter)
	o.StoragePolicy, o.Cluster, o.ReplicatedDatabase, o.Managed = c.Schema.StoragePolicy, c.Schema.Cluster, c.Schema.ReplicatedDatabase, c.Schema.Managed
	return o
}

// openClickHouse does not connect yet.
func (c *config) openClickHouse() (*clickhouse.Conn, error) {
	secure, err := c.Forward.ClickHouse.TLS.Config()
	if err != nil {
		return nil, err
	}
	return clickhouse.Open(c.Forward.ClickHouse.DSN, c.tables(), secure)
}

// loop refuses a target that is one of our own listeners: the data would go in circles.
func (l *loaded) loop(target string) error {
	listeners := []string{l.Receivers.OTLP.GRPC.Endpoint, l.Receivers.OTLP.HTTP.Endpoint, l.Receivers.Loki.Endpoint}
	if socket, ok := strings.CutPrefix(target, "unix://"); ok {
		if slices.Contains(listeners, socket) {
			return fmt.Errorf("%q is this process's own listener: name the collector", target)
		}
		return nil
	}
	target = strings.TrimPrefix(target, "dns:///")
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return fmt.Errorf("%q: write host:port, or unix:///path", target)
	}
	for _, own := range listeners {
		ownHost, ownPort, err := net.SplitHostPort(own)
		if err == nil && port == ownPort && port != "0" && (local(host) && (local(ownHost) || ownHost == "0.0.0.0" || ownHost == "::" || ownHost == "") || host == ownHost) {
			return fmt.Errorf("%q is this process's own listener %s: name the collector, by default port 4319", target, own)
		}
	}
	return nil
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (t tailConfig) tail() tail.Config {
	c := tail.DefaultConfig()
	c.Include = t.Include
	if t.Exclude != nil {
		c.Exclude = t.Exclude
	}
	c.Multiline = tail.MultilineConfig{Mode: t.Multiline.Mode, LineStartPattern: t.Multiline.LineStartPattern,
		MaxLines: t.Multiline.MaxLines, MaxBytes: t.Multiline.MaxBytes, ForceFlushPeriod: t.ForceFlushPeriod}
	c.RateLimit = tail.RateLimit(t.RateLimit)
	if t.Format != "" {
		c.Format = t.Format
	}
	if t.StartAt != "" {
		c.StartAt = t.StartAt
	}
	if t.MaxLineBytes != 0 {
		c.MaxLineBytes = t.MaxLineBytes
	}
	return c
}

func (t tailConfig) validate() error {
	err := t.tail().Validate()
	switch t.Parse {
	case "", "auto", "none":
	default:
		err = errors.Join(err, fmt.Errorf("parse: %q: use auto or none", t.Parse))
	}
	return errors.Join(err, t.linesConfig.validate())
}

// parseDuration is Go's, and d for days.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write for instance 100ms, 5s, 2h or 7d", s)
	}
	return d, nil
}
