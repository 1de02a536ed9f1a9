package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	lib "github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/schema"
)

const (
	// maxUnits is how many records, in a table and partition, one query remembers: about 400 MB of the server's memory.
	maxUnits = 4 << 20
	// maxBlocks is how many blocks of numbers one query lists: at most 128 KiB each.
	maxBlocks = 256
	// maxNamed is how many streams one query names.
	maxNamed = 256
)

// Verify counts the records of streams from the tables alone: which numbers are there, which are not, and which
// came more than once. It only reads, and sends no settings.
type Verify struct {
	Since  time.Duration // only what was inserted in that time; 0: everything
	Settle time.Duration // how long a record may still be on its way after a later one came
	// Which streams: ids, and beginnings of ids; all when both are empty.
	Streams, Prefixes []string

	// What was found, as it comes: all gaps of a stream one after another, in order.
	Gap    func(signal, stream string, g Gap)
	Repeat func(Repeat)
	Note   func(text string)
}

// A StreamSeen is what the tables of one signal have of a stream.
type StreamSeen struct {
	Signal, ID  string
	First, Last uint64
	Records     uint64 // different numbers
}

// A Gap is a run of numbers that are not there, between two that are.
type Gap struct {
	From, To uint64
	// Expired: a neighbour lies in a partition of which rows have expired; these may have been there.
	Expired bool
	// Recent: nothing above it has been there for longer than Settle; these may be on their way.
	Recent bool
}

// A Repeat is a unit (the rows of one record in one table and partition) that several INSERTs stored.
type Repeat struct {
	Signal, Table, Partition, Stream string
	Seq                              uint64
	Inserts                          uint64
	First, Last                      time.Time // of the INSERTs
	Least, Most                      uint64    // rows of one INSERT
}

// piecesWithin is the longest that one block is tried for: no caller's deadline is later.
const piecesWithin = defaultDeadline

// InPieces says that the INSERTs were parts of one: while the writer looks for rows that ClickHouse refuses, or a block takes too much
// memory, it stores a record in halves, and soon. One that came again brings the same rows, and comes after its fence.
func (r Repeat) InPieces() bool {
	return r.Least != r.Most && r.Last.Sub(r.First) <= piecesWithin
}

// ErrNoTables says that the database has no table that can be verified.
var ErrNoTables = errors.New("has no table of spillway's: name another database in the DSN, or run spillway schema apply")

// Verify runs v and returns the streams, by signal and id.
func (c *Conn) Verify(ctx context.Context, v Verify) ([]StreamSeen, error) {
	opts := *c.opts
	// A read-only user may change no setting, and the library makes settings of compression and of deadlines, its own when
	// it connects included.
	opts.Settings = nil
	opts.Compression = &driver.Compression{Method: driver.CompressionNone}
	opts.DialStrategy = func(ctx context.Context, id int, o *driver.Options, dial driver.Dial) (driver.DialResult, error) {
		return driver.DefaultDialStrategy(undated{ctx}, id, o, dial)
	}
	opts.MaxOpenConns, opts.MaxIdleConns = 1, 1
	opts.ReadTimeout = time.Hour // of many rows; the context ends it earlier
	conn, err := driver.Open(&opts)
	if err != nil {
		return nil, fmt.Errorf("clickhouse: %w", err)
	}
	defer conn.Close()
	run := &verification{Verify: v, ctx: undated{ctx}, conn: conn, database: c.tables.Database}
	if err := run.all(); err != nil {
		if hint := look(err).hint; hint != "" {
			err = fmt.Errorf("%s: %w", hint, err)
		}
		return nil, err
	}
	slices.SortFunc(run.streams, func(a, b StreamSeen) int {
		return cmp.Or(strings.Compare(a.Signal, b.Signal), strings.Compare(a.ID, b.ID))
	})
	return run.streams, nil
}

// A verification is one run.
type verification struct {
	Verify
	ctx      context.Context
	conn     driver.Conn
	database string
	now      time.Time // the server's
	tables   []*schema.Table
	keep     map[*schema.Table]time.Duration
	streams  []StreamSeen
}

func (v *verification) all() error {
	if err := v.look(); err != nil {
		return err
	}
	// A record of metrics may have rows in any of five tables.
	for _, signal := range forward.Signals {
		tables := slices.Clone(v.tables)
		tables = slices.DeleteFunc(tables, func(t *schema.Table) bool { return t.Signal() != signal.String() })
		if len(tables) == 0 {
			continue
		}
		if err := v.signal(signal.String(), tables); err != nil {
			return err
		}
	}
	return nil
}

// look finds out which tables can be read, and how long they keep rows.
func (v *verification) look() error {
	if err := v.conn.QueryRow(v.ctx, "SELECT now()").Scan(&v.now); err != nil {
		return err
	}
	has := make(map[string]bool)
	err := eachRow(v.ctx, v.conn, "SELECT table FROM system.columns WHERE database = ? AND name = 'IngestStream'", func(row lib.Rows) error {
		var table string
		err := row.Scan(&table)
		has[table] = true
		return err
	}, v.database)
	if err != nil {
		return err
	}
	engines := make(map[string]string)
	err = eachRow(v.ctx, v.conn, "SELECT name, engine_full FROM system.tables WHERE database = ?", func(row lib.Rows) error {
		var name, engine string
		err := row.Scan(&name, &engine)
		engines[name] = engine
		return err
	}, v.database)
	if err != nil {
		return err
	}
	v.keep = make(map[*schema.Table]time.Duration)
	for _, t := range schema.Tables() {
		switch {
		case !t.Identified():
			continue
		case !has[t.Name()]:
			v.Note(fmt.Sprintf("%s is not read: it does not exist, or has no IngestStream; see spillway schema plan", t.Name()))
			continue
		}
		v.tables = append(v.tables, t)
		engine, onCluster := engines[t.LocalName(schema.Options{Cluster: "any"})]
		if !onCluster {
			engine = engines[t.Name()]
		}
		keep, ok := schema.Kept(engine)
		if !ok {
			v.Note(t.Name() + ": its TTL is not one of ours: where rows have expired, gaps are counted as gaps")
		}
		v.keep[t] = keep
	}
	if len(v.tables) == 0 {
		return fmt.Errorf("database %s %w", v.database, ErrNoTables)
	}
	return nil
}

// A numbers is what one block of a stream's numbers has.
type numbers struct{ block, first, last, count uint64 }

// A seen is a stream while it is looked at.
type seen struct {
	StreamSeen
	hash   uint64
	blocks []numbers
}

// A place is a table and partition.
type place struct {
	table     *schema.Table
	partition string
}

// amount is what a place holds.
type amount struct{ units, rows uint64 }

func (v *verification) signal(signal string, tables []*schema.Table) error {
	r := schema.Reading{Database: v.database, Tables: tables, Streams: v.Streams, Prefixes: v.Prefixes}
	if v.Since > 0 {
		r.Since = v.now.Add(-v.Since)
	}
	streams := make(map[uint64]*seen)
	err := eachRow(v.ctx, v.conn, r.StreamsSQL(), func(row lib.Rows) error {
		s := &seen{StreamSeen: StreamSeen{Signal: signal}}
		err := row.Scan(&s.hash, &s.ID)
		streams[s.hash] = s
		return err
	})
	if err != nil {
		return fmt.Errorf("streams of %s: %w", signal, err)
	}
	places, err := v.blocks(r, streams)
	if err != nil {
		return fmt.Errorf("records of %s: %w", signal, err)
	}
	var holed []*seen
	for _, s := range streams {
		if s.Records == 0 {
			continue
		}
		v.streams = append(v.streams, s.StreamSeen)
		if s.Last-s.First+1 != s.Records {
			holed = append(holed, s)
		}
	}
	if err := v.gaps(r, holed); err != nil {
		return fmt.Errorf("gaps of %s: %w", signal, err)
	}
	for _, t := range tables {
		if err := v.repeats(r, t, places); err != nil {
			return fmt.Errorf("repeats in %s: %w", t.Name(), err)
		}
	}
	return nil
}

// blocks counts the records of streams, and what each partition holds.
func (v *verification) blocks(r schema.Reading, streams map[uint64]*seen) (map[place]amount, error) {
	places := make(map[place]amount)
	err := eachRow(v.ctx, v.conn, r.BlocksSQL(), func(row lib.Rows) error {
		var (
			hash        uint64
			n           numbers
			tables      []uint8
			partitions  []string
			units, rows []uint64
		)
		if err := row.Scan(&hash, &n.block, &n.first, &n.last, &n.count, &tables, &partitions, &units, &rows); err != nil {
			return err
		}
		s := streams[hash]
		if s == nil {
			return nil // it began after we had asked for the streams
		}
		for i := range tables {
			p := place{r.Tables[tables[i]], partitions[i]}
			places[p] = amount{places[p].units + units[i], places[p].rows + rows[i]}
		}
		if s.Records == 0 {
			s.First, s.Last = n.first, n.last
		}
		s.First, s.Last, s.Records = min(s.First, n.first), max(s.Last, n.last), s.Records+n.count
		s.blocks = append(s.blocks, n)
		return nil
	})
	return places, err
}

// gaps lists what is missing from streams. It looks at them again, at all rows whenever they were inserted:
// what is missing from the last hour may have come before.
func (v *verification) gaps(r schema.Reading, holed []*seen) error {
	slices.SortFunc(holed, func(a, b *seen) int { return strings.Compare(a.ID, b.ID) })
	old := make([]string, len(r.Tables))
	for i, t := range r.Tables {
		old[i] = schema.LastOld(v.now, v.keep[t])
	}
	for len(holed) > 0 {
		n, blocks := 1, len(holed[0].blocks)
		for n < len(holed) && n < maxNamed && blocks+len(holed[n].blocks) <= maxBlocks {
			blocks += len(holed[n].blocks)
			n++
		}
		if err := v.gapsOf(r, holed[:n], old); err != nil {
			return err
		}
		holed = holed[n:]
	}
	return nil
}

// gapsOf lists the gaps of several streams with few numbers, or of one with many.
func (v *verification) gapsOf(r schema.Reading, holed []*seen, old []string) error {
	walks := make(map[uint64]*walk)
	var ids []string
	first, last := holed[0].First, holed[0].Last
	for _, s := range holed {
		ids = append(ids, s.ID)
		walks[s.hash] = &walk{seen: s, gap: v.Gap}
		first, last = min(first, s.First), max(last, s.Last)
	}
	before := v.now.Add(-v.Settle).Add(time.Second) // without Settle everything is settled
	err := eachRow(v.ctx, v.conn, r.SettledSQL(ids, before), func(row lib.Rows) error {
		var hash, top uint64
		err := row.Scan(&hash, &top)
		walks[hash].settled = top
		return err
	})
	if err != nil {
		return err
	}
	for from := first; ; {
		to := holed[0].windowEnd(from)
		if len(holed) > 1 || to > last {
			to = last
		}
		err := eachRow(v.ctx, v.conn, r.NumbersSQL(ids, from, to, old), func(row lib.Rows) error {
			var hash, block uint64
			var there, gone []uint16
			if err := row.Scan(&hash, &block, &there, &gone); err != nil {
				return err
			}
			slices.Sort(there) // the server keeps a few numbers as they came
			slices.Sort(gone)
			walks[hash].step(block*schema.BlockNumbers, there, gone)
			return nil
		})
		if err != nil || to == last {
			return err
		}
		from = to + 1
	}
}

// windowEnd is the last number to list together with from.
func (s *seen) windowEnd(from uint64) uint64 {
	slices.SortFunc(s.blocks, func(a, b numbers) int { return cmp.Compare(a.block, b.block) })
	i, _ := slices.BinarySearchFunc(s.blocks, from/schema.BlockNumbers, func(n numbers, block uint64) int { return cmp.Compare(n.block, block) })
	if i += maxBlocks; i < len(s.blocks) {
		return s.blocks[i].block*schema.BlockNumbers - 1
	}
	return s.Last
}

// A walk goes through the numbers of a stream that are there.
type walk struct {
	*seen
	gap     func(signal, stream string, g Gap)
	settled uint64 // the highest number that has been there for longer than Settle
	begun   bool
	at      uint64 // the last number
	old     bool   // it is in a partition of which rows have expired
}

// step goes on with numbers from a base on; gone are those of them in such a partition.
func (w *walk) step(base uint64, there, gone []uint16) {
	for _, n := range there {
		seq := base + uint64(n)
		if seq < w.First || seq > w.Last {
			continue // not known to be all that is there
		}
		_, old := slices.BinarySearch(gone, n)
		if w.begun && seq > w.at+1 {
			w.gap(w.Signal, w.ID, Gap{From: w.at + 1, To: seq - 1, Expired: w.old || old, Recent: seq > w.settled})
		}
		w.begun, w.at, w.old = true, seq, old
	}
}

// repeats looks for units that several INSERTs stored, where there are more rows than units.
func (v *verification) repeats(r schema.Reading, t *schema.Table, places map[place]amount) error {
	var partitions []string
	sum := uint64(0)
	flush := func(parts int) error {
		for rest := range parts {
			err := eachRow(v.ctx, v.conn, r.RepeatsSQL(t, partitions, parts, rest), func(row lib.Rows) error {
				p := Repeat{Signal: t.Signal(), Table: t.Name()}
				err := row.Scan(&p.Stream, &p.Seq, &p.Partition, &p.Inserts, &p.First, &p.Last, &p.Least, &p.Most)
				if err == nil {
					v.Repeat(p)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		partitions, sum = nil, 0
		return nil
	}
	for _, p := range slices.SortedFunc(maps.Keys(places), func(a, b place) int { return strings.Compare(a.partition, b.partition) }) {
		held := places[p]
		if p.table != t || held.rows == held.units {
			continue
		}
		if sum > 0 && sum+held.units > maxUnits {
			if err := flush(1); err != nil {
				return err
			}
		}
		partitions, sum = append(partitions, p.partition), sum+held.units
		if sum > maxUnits { // one partition
			if err := flush(int((sum + maxUnits - 1) / maxUnits)); err != nil {
				return err
			}
		}
	}
	if sum == 0 {
		return nil
	}
	return flush(1)
}
