package agent

import "github.com/prometheus/client_golang/prometheus"

// filesCollector shows the tailer's account: read = emitted + joined + dropped in bytes, and
// read = emitted + joined in lines.
type filesCollector struct {
	f                           *Files
	files, bytes, lines, events *prometheus.Desc
	unread                      *prometheus.Desc
}

// NewFilesCollector is the metrics of f.
func NewFilesCollector(f *Files) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &filesCollector{f: f,
		files:  desc("spillway_tail_files", "Log files that are known, and that are open.", "state"),
		bytes:  desc("spillway_tail_bytes_total", "Bytes of log files, by what became of them; missed ones were never read.", "outcome"),
		lines:  desc("spillway_tail_lines_total", "Lines of log files, by what became of them.", "outcome"),
		events: desc("spillway_tail_events_total", "What happened to files and lines.", "event"),
		unread: desc("spillway_tail_unread_bytes", "Bytes in log files that are not in the log yet."),
	}
}

// Describe is a prometheus.Collector's.
func (c *filesCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect is a prometheus.Collector's.
func (c *filesCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.f.Stats()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, values map[string]uint64) {
		for label, v := range values {
			ch <- prometheus.MustNewConstMetric(d, kind, float64(v), label)
		}
	}
	send(c.files, prometheus.GaugeValue, map[string]uint64{"known": uint64(s.FilesKnown), "open": uint64(s.FilesOpen)})
	send(c.bytes, prometheus.CounterValue, map[string]uint64{"read": s.BytesRead, "emitted": s.BytesEmitted, "joined": s.BytesJoined, "dropped": s.BytesDropped, "missed": s.BytesMissed})
	send(c.lines, prometheus.CounterValue, map[string]uint64{"read": s.LinesRead, "emitted": s.LinesEmitted, "joined": s.LinesJoined, "truncated": s.Truncated, "partial": s.Partial})
	send(c.events, prometheus.CounterValue, map[string]uint64{"restart": s.Restarts, "rotation": s.Rotations, "read_error": s.ReadErrors})
	ch <- prometheus.MustNewConstMetric(c.unread, prometheus.GaugeValue, float64(s.BytesUnread))
}
