package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/clickhouse"
)

// errFound ends verify with exit code 1.
var errFound = errors.New("records are missing or stored twice, and nothing explains it; see above")

// verifyCommand counts from the tables alone what arrived. docs/verify.md says what can be known from them.
func (p *program) verifyCommand() *cobra.Command {
	var (
		open    = schemaCommand{p: p}
		v       clickhouse.Verify
		streams []string
		ledgers []string
		limit   int
		asJSON  bool
		metrics string
	)
	c := &cobra.Command{Use: "verify", Short: "count from the tables alone what is missing and what is stored twice: exit 0 nothing, 1 something", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if v.Since < 0 || v.Settle < 0 || limit < 0 {
				return usageError{errors.New("--since, --settle and --limit cannot be negative")}
			}
			if v.Streams, v.Prefixes, err = streamFilter(streams); err != nil {
				return usageError{err}
			}
			fates := make(fates)
			for _, path := range ledgers {
				if err := fates.read(path); err != nil {
					return usageError{fmt.Errorf("--ledger %s: %w", path, err)}
				}
			}
			fates.sort()
			conn, err := open.open()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, conn.Close()) }()
			r := newReport(fates, limit)
			v.Gap, v.Repeat, v.Note = r.gap, r.repeat, r.note
			seen, err := conn.Verify(c.Context(), v)
			if err != nil {
				return fmt.Errorf("%s: %w", conn.Addr(), err)
			}
			r.end(seen)
			if metrics != "" {
				if err := r.export(metrics, time.Now()); err != nil {
					return fmt.Errorf("--metrics: %w", err)
				}
			}
			if asJSON {
				enc := json.NewEncoder(p.stdout)
				enc.SetIndent("", "  ")
				err = enc.Encode(r)
			} else {
				err = r.print(p.stdout)
			}
			if err == nil && !r.Clean {
				err = errFound
			}
			return err
		}}
	c.Flags().StringVar(&open.dsn, "clickhouse", "", "DSN, instead of the configuration's")
	c.Flags().StringVar(&open.file, "config", "", "collector configuration file")
	c.Flags().DurationVar(&v.Since, "since", 0, "only what was inserted in that time, for instance 1h")
	c.Flags().DurationVar(&v.Settle, "settle", time.Minute, "a gap is one when records above it have been there for that long; 0 when nothing is being sent any more")
	c.Flags().StringSliceVar(&streams, "stream", nil, "only this stream: its IngestStream or the beginning of it, or its key as the ledger has it")
	c.Flags().StringSliceVar(&ledgers, "ledger", nil, "a node's log directory, or its ledger.jsonl: what explains gaps")
	c.Flags().IntVar(&limit, "limit", 100, "how many streams, gaps and repetitions are listed; totals are always exact; 0: all")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	c.Flags().StringVar(&metrics, "metrics", "", "a file NAME.prom for the textfile collector of Prometheus' node exporter: what was found, replaced at once")
	return c
}

// streamFilter takes ids, which tables have, beginnings of them, and keys, which ledgers have. A whole id looks
// like a key, and is looked for as both.
func streamFilter(args []string) (ids, prefixes []string, err error) {
	for _, arg := range args {
		arg = strings.ToLower(arg)
		if arg == "" || len(arg) > 32 || strings.Trim(arg, "0123456789abcdef") != "" {
			return nil, nil, fmt.Errorf("--stream %s: write the up to 32 hexadecimal digits of an IngestStream, or of a key", arg)
		}
		if len(arg) < 32 {
			prefixes = append(prefixes, arg)
			continue
		}
		ids = append(ids, arg, idOfKey(arg))
	}
	return ids, prefixes, nil
}

// idOfKey is what tables call the stream of a key in hex; "" when it is none.
func idOfKey(key string) string {
	b, err := hex.DecodeString(key)
	if err != nil || len(b) != 16 {
		return ""
	}
	return forward.Marker{Stream: [16]byte(b)}.StreamID()
}
