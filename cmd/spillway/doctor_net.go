package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/clickhouse"
	"github.com/spillway-io/spillway/forward/otlp"
	"github.com/spillway-io/spillway/schema"
)

const (
	// stepTime bounds one step: a name, a connection, a handshake, a question.
	stepTime = 5 * time.Second
	// expiresSoon is when a certificate should be renewed.
	expiresSoon = 14 * 24 * time.Hour
	// Clocks that differ by more than skewed put rows at the wrong time; by more than farOff, what comes in is taken for wrong.
	skewed, farOff = 2 * time.Second, time.Hour
)

// endpoints looks at each collector: its name, the connection, TLS, and whether OTLP is answered.
func (d *doctor) endpoints(ctx context.Context) {
	f := d.cfg.Forward.OTLP
	secure, err := f.TLS.Config()
	if err != nil {
		d.found("forward.otlp.tls", fail, "nothing is sent", "spillway check "+d.file, "%v", err)
		return
	}
	for _, e := range f.Endpoints {
		check := "forward.otlp " + e
		text, err := d.connect(ctx, check, strings.TrimPrefix(e, "dns:///"), secure)
		if err != nil {
			d.unreachable(check, e, err)
			continue
		}
		d.offer(ctx, check, e, text)
	}
}

func (d *doctor) unreachable(check, at string, err error) {
	words, do := inWords(err.Error())
	mend := do
	if host, port, e := net.SplitHostPort(strings.TrimPrefix(at, "dns:///")); e == nil {
		mend = fmt.Sprintf("nc -vz %s %s shows it from here. %s", host, port, do)
		if _, ok := errors.AsType[*net.DNSError](err); ok {
			mend = fmt.Sprintf("getent hosts %s shows it from here. %s", host, do)
		}
	}
	d.found(check, fail, "data waits in the log, or at its senders, until this works", mend, "%s: %v", words, err)
}

// connect gets to the port and through TLS, if that is not nil.
func (d *doctor) connect(ctx context.Context, check, at string, secure *tls.Config) (text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	network := "tcp"
	if socket, ok := strings.CutPrefix(at, "unix://"); ok {
		network, at = "unix", socket
	}
	began := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, network, at)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	text = fmt.Sprintf("connected to %s in %s", conn.RemoteAddr(), time.Since(began).Round(100*time.Microsecond))
	if secure == nil {
		return text, nil
	}
	own := secure.Clone()
	if own.ServerName == "" {
		own.ServerName, _, _ = net.SplitHostPort(at)
	}
	if own.NextProtos == nil {
		own.NextProtos = []string{"h2", "http/1.1"}
	}
	client := tls.Client(conn, own)
	if err := client.HandshakeContext(ctx); err != nil {
		return "", fmt.Errorf("TLS: %w", err)
	}
	state := client.ConnectionState()
	text += ", " + tls.VersionName(state.Version)
	if len(state.PeerCertificates) > 0 {
		if until := state.PeerCertificates[0].NotAfter; time.Until(until) < expiresSoon {
			d.found(check+" certificate", warn, "when it has expired nothing is delivered any more", "renew the certificate of "+at, "its certificate expires in %s", shortly(time.Until(until).Seconds()))
		}
	}
	return text, nil
}

// offer sends an empty request, which asks whether the collector is ready, and looks at the clock that it states.
func (d *doctor) offer(ctx context.Context, check, endpoint, text string) {
	cfg := d.cfg.Forward.OTLP.ClientConfig
	cfg.Endpoints, cfg.Timeout = []string{endpoint}, d.patience
	client, err := otlp.NewClient(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		d.unreachable(check, endpoint, err)
		return
	}
	defer client.Close()
	select {
	case <-client.Woken(): // connected
	case <-time.After(d.patience / 2):
	}
	asking, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	began := time.Now()
	err = client.Put(asking, forward.Batch{Signal: forward.Logs})
	took := time.Since(began).Round(100 * time.Microsecond)
	state := client.Status()[0]
	switch {
	case err == nil && state.Markers:
		d.good(check, "%s, OTLP answered in %s, and stores what is sent once", text, took)
	case err == nil:
		d.good(check, "%s, OTLP answered in %s; it is no spillway: what is sent again is stored again", text, took)
	case state.State == "ready" && strings.Contains(err.Error(), "DeadlineExceeded"): // it travels with the request: either side may end it
		d.found(check, warn, "data waits in the log meanwhile", "spillway status, on the collector: most often it waits for ClickHouse",
			"%s, and it did not answer an empty OTLP request within %s", text, took)
	case forward.Busy(err) != nil && strings.Contains(err.Error(), "ResourceExhausted"):
		words, do := inWords(err.Error())
		d.found(check, warn, "data waits in the log meanwhile", do, "%s, and it asks to wait: %s", text, words)
	default:
		d.unreachable(check, endpoint, err)
	}
	if now, known := client.Clock().Now(); known {
		d.clock("clock, by "+endpoint, time.Until(now))
	}
}

// clock judges how far another clock is ahead of ours.
func (d *doctor) clock(check string, ahead time.Duration) {
	text := fmt.Sprintf("ClickHouse's clock is %s ahead of this machine's", ahead.Round(time.Millisecond))
	if ahead < 0 {
		text = fmt.Sprintf("ClickHouse's clock is %s behind this machine's", (-ahead).Round(time.Millisecond))
	}
	const mend = "timedatectl set-ntp true && timedatectl timesync-status, on the machine that is wrong"
	switch apart := ahead.Abs(); {
	case apart > farOff:
		d.found(check, fail, "rows get times that retention and queries go wrong by", mend, "%s", text)
	case apart > skewed:
		d.found(check, warn, "times of rows that have none of their own are off by that; storing once does not depend on it", mend, "%s", text)
	default:
		d.good(check, "%s", text)
	}
}

// clickhouse looks at the server: each address, user, version, clock, tables, windows and rights.
func (d *doctor) clickhouse(ctx context.Context, cfg *config) {
	secure, err := cfg.Forward.ClickHouse.TLS.Config()
	if err != nil {
		d.found("forward.clickhouse.tls", fail, "nothing is stored", "spillway check "+d.file, "%v", err)
		return
	}
	opts, err := clickhouse.ParseDSN(cfg.Forward.ClickHouse.DSN)
	if err != nil {
		d.found("forward.clickhouse", fail, "nothing is stored", "spillway check "+d.file, "%v", err)
		return
	}
	if secure == nil {
		secure = opts.TLS
	}
	reached := false
	for _, at := range opts.Addr {
		check := "clickhouse " + at
		text, err := d.connect(ctx, check, at, secure)
		if err != nil {
			d.unreachable(check, at, err)
			continue
		}
		reached = true
		d.good(check, "%s", text)
	}
	if !reached {
		return
	}
	conn, err := cfg.openClickHouse()
	if err != nil {
		d.found("forward.clickhouse", fail, "nothing is stored", "spillway check "+d.file, "%v", err)
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 6*d.patience)
	defer cancel()
	switch err := conn.Ping(ctx); {
	case err == nil:
		now, _ := conn.Clock().Now()
		d.clock("clock", time.Until(now))
	case strings.Contains(strings.ToLower(err.Error()), "code: 81"): // no such database: so are the tables
	default:
		words, do := inWords(err.Error())
		d.found("clickhouse", fail, "nothing is stored, senders wait", do, "%s: %v", words, err)
		return
	}
	d.tables(ctx, cfg, conn, opts.Auth.Username)
}

// wantedWindow is how many INSERTs a repeated token is known among: what our tables are made with.
const wantedWindow = 10000

func (d *doctor) tables(ctx context.Context, cfg *config, conn *clickhouse.Conn, user string) {
	state, err := conn.State(ctx)
	if err != nil {
		words, do := inWords(err.Error())
		d.found("clickhouse", fail, "the tables cannot be looked at", do, "%s: %v", words, err)
		return
	}
	s := schema.NewStatus(state, conn.Tables())
	apply := "spillway schema apply --config " + d.file
	var missing, narrow []string
	for _, t := range s.Tables {
		if t.Engine == "missing" {
			missing = append(missing, t.Name)
			continue
		}
		if n, err := strconv.Atoi(t.Window); err != nil || n < wantedWindow {
			narrow = append(narrow, fmt.Sprintf("%s: %s", t.Name, t.Window))
		}
	}
	d.good("clickhouse version", "ClickHouse %s, database %s, user %s", s.Server, conn.Database(), user)
	switch {
	case len(missing) > 0 && cfg.Schema.Create:
		d.found("tables", warn, "a collector makes them at its start", apply+" makes them now", "%d tables are missing: %s", len(missing), strings.Join(missing, ", "))
	case len(missing) > 0:
		d.found("tables", fail, "what belongs into them waits at its senders, and schema.create is false", apply, "%d tables are missing: %s", len(missing), strings.Join(missing, ", "))
	default:
		d.good("tables", "all %d are there, schema version %d of %d", len(s.Tables), s.Version, schema.CurrentVersion)
	}
	if len(narrow) > 0 {
		d.found("deduplication windows", warn, fmt.Sprintf("a collector that got no answer sends the same block again with the same token, and the server knows it again only within its window; see docs/adr/0012. %d is wanted", wantedWindow),
			apply, "%s", strings.Join(narrow, "; "))
	} else if len(missing) < len(s.Tables) {
		d.good("deduplication windows", "%d INSERTs or more in each table", wantedWindow)
	}
	if len(s.NotDurable) > 0 {
		d.found("durability", warn, "an OK of ClickHouse does not survive a power cut", apply, "%s", strings.Join(s.NotDurable, "; "))
	}
	d.grants(ctx, cfg, conn, user, len(missing) > 0 || len(s.Problems) > 0)
}

// grants looks for rights that are lacking: those to make tables are needed as long as something is to be made.
func (d *doctor) grants(ctx context.Context, cfg *config, conn *clickhouse.Conn, user string, todo bool) {
	lacking, err := conn.MissingGrants(ctx, cfg.Schema.Create && todo)
	if err != nil {
		d.found("grants", warn, "", "SHOW GRANTS, as that user; deploy/clickhouse/grants.sql has what is needed", "the rights of %s cannot be asked for: %v", user, err)
		return
	}
	if len(lacking) == 0 {
		d.good("grants", "%s has the rights that a collector needs", user)
		return
	}
	var mend []string
	for _, g := range lacking {
		mend = append(mend, fmt.Sprintf("GRANT %s TO %s;", g, schema.Ident(user)))
	}
	d.found("grants", fail, "without them INSERTs fail, or what may be stored already cannot be looked up, and senders wait", strings.Join(mend, "\n"), "%s lacks %d rights", user, len(lacking))
}
