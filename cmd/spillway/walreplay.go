package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/forward/otlp"
	"github.com/spillway-io/spillway/wal"
)

// A replayTarget is where replay sends: what the configuration says, and flags over it.
type replayTarget struct {
	file, to, compression string
	tls                   otlp.ClientTLS
	giveUp                time.Duration
}

func (t *replayTarget) flags(c *cobra.Command) {
	c.Flags().StringVar(&t.to, "to", "", "host:port of a collector (gRPC), by default port 4319")
	c.Flags().StringVar(&t.file, "config", "", "an agent's configuration file, for its forward section")
	c.Flags().BoolVar(&t.tls.Insecure, "insecure", false, "no TLS")
	c.Flags().BoolVar(&t.tls.InsecureSkipVerify, "insecure-skip-verify", false, "TLS without knowing the peer")
	c.Flags().StringVar(&t.tls.CAFile, "ca-file", "", "authorities to trust; by default the system's")
	c.Flags().StringVar(&t.tls.CertFile, "cert-file", "", "our certificate")
	c.Flags().StringVar(&t.tls.KeyFile, "key-file", "", "its key")
	c.Flags().StringVar(&t.tls.ServerNameOverride, "server-name-override", "", "the name that the peer's certificate must have")
	c.Flags().StringVar(&t.compression, "compression", "", "zstd, gzip or none; zstd when nothing says otherwise")
	c.Flags().DurationVar(&t.giveUp, "give-up-after", 0, "end when nothing was taken for so long; by default max_elapsed_time of the configuration, 5m")
}

// config is an agent's, with the target that the flags name. A bearer token comes from the file
// or from SPILLWAY_FORWARD_OTLP_AUTH_TOKEN: a command line is for everybody to read.
func (t *replayTarget) config(env func(string) (string, bool)) (*config, error) {
	l, err := load(roleAgent, t.file, env)
	if err != nil {
		return nil, err
	}
	f := l.Forward.OTLP
	switch {
	case t.to != "":
		f.Endpoints = []string{t.to}
	case t.file == "":
		return nil, errors.New("--to: name the collector, for instance --to collector:4319, or give --config")
	}
	if t.tls != (otlp.ClientTLS{}) {
		f.TLS = &t.tls
	}
	if t.file == "" && f.TLS == nil {
		f.TLS = &otlp.ClientTLS{} // plain text is asked for, not guessed
	}
	if t.compression != "" {
		f.Compression = t.compression
	}
	if t.giveUp == 0 {
		t.giveUp = f.RetryOnFailure.MaxElapsedTime
	}
	return l.config, f.Validate()
}

func (p *program) walReplay() *cobra.Command {
	s, t := &selection{}, &replayTarget{}
	c := &cobra.Command{Use: "replay DIR|FILE --to HOST:PORT", Short: "send records, with their identities, to a collector; nothing is removed", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			cfg, err := t.config(p.env)
			if err != nil {
				return usageError{err}
			}
			client, err := otlp.NewClient(cfg.Forward.OTLP.ClientConfig, p.logger())
			if err != nil {
				return usageError{err}
			}
			defer func() { err = errors.Join(err, client.Close()) }()
			cfg.Batch.SendBatchSize = max(cfg.Batch.SendBatchSize, replayBatch)
			r := &replayer{out: client, woken: client.Woken, batch: cfg.Batch, retry: cfg.Forward.OTLP.RetryOnFailure, giveUp: t.giveUp, say: p.stderr}
			return p.replay(c.Context(), r, s, args[0])
		}}
	s.flags(c)
	t.flags(c)
	return c
}

// replayBatch is how many items make a batch, unless the configuration has more or the batch gets
// too large: a collector inserts 10,000 rows at once, and lets fewer wait up to a second for company.
const replayBatch = 10_000

func (p *program) replay(ctx context.Context, r *replayer, s *selection, from string) error {
	infos, err := s.read(from, func(rec stored) error {
		if len(rec.Data) == 0 {
			return nil // it only carries a cursor
		}
		return s.units(rec, func(u unit) error { return r.add(ctx, u) })
	})
	if err == nil {
		err = r.flush(ctx)
	}
	damaged := p.warn(infos)
	if r.repeated > 0 {
		fmt.Fprintf(p.stderr, "records %d were in the log twice, for instance parked; each was sent once\n", r.repeated)
	}
	if _, e := fmt.Fprintf(p.stdout, "replayed: records %d, items %d, refused %d\n", r.records, r.items, r.refused); err == nil {
		err = e
	}
	switch {
	case err != nil:
		return err
	case r.refused > 0:
		return errors.New("not everything was taken; see above")
	case damaged:
		return errNotAll
	}
	return nil
}

// A replayer sends records in order, one batch at a time.
type replayer struct {
	out    forward.Sink
	woken  func() <-chan struct{}
	batch  forward.BatchConfig
	retry  forward.RetryConfig
	giveUp time.Duration // without anything taken
	say    io.Writer     // progress and what was refused

	seen     wal.Seen
	signal   forward.Signal
	lane     string
	body     []byte
	parts    []replayPart
	items    int // taken
	records  int // taken
	refused  int // records refused, or taken in part
	repeated int
	pending  int // items in body
	said     time.Time
}

type replayPart struct {
	end    int // in body
	items  int
	stream string
	seq    uint64
}

// add puts u into the batch, which leaves before it when it would get too large.
func (r *replayer) add(ctx context.Context, u unit) error {
	signal, ok := signalOf(u.Lane)
	if !ok {
		return fmt.Errorf("lane %q is of no signal: choose others with --lane", u.Lane)
	}
	if !r.seen.Add(wal.Key(u.marker.Stream), u.marker.Seq) {
		r.repeated++
		return nil
	}
	full := r.pending >= r.batch.SendBatchSize
	if limit := r.batch.SendBatchMaxSizeMiB << 20; limit > 0 && len(r.body)+forward.MarkerSize+len(u.body) > limit {
		full = true
	}
	if full || r.lane != u.Lane {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	r.lane, r.signal = u.Lane, signal
	r.body = append(u.marker.Append(r.body), u.body...)
	r.parts = append(r.parts, replayPart{end: len(r.body), items: int(u.marker.Items), stream: u.marker.StreamID(), seq: u.marker.Seq})
	r.pending += int(u.marker.Items)
	return nil
}

func (r *replayer) flush(ctx context.Context) error {
	if len(r.parts) == 0 {
		return nil
	}
	err := r.send(ctx, r.parts, 0)
	r.body, r.parts, r.pending = r.body[:0], r.parts[:0], 0
	if err == nil && time.Since(r.said) >= time.Second {
		r.said = time.Now()
		fmt.Fprintf(r.say, "%s: records %d, items %d so far\n", r.lane, r.records, r.items)
	}
	return err
}

// send hands over parts, whose bytes begin at from, and waits and tries again as long as it
// is not a no for good. A batch that is refused is halved until the culprit is found.
func (r *replayer) send(ctx context.Context, parts []replayPart, from int) error {
	b := forward.Batch{Signal: r.signal, Body: r.body[from:parts[len(parts)-1].end]}
	for _, part := range parts {
		b.Items += part.items
	}
	err := r.put(ctx, b)
	partial := forward.Partial(err)
	switch {
	case err == nil || partial != nil:
		r.records += len(parts)
		r.items += b.Items
		if partial != nil {
			r.items -= min(partial.Items, b.Items)
			r.refused++
			fmt.Fprintf(r.say, "%s: stream %s from seq %d on: %v\n", r.lane, parts[0].stream, parts[0].seq, partial)
		}
		return nil
	case forward.Refused(err) == nil:
		return err
	case len(parts) > 1:
		half := len(parts) / 2
		if err := r.send(ctx, parts[:half], from); err != nil {
			return err
		}
		return r.send(ctx, parts[half:], parts[half-1].end)
	}
	r.refused++
	fmt.Fprintf(r.say, "%s: stream %s seq %d: %v\n", r.lane, parts[0].stream, parts[0].seq, err)
	if r.records == 0 && r.refused >= maxRefusedFirst {
		return fmt.Errorf("the first %d records were all refused: that looks like a fault of configuration, here or there: %w", r.refused, err)
	}
	return nil
}

// maxRefusedFirst ends a replay of which nothing was taken.
const maxRefusedFirst = 20

// put tries until b is taken or refused, ctx is done, or nothing was taken for too long.
func (r *replayer) put(ctx context.Context, b forward.Batch) error {
	back, began := forward.NewBackoff(r.retry), time.Now()
	for {
		woken := r.woken()
		err := r.out.Put(ctx, b)
		if err == nil || forward.Partial(err) != nil || forward.Refused(err) != nil {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("ended: %w; run it again: what was taken keeps its identity", context.Cause(ctx))
		}
		left := r.giveUp - time.Since(began)
		if left <= 0 {
			return fmt.Errorf("nothing was taken for %s: %w", r.giveUp, err)
		}
		fmt.Fprintf(r.say, "not taken, trying again: %v\n", err)
		wait := time.NewTimer(min(back.After(err), left))
		select {
		case <-wait.C:
		case <-woken:
			back.Reset()
		case <-ctx.Done():
		}
		wait.Stop()
	}
}
