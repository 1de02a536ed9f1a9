package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

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
			r := &replayer{out: client, fences: forward.Fences{Clock: client.Clock(), Started: time.Now()}, woken: client.Woken, batch: cfg.Batch, retry: cfg.Forward.OTLP.RetryOnFailure, giveUp: t.giveUp, say: p.stderr}
			r.inFlight.SetLimit(cfg.Forward.OTLP.NumConsumers)
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
		r.flush(ctx)
	}
	if sent := r.inFlight.Wait(); err == nil {
		err = sent
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

// A replayer sends records in batches, several at a time. It reads in order; what arrives need
// not be in order, for every record has its name.
type replayer struct {
	out    forward.Sink
	fences forward.Fences // what the dead node sent last may still be stored
	woken  func() <-chan struct{}
	batch  forward.BatchConfig
	retry  forward.RetryConfig
	giveUp time.Duration // without anything taken

	seen     wal.Seen
	repeated int
	next     replayParcel
	inFlight errgroup.Group

	mu      sync.Mutex
	say     io.Writer // progress and what was refused
	err     error     // the first that ended it
	items   int       // taken
	records int       // taken
	refused int       // records refused, or taken in part
	said    time.Time
}

// A replayParcel is a batch and what is in it.
type replayParcel struct {
	signal forward.Signal
	lane   string
	body   []byte
	parts  []replayPart
	items  int
}

type replayPart struct {
	end    int // in body
	items  int
	stream string
	seq    uint64
	after  uint32 // as in forward.Marker
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
	if failed := r.failed(); failed != nil {
		return failed
	}
	full := r.next.items >= r.batch.SendBatchSize
	if limit := r.batch.SendBatchMaxSizeMiB << 20; limit > 0 && len(r.next.body)+forward.MarkerSize+len(u.body) > limit {
		full = true
	}
	if full || r.next.lane != u.Lane {
		r.flush(ctx)
	}
	n := &r.next
	n.lane, n.signal = u.Lane, signal
	n.body = append(u.marker.Append(n.body), u.body...)
	n.parts = append(n.parts, replayPart{end: len(n.body), items: int(u.marker.Items), stream: u.marker.StreamID(), seq: u.marker.Seq, after: u.marker.After})
	n.items += int(u.marker.Items)
	return nil
}

// flush sends what is put together, and waits only for a place among those in flight.
func (r *replayer) flush(ctx context.Context) {
	parcel := r.next
	r.next = replayParcel{}
	if len(parcel.parts) == 0 {
		return
	}
	r.inFlight.Go(func() error {
		err := r.send(ctx, &parcel, parcel.parts, 0)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil && r.err == nil {
			r.err = err
		}
		if err == nil && time.Since(r.said) >= time.Second {
			r.said = time.Now()
			fmt.Fprintf(r.say, "%s: records %d, items %d so far\n", parcel.lane, r.records, r.items)
		}
		return err
	})
}

func (r *replayer) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *replayer) sayf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.say, format, args...)
}

// send hands over parts of a parcel, whose bytes begin at from, and waits and tries again as long
// as it is not a no for good. A batch that is refused is halved until the culprit is found.
func (r *replayer) send(ctx context.Context, p *replayParcel, parts []replayPart, from int) error {
	err := r.put(ctx, p, parts, from)
	switch partial := forward.Partial(err); {
	case err == nil || partial != nil:
		r.taken(p, parts, partial)
		return nil
	case forward.Refused(err) == nil:
		return err
	case len(parts) > 1:
		half := len(parts) / 2
		if err := r.send(ctx, p, parts[:half], from); err != nil {
			return err
		}
		return r.send(ctx, p, parts[half:], parts[half-1].end)
	}
	return r.refuse(p, parts[0], err)
}

// stamp states the fences of an attempt. All of it is redelivered, whoever may have sent it.
func (r *replayer) stamp(p *replayParcel, parts []replayPart, from int) uint32 {
	until, inherited, latest := r.fences.Next()
	for i := range parts {
		part := &parts[i]
		part.after = min(max(part.after, inherited), latest)
		forward.Stamp(p.body[from:], part.after, until)
		from = part.end
	}
	return until
}

// taken counts what was taken, but for what partial says was not.
func (r *replayer) taken(p *replayParcel, parts []replayPart, partial *forward.PartialError) {
	items := itemsOf(parts)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records += len(parts)
	r.items += items
	if partial != nil {
		r.items -= min(partial.Items, items)
		r.refused++
		fmt.Fprintf(r.say, "%s: stream %s from seq %d on: %v\n", p.lane, parts[0].stream, parts[0].seq, partial)
	}
}

// maxRefusedFirst ends a replay of which nothing was taken.
const maxRefusedFirst = 20

func (r *replayer) refuse(p *replayParcel, part replayPart, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused++
	fmt.Fprintf(r.say, "%s: stream %s seq %d: %v\n", p.lane, part.stream, part.seq, err)
	if r.records == 0 && r.refused >= maxRefusedFirst {
		return fmt.Errorf("the first %d records were all refused: that looks like a fault of configuration, here or there: %w", r.refused, err)
	}
	return nil
}

func itemsOf(parts []replayPart) (items int) {
	for _, part := range parts {
		items += part.items
	}
	return items
}

// put tries until parts are taken or refused, ctx is done, or nothing was taken for too long.
func (r *replayer) put(ctx context.Context, p *replayParcel, parts []replayPart, from int) error {
	b := forward.Batch{Signal: p.signal, Items: itemsOf(parts), Body: p.body[from:parts[len(parts)-1].end]}
	back, began := forward.NewBackoff(r.retry), time.Now()
	for {
		woken := r.woken()
		until := r.stamp(p, parts, from)
		err := r.out.Put(ctx, b)
		if errors.Is(err, forward.ErrUnfenced) {
			continue
		}
		if err == nil || forward.Partial(err) != nil {
			return err
		}
		if !forward.NotTaken(err) {
			for i := range parts {
				parts[i].after = max(parts[i].after, until)
			}
		}
		if forward.Refused(err) != nil {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("ended: %w; run it again: what was taken keeps its identity", context.Cause(ctx))
		}
		left := r.giveUp - time.Since(began)
		if left <= 0 {
			return fmt.Errorf("nothing was taken for %s: %w", r.giveUp, err)
		}
		r.sayf("not taken, trying again: %v\n", err)
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
