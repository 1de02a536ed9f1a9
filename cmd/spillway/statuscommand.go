package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) statusCommand() *cobra.Command {
	var s statusCommand
	s.p = p
	c := &cobra.Command{Use: "status", Short: "say how a running agent or collector is: whether data is safe, where it stands, what to do", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return s.run(c.Context()) }}
	c.Flags().StringVar(&s.file, "config", "", "configuration file of the process, for its admin.endpoint")
	c.Flags().StringVar(&s.endpoint, "endpoint", "", "host:port of the admin port, instead of the file's")
	c.Flags().BoolVar(&s.json, "json", false, "what GET /status answers, as it is")
	return c
}

type statusCommand struct {
	p              *program
	file, endpoint string
	json           bool
}

const (
	// sampleGap lies between two samples, from which rates follow.
	sampleGap = time.Second
	// adminTime bounds one question to an admin port.
	adminTime = 5 * time.Second
	// maxStatus bounds what is read of an answer.
	maxStatus = 16 << 20
)

func (s *statusCommand) run(ctx context.Context) error {
	endpoints, err := s.endpoints()
	if err != nil {
		return usageError{err}
	}
	var raw []byte
	var at string
	var errs []error
	for _, at = range endpoints {
		if raw, err = ask(ctx, at); err == nil {
			break
		}
		errs = append(errs, err)
	}
	if err != nil {
		return fmt.Errorf("%w: is it running, and is admin.endpoint another one? name it with --endpoint or --config", errors.Join(errs...))
	}
	if s.json {
		if _, err := s.p.stdout.Write(raw); err != nil {
			return err
		}
	}
	first, err := parseStatus(at, raw)
	if err != nil {
		return err
	}
	if !s.json {
		select {
		case <-time.After(sampleGap):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		second, err := askStatus(ctx, at)
		if err != nil {
			return err
		}
		if err := second.print(s.p.stdout, first); err != nil {
			return err
		}
		first = second
	}
	if !first.Verdict.Ready || first.Verdict.Level == levelBad {
		return fmt.Errorf("%s: %s", at, first.Verdict.Headline)
	}
	return nil
}

// endpoints are the ports to ask, in turn.
func (s *statusCommand) endpoints() ([]string, error) {
	switch {
	case s.endpoint != "":
		if _, _, err := net.SplitHostPort(s.endpoint); err != nil {
			return nil, fmt.Errorf("--endpoint: %q: write host:port", s.endpoint)
		}
		return []string{s.endpoint}, nil
	case s.file != "":
		l, err := loadAny(s.file, "", s.p.env)
		if err != nil {
			return nil, err
		}
		if l.Admin.Endpoint == "" {
			return nil, fmt.Errorf("%s: admin.endpoint is empty: the process has no admin port", s.file)
		}
		return []string{reachableHere(l.Admin.Endpoint)}, nil
	}
	return []string{defaults(roleAgent).Admin.Endpoint, defaults(roleCollector).Admin.Endpoint}, nil
}

// A loadedFor is a file that was read for a role.
type loadedFor struct {
	*loaded
	role role
}

// loadAny reads a file for the role as, or for the one that its keys are of.
func loadAny(file, as string, env func(string) (string, bool)) (*loadedFor, error) {
	r := role(as)
	if as == "" {
		src, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		r = guessRole(file, src)
	}
	switch r {
	case roleAgent, roleCollector, roleStandalone:
	default:
		return nil, fmt.Errorf("--as %s: use agent, collector or standalone", as)
	}
	l, err := load(r, file, env)
	if err != nil {
		return nil, err
	}
	return &loadedFor{l, r}, nil
}

// reachableHere is where a port that listens everywhere is reached from this machine.
func reachableHere(endpoint string) string {
	host, port, err := net.SplitHostPort(endpoint)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return endpoint
}

// ask is what the admin port answers to GET /status.
func ask(ctx context.Context, at string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/status", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", at, resp.Status, strings.TrimSpace(cut(string(body), 200)))
	}
	return body, nil
}

func parseStatus(at string, raw []byte) (*status, error) {
	s := new(status)
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("%s: not a spillway's status: %w", at, err)
	}
	if s.Format != statusFormat {
		return nil, fmt.Errorf("%s: its status is of format %d, this program reads %d: use the program that runs there", at, s.Format, statusFormat)
	}
	return s, nil
}

func askStatus(ctx context.Context, at string) (*status, error) {
	raw, err := ask(ctx, at)
	if err != nil {
		return nil, err
	}
	return parseStatus(at, raw)
}

// printed bounds what a screen holds.
const (
	printedFiles    = 5
	printedMessages = 5
)

// print writes a screen. before is the sample that rates are measured from.
func (s *status) print(out io.Writer, before *status) error {
	mark := map[level]string{levelOK: "OK", levelWarn: "WARNING", levelBad: "BAD"}[s.Verdict.Level]
	fmt.Fprintf(out, "%s  %s\n", mark, s.Verdict.Headline)
	for _, p := range s.Verdict.Problems {
		fmt.Fprintf(out, "  %s\n", printable(p.Text))
		if p.Do != "" {
			fmt.Fprintf(out, "    -> %s\n", printable(p.Do))
		}
	}
	fmt.Fprintf(out, "\n%s %s on %s, pid %d, up %s\n\n", s.Role, s.Version, s.Host, s.PID, shortly(s.UptimeSeconds))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	seconds := s.Now.Sub(before.Now).Seconds()
	s.stages.print(w, &before.stages, seconds, "")
	if s.Collector != nil && before.Collector != nil {
		s.Collector.print(w, before.Collector, seconds, "collector: ")
	}
	if f := s.Files; f != nil {
		fmt.Fprintf(w, "log files\t%d known, %d open, %s not read\n", f.Known, f.Open, size(int64(f.Unread)))
		for _, file := range f.List[:min(printedFiles, len(f.List))] {
			fmt.Fprintf(w, "\t%s: %s not read of %s, %s\n", printable(file.Path), size(file.Unread), size(file.Size), file.State)
		}
	}
	fmt.Fprintf(w, "lost since the start\t%s\n", lostText(s))
	for i, m := range s.Messages[:min(printedMessages, len(s.Messages))] {
		name := ""
		if i == 0 {
			name = "warnings, errors"
		}
		fmt.Fprintf(w, "%s\t%s  %s (%s ago, %d times)\n", name, m.Level, printable(m.Message), shortly(s.Now.Sub(m.Last).Seconds()), m.Count)
	}
	return w.Flush()
}

func lostText(s *status) string {
	if s.Losses.Items == 0 && (s.Files == nil || s.Files.Missed == 0) {
		return "nothing"
	}
	text := counting(s.Losses.Items, "item")
	if s.Files != nil && s.Files.Missed > 0 {
		text += ", " + size(int64(s.Files.Missed)) + " of files never read"
	}
	return text + ": see " + s.Losses.Ledger
}

func (s *stages) print(w io.Writer, before *stages, seconds float64, prefix string) {
	for i, src := range s.Sources {
		was := uint64(0)
		if i < len(before.Sources) && before.Sources[i].Name == src.Name {
			was = sum(before.Sources[i].Items)
		}
		fmt.Fprintf(w, "%ssource %s\t%s, %.0f items/s, %d items\n", prefix, src.Name, printable(src.Address), rateOf(sum(src.Items), was, seconds), sum(src.Items))
	}
	l := s.Limiter
	fmt.Fprintf(w, "%smemory\t%s, %s counted, %s heap, of %s\n", prefix, l.State, size(l.Counted), size(l.Heap), size(l.Hard))
	if g := s.WAL; g != nil {
		full := "not growing"
		if g.SecondsUntilFull != nil {
			full = "full in " + shortly(*g.SecondsUntilFull)
		}
		fmt.Fprintf(w, "log on disk\t%d items wait, oldest %s, %s of %s, %s, disk has %s free\n", g.HeldItems, shortly(g.OldestSeconds), size(g.Bytes), size(g.LimitBytes), full, size(g.DiskFree))
	}
	var now, was uint64
	for i, a := range s.Account {
		now += a.Out["delivered"] + a.Out["already_present"]
		if i < len(before.Account) {
			was += before.Account[i].Out["delivered"] + before.Account[i].Out["already_present"]
		}
	}
	if f := s.Forward; f != nil {
		fmt.Fprintf(w, "forward\t%s, %.0f items/s, %d batches under way\n", f.State, rateOf(now, was, seconds), f.Underway)
		for _, e := range f.Endpoints {
			text := e.State
			if e.Failing != nil {
				text += ": " + e.Failing.Words
			}
			fmt.Fprintf(w, "\t%s %s\n", printable(e.Name), printable(text))
		}
	}
	if c := s.ClickHouse; c != nil {
		state := "tables ready"
		if !c.TablesReady {
			state = "tables not ready"
		}
		fmt.Fprintf(w, "%sClickHouse\t%s, database %s, %s, %.0f items/s\n", prefix, printable(c.Address), printable(c.Database), state, rateOf(now, was, seconds))
	}
}

func rateOf(now, was uint64, seconds float64) float64 {
	if seconds <= 0 || now < was {
		return 0
	}
	return float64(now-was) / seconds
}

// printable has no control characters: what others named must not steer a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '�'
		}
		return r
	}, s)
}
