package agent

import "github.com/prometheus/client_golang/prometheus"

// filesCollector shows the tailer's account: read = emitted + joined + dropped in bytes, and
// read = emitted + joined in lines; truncated, partial and invalid ones are among the emitted.
type filesCollector struct {
	current                     func() *Files
	files, bytes, lines, events *prometheus.Desc
	unread, missed              *prometheus.Desc
}

// NewFilesCollector is the metrics of what current returns at the time; nil has none. A Files that
// takes another one's place counts from 0, as after a restart.
func NewFilesCollector(current func() *Files) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &filesCollector{current: current,
		files:  desc("spillway_tail_files", "Log files that are known, and that are open.", "state"),
		bytes:  desc("spillway_tail_bytes_total", "Bytes of log files, by what became of them; missed ones were never read.", "outcome"),
		lines:  desc("spillway_tail_lines_total", "Lines of log files, by what became of them.", "outcome"),
		events: desc("spillway_tail_events_total", "What happened to files and lines.", "event"),
		missed: desc("spillway_tail_missed_bytes_total", "Bytes of log files that nobody will read, by file; at most 256 are named.", "path", "reason"),
		unread: desc("spillway_tail_unread_bytes", "Bytes in log files that are not in the log yet."),
	}
}

// Describe is a prometheus.Collector's.
func (c *filesCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.files, c.bytes, c.lines, c.events, c.missed, c.unread} {
		ch <- d
	}
}

// Collect is a prometheus.Collector's.
func (c *filesCollector) Collect(ch chan<- prometheus.Metric) {
	f := c.current()
	if f == nil {
		return
	}
	s := f.Stats()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, values map[string]uint64) {
		for label, v := range values {
			ch <- prometheus.MustNewConstMetric(d, kind, float64(v), label)
		}
	}
	send(c.files, prometheus.GaugeValue, map[string]uint64{"known": uint64(s.FilesKnown), "open": uint64(s.FilesOpen)})
	send(c.bytes, prometheus.CounterValue, map[string]uint64{"read": s.BytesRead, "emitted": s.BytesEmitted, "joined": s.BytesJoined, "dropped": s.BytesDropped, "missed": s.BytesMissed})
	send(c.lines, prometheus.CounterValue, map[string]uint64{"read": s.LinesRead, "emitted": s.LinesEmitted, "joined": s.LinesJoined, "truncated": s.Truncated, "partial": s.Partial, "invalid_utf8": f.Invalid()})
	send(c.events, prometheus.CounterValue, map[string]uint64{"restart": s.Restarts, "rotation": s.Rotations, "read_error": s.ReadErrors, "rate_limited": s.RateLimited})
	for at, bytes := range f.missed.all() {
		ch <- prometheus.MustNewConstMetric(c.missed, prometheus.CounterValue, float64(bytes), at.path, at.reason)
	}
	ch <- prometheus.MustNewConstMetric(c.unread, prometheus.GaugeValue, float64(s.BytesUnread))
}
