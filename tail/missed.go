package tail

import "fmt"

// Reasons for what is missed.
const (
	MissedGone      = "gone"       // removed or truncated before it was read, and no copy was found
	MissedUnread    = "unreadable" // a compressed file that is damaged
	MissedRateLimit = "rate_limit" // removed while its source was over its budget
)

// Missed is bytes of a log file that nobody will read.
type Missed struct {
	Path   string
	Config int // index of the Config that found the file
	Bytes  int64
	Reason string
}

func (m Missed) String() string { return fmt.Sprintf("%d bytes of %s: %s", m.Bytes, m.Path, m.Reason) }

// miss counts what nobody will read. Needs mu.
func (t *Tailer) miss(m Missed) {
	t.stats.BytesMissed += uint64(m.Bytes)
	t.log.Error("log file was not read to its end", "path", m.Path, "missed_bytes", m.Bytes, "reason", m.Reason)
	if len(t.missed) < maxQuiet {
		t.missed = append(t.missed, m)
	}
}

// tell tells what was missed. It holds no lock meanwhile.
func (t *Tailer) tell() {
	t.mu.Lock()
	missed := t.missed
	t.missed = nil
	t.mu.Unlock()
	if t.onMiss == nil {
		return
	}
	for _, m := range missed {
		t.onMiss(m)
	}
}
