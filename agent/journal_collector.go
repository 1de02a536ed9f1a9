package agent

import "github.com/prometheus/client_golang/prometheus"

// journalCollector shows the account of the journals: read = emitted + own + malformed.
type journalCollector struct {
	current         func() []*Journal
	entries, events *prometheus.Desc
}

// NewJournalCollector is the metrics of the journals that current returns at the time, together; none
// have none. Those that take others' place count from 0, as after a restart.
func NewJournalCollector(current func() []*Journal) prometheus.Collector {
	return &journalCollector{current: current,
		entries: prometheus.NewDesc("spillway_journald_entries_total", "Entries of the journal, by what became of them.", []string{"outcome"}, nil),
		events:  prometheus.NewDesc("spillway_journald_events_total", "What happened to journalctl, and to the place that it reads from.", []string{"event"}, nil),
	}
}

// Describe is a prometheus.Collector's.
func (c *journalCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.entries
	ch <- c.events
}

// Collect is a prometheus.Collector's.
func (c *journalCollector) Collect(ch chan<- prometheus.Metric) {
	var emitted, own, malformed, restarts, lost uint64
	journals := c.current()
	if len(journals) == 0 {
		return
	}
	for _, j := range journals {
		emitted += j.stats.emitted.Load()
		own += j.stats.own.Load()
		malformed += j.stats.malformed.Load()
		restarts += j.stats.restarts.Load()
		lost += j.stats.lost.Load()
	}
	send := func(d *prometheus.Desc, label string, v uint64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), label)
	}
	send(c.entries, "read", emitted+own+malformed)
	send(c.entries, "emitted", emitted)
	send(c.entries, "own", own)
	send(c.entries, "malformed", malformed)
	send(c.events, "restart", restarts)
	send(c.events, "position_lost", lost)
}
