package main

import (
	"os"
	"reflect"
	"time"

	"github.com/spillway-io/spillway/forward"
)

// statusFormat is the version of the document. It grows when a field goes or means something else; a field that
// comes does not change it.
const statusFormat = 1

// A status is what GET /status answers: what the process does now, from where data comes in to where it goes. The page
// and spillway status show it; docs/status.md has every field.
type status struct {
	Format        int       `json:"format"`
	Role          role      `json:"role"`
	Version       string    `json:"version"`
	Host          string    `json:"host"`
	PID           int       `json:"pid"`
	Now           time.Time `json:"now"`
	Started       time.Time `json:"started"`
	UptimeSeconds float64   `json:"uptime_seconds"`
	Verdict       verdict   `json:"verdict"`

	stages
	Collector *stages `json:"collector,omitempty"` // of a standalone process: its second half

	Files    *filesStatus  `json:"files,omitempty"`
	Losses   lossesStatus  `json:"losses"`
	Messages []saidMessage `json:"messages"` // warnings and errors, the last first
	Config   configStatus  `json:"config"`
}

// stages are the path of one half, in the order of the data.
type stages struct {
	Sources    []sourceStatus    `json:"sources"`
	Limiter    limiterStatus     `json:"limiter"`
	WAL        *walStatus        `json:"wal,omitempty"`        // of an agent
	Forward    *forwardStatus    `json:"forward,omitempty"`    // of an agent
	ClickHouse *clickhouseStatus `json:"clickhouse,omitempty"` // of a collector
	Account    []accountStatus   `json:"account"`
}

// An accountStatus is a signal's balance: in + recovered = the sum of out + held + the sum of lost.
type accountStatus struct {
	Signal    string            `json:"signal"`
	In        uint64            `json:"in"`
	Recovered uint64            `json:"recovered"`
	Out       map[string]uint64 `json:"out"` // by outcome
	Held      uint64            `json:"held"`
	Lost      map[string]uint64 `json:"lost"` // by reason
}

// A sourceStatus is where data comes in. Counts are since the start.
type sourceStatus struct {
	Name    string            `json:"name"`    // OTLP gRPC, OTLP HTTP, Loki, files, journal, stdin
	Address string            `json:"address"` // of a port, or what is read
	Items   map[string]uint64 `json:"items"`   // taken, by signal
	Bytes   uint64            `json:"bytes"`   // of these, as OTLP
	Told    uint64            `json:"told_to_wait"`
	Last    *time.Time        `json:"last"`    // when something was taken; null: never
	Waiting string            `json:"waiting"` // why it was told to wait the last time; "": it took something since
}

// limiterStatus is memory, in bytes.
type limiterStatus struct {
	State   string            `json:"state"` // normal, soft, hard
	Counted int64             `json:"counted_bytes"`
	Heap    int64             `json:"heap_bytes"`
	Soft    int64             `json:"soft_bytes"`
	Hard    int64             `json:"hard_bytes"`
	Refuses string            `json:"refuses_at"` // soft of a collector, hard of an agent
	Refused map[string]uint64 `json:"refused_requests"`
}

// walStatus is the log on disk.
type walStatus struct {
	Dir              string       `json:"dir"`
	Mode             string       `json:"mode"`
	WhenFull         string       `json:"when_full"`
	Bytes            int64        `json:"bytes"`
	LimitBytes       int64        `json:"limit_bytes"`
	HeldItems        uint64       `json:"held_items"`
	OldestSeconds    float64      `json:"oldest_seconds"`     // age of what waits longest; 0: nothing waits
	SecondsUntilFull *float64     `json:"seconds_until_full"` // null: it does not grow, or takes more than a year
	DiskFree         int64        `json:"disk_free_bytes"`
	DiskReserve      int64        `json:"disk_reserve_bytes"`
	DiskError        string       `json:"disk_error"`
	Troubles         []string     `json:"troubles"`
	Signals          []laneStatus `json:"signals"`
}

// A laneStatus is a signal's part of the log.
type laneStatus struct {
	Signal        string  `json:"signal"`
	Stream        string  `json:"stream"` // IngestStream in the tables, of what this process takes
	HeldItems     uint64  `json:"held_items"`
	ParkedItems   uint64  `json:"parked_items"`
	Bytes         int64   `json:"bytes"`
	DeferredBytes int64   `json:"deferred_bytes"`
	Files         int     `json:"files"`
	OldestSeconds float64 `json:"oldest_seconds"`
	Failures      uint64  `json:"failures"`
}

// A failure is an error that lasts, in plain words.
type failure struct {
	Since time.Time `json:"since"`
	Words string    `json:"words"`
	Do    string    `json:"do"`
	Error string    `json:"error"` // as it came
}

// forwardStatus is delivery to the next hop.
type forwardStatus struct {
	State       string            `json:"state"` // delivering, failing, open (the circuit: one batch at a time is tried), idle
	LastSuccess *time.Time        `json:"last_success"`
	Underway    int               `json:"underway"` // batches that are being sent
	Offered     map[string]uint64 `json:"offered"`  // batches, by what the next hop said
	Failing     *failure          `json:"failing"`
	Clock       clockStatus       `json:"clock"`
	Endpoints   []endpointStatus  `json:"endpoints"`
}

// clockStatus is ClickHouse's clock against ours. Fences are stated on it, adr/0012.
type clockStatus struct {
	Known        bool    `json:"known"`
	AheadSeconds float64 `json:"ahead_seconds"`
}

type endpointStatus struct {
	Name       string     `json:"name"`
	State      string     `json:"state"` // of the connection
	PassedOver *time.Time `json:"passed_over_until"`
	Markers    bool       `json:"markers"` // it is known to store exactly once
	Failing    *failure   `json:"failing"`
}

// clickhouseStatus is the last hop.
type clickhouseStatus struct {
	Address        string        `json:"address"`
	Database       string        `json:"database"`
	TablesReady    bool          `json:"tables_ready"`
	Failing        *failure      `json:"failing"` // the last INSERT, or what keeps the tables from being ready
	SlowestSeconds float64       `json:"slowest_insert_seconds"`
	AlreadyPresent uint64        `json:"already_present"` // items that came again and were found to be stored
	UnknownMarkers uint64        `json:"unknown_markers"`
	Clock          clockStatus   `json:"clock"`
	Tables         []tableStatus `json:"tables"`
}

// A tableStatus is what was inserted into a table since the start.
type tableStatus struct {
	Name     string     `json:"name"`
	Inserts  uint64     `json:"inserts"`
	Rows     uint64     `json:"rows"`
	Failures uint64     `json:"failures"`
	Fenced   uint64     `json:"fenced"` // of these, refused because they came after their fence
	Last     *time.Time `json:"last"`
	Held     string     `json:"held"` // why senders wait; "": they do not
	Until    *time.Time `json:"held_until"`
}

// filesStatus are log files, those with most unread first.
type filesStatus struct {
	Known  int          `json:"known"`
	Open   int          `json:"open"`
	Unread uint64       `json:"unread_bytes"`
	Read   uint64       `json:"read_bytes"`
	Lines  uint64       `json:"lines"`
	Missed uint64       `json:"missed_bytes"`
	List   []fileStatus `json:"list"`
}

type fileStatus struct {
	Path    string     `json:"path"`
	Name    string     `json:"name"` // where it is now; "": removed
	Format  string     `json:"format"`
	Size    int64      `json:"size_bytes"`
	Read    int64      `json:"read_bytes"`
	Unread  int64      `json:"unread_bytes"`
	State   string     `json:"state"` // open, closed, removed, rate_limited, damaged
	Written *time.Time `json:"written"`
}

// lossesStatus is what will never be delivered.
type lossesStatus struct {
	Items  uint64         `json:"items"`
	Ledger string         `json:"ledger"` // of an agent
	Missed []missedStatus `json:"missed"` // bytes of files that nobody will read, most first
	Last   []lossStatus   `json:"last"`   // the last few since the start
}

type missedStatus struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
	Bytes  uint64 `json:"bytes"`
}

type lossStatus struct {
	Time   time.Time `json:"time"`
	Signal string    `json:"signal"`
	Reason string    `json:"reason"`
	Items  uint64    `json:"items"`
	Bytes  int64     `json:"bytes"`
	Detail string    `json:"detail"`
}

// configStatus is the configuration that holds.
type configStatus struct {
	Text    string `json:"text"` // YAML, with defaults, without secrets
	Refused string `json:"reload_refused"`
}

// newStatus is what each role fills in.
func newStatus(r role, started time.Time) *status {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	now := time.Now()
	return &status{Format: statusFormat, Role: r, Version: versionString(), Host: host, PID: os.Getpid(),
		Now: now.UTC().Round(0), Started: started.UTC().Round(0), UptimeSeconds: now.Sub(started).Seconds(),
		Losses: lossesStatus{Missed: []missedStatus{}, Last: []lossStatus{}}}
}

// finish judges s, and takes secrets of c out of it.
func (s *status) finish(c *config, why error) *status {
	s.Verdict = judge(s, why)
	m := newMask(c)
	s.Config.Text = effective(c, s.Role)
	m.apply(reflect.ValueOf(s).Elem())
	return s
}

// orNull is null for a time that never was.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Round(0)
	return &t
}

func age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, time.Since(t).Seconds())
}

// newFailure is nil when nothing fails.
func newFailure(text string, since time.Time) *failure {
	if text == "" {
		return nil
	}
	words, do := inWords(text)
	return &failure{Since: since.UTC().Round(0), Words: words, Do: do, Error: cut(text, maxAttrText)}
}

func limiterOf(l *forward.Limiter, refuses forward.Pressure, m *forward.Counters) limiterStatus {
	s := limiterStatus{State: l.Pressure().String(), Refuses: refuses.String(), Refused: m.Refusals()}
	s.Counted, s.Heap, s.Soft, s.Hard = l.Usage()
	return s
}

func clockOf(c *forward.Clock) clockStatus {
	now := time.Now()
	there, known := c.At(now)
	if !known {
		return clockStatus{}
	}
	return clockStatus{Known: true, AheadSeconds: there.Sub(now.Round(0)).Round(time.Millisecond).Seconds()}
}

// accounts are those of every signal. held is nil where the counters know.
func accounts(m *forward.Counters, held func(forward.Signal) uint64) (all []accountStatus) {
	for _, sig := range forward.Signals {
		a := m.Account(sig)
		if held != nil {
			a.Held = held(sig)
		}
		all = append(all, accountStatus{Signal: sig.String(), In: a.In, Recovered: a.Recovered, Out: a.Out, Held: a.Held, Lost: a.Lost})
	}
	return all
}

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}
