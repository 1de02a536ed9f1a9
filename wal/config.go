package wal

import (
	"errors"
	"log/slog"
	"time"
)

// Config says how a Store behaves. The zero value of a field means its default.
type Config struct {
	Dir   string   // the directory; made when missing
	Lanes []string // one Log each, by name

	MaxBytes     int64 // cap over everything in Dir, in bytes; 0: the smaller of 4 GiB and half the file system
	MinFreeBytes int64 // leave this much of the file system free; 0: the smaller of 1 GiB and a tenth of it
	WhenFull     WhenFull
	MaxAge       time.Duration // remove what was accepted longer ago, a generation at a time; 0: never

	GenerationBytes int64 // a generation ends at this size; 0: the smaller of 8 MiB and a sixteenth of the cap

	// NewFold makes the fold that a lane's meta goes through; nil: meta is not folded.
	NewFold func(lane string) Fold
	// Done says how far into a generation of an earlier process everything was acknowledged: an
	// offset into its file and the items before it; zeros when not known. It only saves work: nil is always right.
	Done func(stream Key, gen uint64) (offset int64, items uint64)
	// OnLoss hears of every loss, after it is in the ledger.
	OnLoss func(Loss)

	FS  FS           // nil: OS{}
	Log *slog.Logger // nil: discards
}

// WhenFull is what gives way when the cap or the reserve is reached.
type WhenFull string

const (
	Refuse     WhenFull = "refuse"      // Append says ErrFull
	DropOldest WhenFull = "drop_oldest" // the oldest generation with nothing in flight goes, and the ledger says what was in it
)

// Fold reduces the meta of a lane's records, in order, to one value that is written at the
// head of each generation, so that it outlives the records it came from.
// It is called by one goroutine at a time.
type Fold interface {
	Apply(meta []byte)             // a record with this meta is durable
	Snapshot(dst []byte) []byte    // appends the value
	Restore(snapshot []byte) error // takes a value back
}

const (
	defaultMaxBytes   = 4 << 30
	defaultMinFree    = 1 << 30
	defaultGeneration = 8 << 20
	// maxGeneration is where a generation ends at the latest: its size, what may be unsynced and one record over.
	maxGeneration = 64<<20 + maxUnsynced + 2*maxFrame
	// maxGroup bounds one group commit, in bytes; a larger record goes alone.
	maxGroup = 384 << 10
	// maxUnsynced bounds what is written ahead of the disk: one group syncs while the next is written.
	maxUnsynced = 2 * maxGroup
	// maxGroups bounds the same in groups.
	maxGroups = 64
)

var (
	// ErrFull says that the cap or the file system's reserve is reached and the policy is to refuse. Wait and append again.
	ErrFull = errors.New("wal: full")
	// ErrClosed says that CloseWrite or Close was called.
	ErrClosed = errors.New("wal: closed")
)

// A Loss is a piece of the log that will never be delivered, and why.
type Loss struct {
	Time    time.Time `json:"time"`
	Lane    string    `json:"lane"`
	Reason  string    `json:"reason"` // "evicted", "expired", "corrupt", "refused", "purged"; "missed": never in the log, Detail says of what; "unused": nothing is lost, see adr/0005
	Stream  string    `json:"stream"` // hex of the stream key
	FromSeq uint64    `json:"from_seq"`
	ToSeq   uint64    `json:"to_seq"`
	Items   uint64    `json:"items"` // 0 of a corrupt file whose count is not known
	Bytes   int64     `json:"bytes"`
	// When the first and the last of the records were accepted; zero when not known.
	FromTime time.Time `json:"from_time,omitzero"`
	ToTime   time.Time `json:"to_time,omitzero"`
	Detail   string    `json:"detail,omitempty"`
}
