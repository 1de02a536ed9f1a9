package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) doctorCommand() *cobra.Command {
	var file, as string
	var asJSON bool
	c := &cobra.Command{Use: "doctor", Short: "look for what keeps a configuration from working here, and say what mends it; it changes nothing", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usageError{fmt.Errorf("--config: name the file of the process")}
			}
			d := &doctor{p: p, file: file, proc: "/proc", sample: sampleTime, patience: stepTime}
			d.examine(c.Context(), as)
			return d.report(asJSON)
		}}
	c.Flags().StringVar(&file, "config", "", "configuration file of the process")
	c.Flags().StringVar(&as, "as", "", "agent, collector or standalone; by default the file's keys decide")
	c.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return c
}

// A doctor asks and looks. Whoever runs it should be the user that the process runs as.
type doctor struct {
	p      *program
	file   string
	cfg    *loadedFor
	proc   string        // where /proc is; another place only in tests
	sample time.Duration // between the two samples of a rate

	patience time.Duration // for one step on the network

	running  *status // nil: it does not run, or does not answer
	findings []finding
}

// sampleTime is long enough for a rate that comes in batches.
const sampleTime = 3 * time.Second

type severity string

const (
	fine severity = "ok"
	warn severity = "warn" // it works, but not as well as it could, or not for long
	fail severity = "fail" // it does not work, or loses data
)

// A finding is one thing that was looked at.
type finding struct {
	Check    string   `json:"check"`
	Severity severity `json:"severity"`
	Measured string   `json:"measured"`
	Why      string   `json:"why,omitempty"`  // it matters
	Mend     string   `json:"mend,omitempty"` // the command, or the key
}

func (d *doctor) found(check string, s severity, why, mend, measured string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, Severity: s, Measured: fmt.Sprintf(measured, args...), Why: why, Mend: mend})
}

func (d *doctor) good(check, measured string, args ...any) {
	d.found(check, fine, "", "", measured, args...)
}

// examine looks at everything that the role of the file needs.
func (d *doctor) examine(ctx context.Context, as string) {
	cfg, err := loadAny(d.file, as, d.p.env)
	if err != nil {
		d.found("configuration", fail, "nothing starts with it, and nothing else can be looked at", "spillway check "+d.file, "%v", err)
		return
	}
	d.cfg = cfg
	d.good("configuration", "%s is good, for spillway %s", d.file, cfg.role)
	d.admin(ctx)
	d.user()
	if cfg.role != roleCollector {
		d.openFiles()
		d.fileSystem()
		d.space(ctx)
		d.globs()
		if cfg.role == roleAgent || cfg.named["forward.otlp.endpoints"] {
			d.endpoints(ctx)
		}
	}
	switch {
	case cfg.role == roleCollector:
		d.clickhouse(ctx, cfg.config)
	case cfg.role == roleStandalone && cfg.named["collector.forward.clickhouse.dsn"]:
		d.clickhouse(ctx, cfg.Collector)
	case cfg.role == roleStandalone:
		d.good("clickhouse", "the embedded engine, or the one of --clickhouse: spillway status says how it is")
	}
	m := newMask(cfg.config)
	for i := range d.findings {
		f := &d.findings[i]
		f.Measured, f.Mend = m.text(f.Measured), m.text(f.Mend)
	}
}

// admin looks at who reaches the admin port, and asks it what runs.
func (d *doctor) admin(ctx context.Context) {
	at := d.cfg.Admin.Endpoint
	if at == "" {
		d.found("admin", warn, "without it there are no metrics, no status and no health checks", "admin: {endpoint: \"127.0.0.1:13133\"}", "admin.endpoint is empty: the port is off")
		return
	}
	host, port, err := net.SplitHostPort(at)
	if ip := net.ParseIP(host); err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		d.found("admin", warn, "who reaches it sees paths, errors, the configuration without secrets, and can take profiles; it asks nobody who he is",
			fmt.Sprintf("admin: {endpoint: \"127.0.0.1:%s\"}, or let only Prometheus and health checks through to it", port), "the admin port listens on %s", at)
	} else {
		d.good("admin", "the admin port listens on %s, for this machine", at)
	}
	s, err := askStatus(ctx, reachableHere(at))
	if err != nil {
		d.found("running", warn, "the rate, and what the process itself says, cannot be looked at", fmt.Sprintf("spillway %s --config %s", d.cfg.role, d.file), "no process answers on the admin port: %v", err)
		return
	}
	d.running = s
	switch s.Verdict.Level {
	case levelOK:
		d.good("running", "%s %s, up %s: %s", s.Role, s.Version, shortly(s.UptimeSeconds), s.Verdict.Headline)
	case levelWarn:
		d.found("running", warn, s.Verdict.Problems[0].Text, "spillway status --endpoint "+reachableHere(at), "%s", s.Verdict.Headline)
	default:
		d.found("running", fail, s.Verdict.Problems[0].Text, "spillway status --endpoint "+reachableHere(at), "%s", s.Verdict.Headline)
	}
}

// user compares who runs this with who runs the process: rights are those of whoever asks.
func (d *doctor) user() {
	own := os.Geteuid()
	if host, err := os.Hostname(); d.running != nil && err == nil && host == d.running.Host {
		var other int
		if owner, err := ownerOf(filepath.Join(d.proc, fmt.Sprint(d.running.PID))); err == nil {
			if other = owner; other != own {
				d.found("user", warn, "what it may read is not what this user may read: rights below are this user's",
					fmt.Sprintf("sudo -u '#%d' spillway doctor --config %s", other, d.file), "the process runs as uid %d, and this as uid %d", other, own)
				return
			}
		}
	}
	d.good("user", "uid %d, gid %d", own, os.Getegid())
}

// report prints, and fails if something does.
func (d *doctor) report(asJSON bool) error {
	var n = make(map[severity]int)
	for _, f := range d.findings {
		n[f.Severity]++
	}
	if asJSON {
		enc := json.NewEncoder(d.p.stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(struct {
			Format   int       `json:"format"`
			Findings []finding `json:"findings"`
		}{1, d.findings}); err != nil {
			return err
		}
	} else {
		for _, s := range []severity{fail, warn, fine} {
			for _, f := range d.findings {
				if f.Severity == s {
					f.print(d.p.stdout)
				}
			}
		}
		fmt.Fprintf(d.p.stdout, "\n%d ok, %d warn, %d fail\n", n[fine], n[warn], n[fail])
	}
	if n[fail] > 0 {
		return fmt.Errorf("%d of %d checks failed", n[fail], len(d.findings))
	}
	return nil
}

func (f *finding) print(out io.Writer) {
	fmt.Fprintf(out, "%-4s  %s: %s\n", strings.ToUpper(string(f.Severity)), f.Check, printable(strings.ReplaceAll(f.Measured, "\n", "; ")))
	if f.Why != "" {
		fmt.Fprintf(out, "      why   %s\n", printable(f.Why))
	}
	if f.Mend != "" {
		fmt.Fprintf(out, "      mend  %s\n", strings.ReplaceAll(strings.TrimSpace(f.Mend), "\n", "\n            "))
	}
}
