package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spillway-io/spillway/agent/lines"
	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
)

// JournalConfig is one journal. The keys are those of the OpenTelemetry Collector's receiver.
type JournalConfig struct {
	Directory   string              `yaml:"directory"`       // of journal files; empty: the system's
	Units       []string            `yaml:"units"`           // only these; globs are allowed
	Identifiers []string            `yaml:"identifiers"`     // only these SYSLOG_IDENTIFIERs
	Priority    string              `yaml:"priority"`        // this and what is worse, or a range; empty: info
	Matches     []map[string]string `yaml:"matches"`         // only entries with all fields of one of these
	StartAt     string              `yaml:"start_at"`        // end or beginning, where no position is known; empty: end
	Journalctl  string              `yaml:"journalctl_path"` // the program; empty: journalctl
}

var (
	priorityForm = regexp.MustCompile(`^([0-7]|emerg|alert|crit|err|warning|notice|info|debug)(\.\.([0-7]|emerg|alert|crit|err|warning|notice|info|debug))?$`)
	fieldForm    = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
)

// Validate names everything that is wrong.
func (c JournalConfig) Validate() error {
	var errs []error
	if c.Priority != "" && !priorityForm.MatchString(c.Priority) {
		errs = append(errs, fmt.Errorf("priority: %q: use emerg, alert, crit, err, warning, notice, info, debug or a range, err..info", c.Priority))
	}
	if c.StartAt != "" && c.StartAt != tail.StartAtEnd && c.StartAt != tail.StartAtBeginning {
		errs = append(errs, fmt.Errorf("start_at: %q: use end or beginning", c.StartAt))
	}
	if len(c.Directory) > maxDirectory {
		errs = append(errs, fmt.Errorf("directory: longer than %d bytes", maxDirectory))
	}
	for i, m := range c.Matches {
		if len(m) == 0 {
			errs = append(errs, fmt.Errorf("matches[%d]: name at least one field", i))
		}
		for k := range m {
			if !fieldForm.MatchString(k) {
				errs = append(errs, fmt.Errorf("matches[%d]: %q is not the name of a journal field, as _SYSTEMD_UNIT is", i, k))
			}
		}
	}
	for key, values := range map[string][]string{"units": c.Units, "identifiers": c.Identifiers} {
		if slices.Contains(values, "") {
			errs = append(errs, fmt.Errorf("%s: an empty name matches nothing: leave it out", key))
		}
	}
	return errors.Join(errs...)
}

// maxDirectory leaves room in the name of a mark.
const maxDirectory = 512

func (c JournalConfig) program() string {
	if c.Journalctl == "" {
		return "journalctl"
	}
	return c.Journalctl
}

// arguments are common to all runs. --all, or fields above 4096 bytes would be null. --merge, or
// --follow would leave out what was logged before the last boot.
func (c JournalConfig) arguments() []string {
	args := []string{"--output=json", "--all", "--merge", "--quiet", "--no-pager"}
	if c.Directory != "" {
		args = append(args, "--directory="+c.Directory)
	}
	return args
}

func (c JournalConfig) filters() (args []string) {
	for _, u := range c.Units {
		args = append(args, "--unit="+u)
	}
	for _, id := range c.Identifiers {
		args = append(args, "--identifier="+id)
	}
	priority := c.Priority
	if priority == "" {
		priority = "info"
	}
	args = append(args, "--priority="+priority, "--")
	for i, m := range c.Matches {
		if i > 0 {
			args = append(args, "+")
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			args = append(args, k+"="+m[k])
		}
	}
	return args
}

// A Journal is the Source of a systemd journal, which journalctl reads for us. The journal's
// cursor of the last entry of a batch rides with the batch, so an entry is in the log exactly when
// the cursor there says so.
type Journal struct {
	cfg       JournalConfig
	name      string // of its mark
	positions *tail.Positions
	self      Self
	shape     shape
	log       *slog.Logger

	// of the running Run
	place   place  // up to where entries are in the log
	number  uint64 // of the last mark
	started bool   // place is known
	gone    bool   // the last entry of place is not in the journal any more, which was said
	trouble *trouble

	stats struct{ emitted, own, malformed, restarts, lost atomic.Uint64 }
}

// NewJournal reads a journal from the position that the agent's log holds. ordinal tells apart
// several of the same directory; attrs are of the resource, behind what the journal tells.
func NewJournal(cfg JournalConfig, ordinal int, attrs []lines.Attr, self Self, positions *tail.Positions, log *slog.Logger) *Journal {
	return &Journal{cfg: cfg, name: fmt.Sprintf("journald %d %s", ordinal, cfg.Directory), positions: positions, self: self,
		shape: shape{attrs: attrs}, log: log}
}

// Run reads until ctx is done. A journalctl that ends is started again, from where the log is.
func (j *Journal) Run(ctx context.Context, next forward.Sink) error {
	j.trouble = newTrouble(j.log, &j.stats.restarts)
	for {
		err := j.follow(ctx, next)
		if ctx.Err() != nil {
			return nil
		}
		if !j.trouble.wait(ctx, err) {
			return nil
		}
	}
}

// follow runs one journalctl until it ends.
func (j *Journal) follow(ctx context.Context, next forward.Sink) error {
	if err := j.locate(ctx, next); err != nil {
		return err
	}
	args := append(j.cfg.arguments(), "--follow", "--no-tail")
	if j.place.last() != "" && !j.gone {
		args = append(args, "--cursor="+j.place.last()) // not --after-cursor: with filters that skips an entry before systemd 255
	}
	c, err := startJournalctl(ctx, j.cfg.program(), append(args, j.cfg.filters()...), j.log)
	if err != nil {
		return err
	}
	quiet := time.AfterFunc(healthyAfter, j.trouble.over)
	defer quiet.Stop()
	b := journalBatch{encoder: lines.NewEncoder(lines.Options{}), before: j.place, gone: j.gone}
	for {
		err := j.gather(c, &b)
		if b.read() {
			j.trouble.over()
			if err := j.put(ctx, next, &b); err != nil {
				return errors.Join(err, c.stop())
			}
		}
		if err != nil {
			return errors.Join(c.stop(), err)
		}
	}
}

// locate finds where to begin, which may be known already.
func (j *Journal) locate(ctx context.Context, next forward.Sink) error {
	if !j.started {
		number, value, ok := j.positions.Mark(j.name)
		j.number, j.place = number, parsePlace(value)
		if !ok && j.cfg.StartAt != tail.StartAtBeginning {
			newest, err := peekJournal(ctx, j.cfg, "--lines=1")
			if err != nil {
				return err
			}
			j.place = parsePlace([]byte(newest))
			// In the log before anything is read: a restart does not begin at a later end.
			if err := j.mark(ctx, next, forward.Batch{Signal: forward.Logs}); err != nil {
				return err
			}
		}
		j.started = true
	}
	if j.place.last() == "" || j.gone {
		return nil
	}
	found, err := peekJournal(ctx, j.cfg, "--cursor="+j.place.last())
	if err != nil {
		return err
	}
	if found != j.place.last() {
		j.gone = true
		j.stats.lost.Add(1)
		j.log.Error("journal: the entry that was read last is gone, reading the oldest there is; entries in between may be lost: let the journal keep more (SystemMaxUse)",
			"directory", j.cfg.Directory, "cursor", j.place.last())
	}
	return nil
}

// put has the log take a batch over.
func (j *Journal) put(ctx context.Context, next forward.Sink, b *journalBatch) error {
	for _, c := range b.cursors {
		j.place = j.place.with(c)
	}
	batch := forward.Batch{Signal: forward.Logs}
	batch.Body, batch.Items = b.encode()
	if len(b.cursors) > 0 {
		if err := j.mark(ctx, next, batch); err != nil {
			return err
		}
		j.gone = false // what comes after is found by the new place
	}
	j.stats.emitted.Add(uint64(batch.Items))
	j.stats.own.Add(uint64(b.own))
	j.stats.malformed.Add(uint64(b.malformed))
	return nil
}

// mark puts a batch with the place behind it.
func (j *Journal) mark(ctx context.Context, next forward.Sink, b forward.Batch) error {
	b.Cursor = tail.AppendMark(nil, j.name, j.number+1, j.place.value())
	if err := offer(ctx, next, b, "journald", j.log); err != nil {
		j.started = false // what the log has is the truth
		return err
	}
	j.number++
	return nil
}

const (
	batchEntries = 1000
	batchBytes   = 256 << 10
	// batchWait is how long the first entry of a batch waits for others, so that a trickle does not cost an fsync each.
	batchWait = 100 * time.Millisecond
)

// gather fills b with what is there, at least one entry unless it returns an error.
func (j *Journal) gather(c *journalctl, b *journalBatch) error {
	b.reset()
	var deadline time.Time // none before the first entry
	for size := 0; len(b.entries) < batchEntries && size < batchBytes; {
		line, err := c.line(deadline)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && b.read():
			return nil
		case errors.Is(err, errLongEntry):
			b.malformed++
			j.log.Error("journal: an entry is too long and is left out", "limit_bytes", maxEntry)
		case err != nil:
			return err
		default:
			size += len(line)
			j.add(line, b)
		}
		if b.read() && deadline.IsZero() {
			deadline = time.Now().Add(batchWait)
		}
	}
	return nil
}

// add takes one line of journalctl into b.
func (j *Journal) add(line []byte, b *journalBatch) {
	e, err := parseEntry(line)
	if err != nil {
		b.malformed++
		j.log.Error("journal: journalctl wrote what is no entry; it is left out", "err", err, "line", string(line[:min(len(line), 200)]))
		return
	}
	cursor := e.one("__CURSOR")
	if !b.gone && cursor == b.before.last() || b.gone && b.before.covers(cursor) {
		return // in the log already
	}
	if b.gone && !b.counted {
		if missed, ok := b.before.missed(cursor); ok {
			b.counted = true
			j.log.Warn("journal: reading goes on behind a gap", "missed_at_most", missed, "directory", j.cfg.Directory)
		}
	}
	b.cursors = append(b.cursors, cursor)
	if j.self.wrote(e) {
		b.own++
		return
	}
	b.entries = append(b.entries, j.shape.record(e))
}

// A journalBatch is what one gather found.
type journalBatch struct {
	encoder *lines.Encoder
	before  place // when journalctl was started
	gone    bool  // then: it began with the oldest entry
	counted bool  // what is missing between place and there was said

	entries   []journalRecord
	cursors   []string
	own       int
	malformed int
	body      []byte
}

func (b *journalBatch) reset() {
	clear(b.entries)
	b.entries, b.cursors, b.own, b.malformed = b.entries[:0], b.cursors[:0], 0, 0
}

// read says whether anything was.
func (b *journalBatch) read() bool { return len(b.cursors)+b.malformed > 0 }

// encode returns a body that is valid until the next one: a request for each resource, behind one
// another, which is a request again.
func (b *journalBatch) encode() (body []byte, items int) {
	b.body = b.body[:0]
	var resources []*lines.Resource
	for _, e := range b.entries {
		if !slices.Contains(resources, e.resource) {
			resources = append(resources, e.resource)
		}
	}
	now := time.Now()
	for _, r := range resources {
		b.encoder.Begin(r)
		for i := range b.entries {
			e := &b.entries[i]
			if e.resource != r {
				continue
			}
			if e.at.IsZero() {
				e.at = now
			}
			b.encoder.AddSent(e.text, time.Time{}, e.at, e.remarks, "")
		}
		part, n := b.encoder.Finish()
		b.body = append(b.body, part...)
		items += n
	}
	return b.body, items
}
