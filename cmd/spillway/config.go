package main

import (
	"errors"
	"fmt"
	"net"
	"os"
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
	Service         serviceConfig         `yaml:"service"`
	Resource        map[string]string     `yaml:"resource"` // attributes of tailed records
	Receivers       receiversConfig       `yaml:"receivers"`
	MemoryLimiter   forward.LimiterConfig `yaml:"memory_limiter"`
	WAL             agent.WALConfig       `yaml:"wal"`
	Batch           forward.BatchConfig   `yaml:"batch"`
	Forward         forwardConfig         `yaml:"forward"`
	Schema          schemaConfig          `yaml:"schema"`
	Admin           adminConfig           `yaml:"admin"`
	ShutdownTimeout time.Duration         `yaml:"shutdown_timeout"`
	Collector       *config               `yaml:"collector"` // standalone only: the collector half
}

type serviceConfig struct {
	Name string `yaml:"name"` // default service.name of tailed records
}

type receiversConfig struct {
	OTLP otlp.ServerConfig   `yaml:"otlp"`
	Loki otlp.ListenerConfig `yaml:"loki"` // of push requests; off by default
	Tail []tailConfig        `yaml:"tail"`
}

type tailConfig struct {
	Include      []string `yaml:"include"`
	Exclude      []string `yaml:"exclude"`
	Format       string   `yaml:"format"`         // auto, cri, docker or plain
	Parse        string   `yaml:"parse"`          // auto: JSON of structlog and friends; none: the line is the body
	StartAt      string   `yaml:"start_at"`       // beginning or end
	MaxLineBytes int      `yaml:"max_line_bytes"` // longer lines are cut and marked
}

type forwardConfig struct {
	OTLP       *forwardOTLP       `yaml:"otlp"`
	ClickHouse *forwardClickHouse `yaml:"clickhouse"`
}

type forwardOTLP struct {
	otlp.ClientConfig
	RetryOnFailure forward.RetryConfig `yaml:"retry_on_failure"`
	NumConsumers   int                 `yaml:"num_consumers"` // batches in flight for each signal
}

type forwardClickHouse struct {
	DSN            string              `yaml:"dsn"` // several hosts are replicas of one another
	TLS            *otlp.ClientTLS     `yaml:"tls"` // with an https DSN; none: the system's authorities
	RetryOnFailure forward.RetryConfig `yaml:"retry_on_failure"`
}

type schemaConfig struct {
	Create        bool      `yaml:"create"` // make what is missing at start
	Retention     retention `yaml:"retention"`
	ColdAfter     retention `yaml:"cold_after"` // move to volume cold after; empty: no move rule
	StoragePolicy string    `yaml:"storage_policy"`
	Cluster       string    `yaml:"cluster"` // of remote_servers: replicated tables on all its nodes

	ReplicatedDatabase bool `yaml:"replicated_database"` // the database's engine is Replicated: nothing is sent ON CLUSTER
	Managed            bool `yaml:"managed"`             // ClickHouse Cloud
}

// retention is schema.Retention with keys.
type retention struct {
	Traces  time.Duration `yaml:"traces"`
	Logs    time.Duration `yaml:"logs"`
	Metrics time.Duration `yaml:"metrics"`
}

type adminConfig struct {
	Endpoint string `yaml:"endpoint"` // /metrics, /healthz, /readyz, /status; "": off
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
	named map[string]bool // dotted paths that the file sets
}

// load reads a file over the defaults of r; "" is no file. All errors are reported at once.
func load(r role, file string, env func(string) (string, bool)) (*loaded, error) {
	l := &loaded{config: defaults(r), file: file, named: make(map[string]bool)}
	var errs []error
	if file != "" {
		src, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		errs = append(errs, decodeYAML(file, src, l.config, env, l.named)...)
	}
	errs = append(errs, fromEnv(l, env)...)
	fromOTel(l, env)
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
			errs = append(errs, fmt.Errorf("%s%s: %s", l.prefix(), key, strings.TrimSpace(line)))
		}
	}
	if l.ShutdownTimeout <= 0 {
		at("shutdown_timeout", errors.New("must be positive, for instance 20s"))
	}
	at("memory_limiter", l.MemoryLimiter.Validate())
	at("batch", l.Batch.Validate())
	at("receivers.otlp.grpc", listener(l.Receivers.OTLP.GRPC))
	at("receivers.otlp.http", listener(l.Receivers.OTLP.HTTP))
	at("receivers.loki", listener(l.Receivers.Loki))
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
	if f := l.Forward.OTLP; f != nil {
		at("forward.otlp", f.Validate())
		at("forward.otlp.retry_on_failure", f.RetryOnFailure.Validate())
		if f.NumConsumers < 1 || f.NumConsumers > 64 {
			at("forward.otlp.num_consumers", errors.New("must be between 1 and 64"))
		}
		for _, e := range f.Endpoints {
			at("forward.otlp.endpoints", l.loop(e))
		}
	}
	if r == roleStandalone && l.Collector != nil {
		half := &loaded{config: l.Collector, file: l.file, named: l.named}
		for _, err := range half.check(roleCollector) {
			errs = append(errs, fmt.Errorf("collector: %w", err))
		}
	}
	return errs
}

func (l *loaded) prefix() string {
	if l.file == "" {
		return ""
	}
	return l.file + ": "
}

func (l *loaded) checkCollector(at func(string, error)) {
	if l.Forward.ClickHouse == nil {
		at("forward.clickhouse", errors.New("a collector needs dsn"))
		return
	}
	if conn, err := l.openClickHouse(); err != nil {
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

func listener(c otlp.ListenerConfig) error {
	if c.Endpoint == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.Endpoint); err != nil {
		return fmt.Errorf("endpoint: %q: write host:port", c.Endpoint)
	}
	if c.MaxRecvMsgSizeMiB < 0 || c.MaxRecvMsgSizeMiB > 30 {
		return errors.New("max_recv_msg_size_mib: must be between 1 and 30")
	}
	_, err := c.TLS.Config()
	return err
}

// loop refuses a target that is one of our own listeners: the data would go in circles.
func (l *loaded) loop(target string) error {
	target = strings.TrimPrefix(target, "dns:///")
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return fmt.Errorf("%q: write host:port", target)
	}
	for _, own := range []string{l.Receivers.OTLP.GRPC.Endpoint, l.Receivers.OTLP.HTTP.Endpoint, l.Receivers.Loki.Endpoint} {
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
	c.Include, c.Exclude = t.Include, t.Exclude
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
	return err
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
