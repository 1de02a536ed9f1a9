package agent

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/wal"
)

// collector reads the log's own account when Prometheus asks.
type collector struct {
	a *Agent

	held, bytes, limit, untilFull, deferred, files, oldest, failures *prometheus.Desc
	free, reserve                                                    *prometheus.Desc
	memory, pressure, circuit                                        *prometheus.Desc
}

func newCollector(a *Agent) *collector {
	hop := prometheus.Labels{"hop": "agent"}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, hop)
	}
	return &collector{a: a,
		held:      desc("spillway_wal_held_items", "Items in the log.", "signal"),
		bytes:     desc("spillway_wal_bytes", "Bytes the log takes.", "signal"),
		limit:     desc("spillway_wal_limit_bytes", "The log's cap."),
		untilFull: desc("spillway_wal_seconds_until_full", "Seconds until the log refuses, at the growth of about the last minute; +Inf when it does not grow."),
		free:      desc("spillway_wal_disk_free_bytes", "Bytes that the file system of the log has free."),
		reserve:   desc("spillway_wal_disk_reserve_bytes", "Bytes of the file system that the log leaves to others; with less free it refuses."),
		deferred:  desc("spillway_wal_deferred_bytes", "Bytes acknowledged and not written (wal.mode: overflow).", "signal"),
		files:     desc("spillway_wal_generations", "Files of the log.", "signal"),
		oldest:    desc("spillway_wal_oldest_unacked_seconds", "Age of the oldest undelivered record.", "signal"),
		failures:  desc("spillway_wal_failures_total", "Write and sync errors of the log.", "signal"),
		memory:    desc("spillway_limiter_bytes", "Memory that the limiter counts, saw on the heap, and its limits.", "kind"),
		pressure:  desc("spillway_limiter_pressure", "0 normal, 1 soft: spilling, 2 hard: refusing."),
		circuit:   desc("spillway_circuit_open", "1: nothing got through for max_elapsed_time, one batch at a time is tried."),
	}
}

// Describe is a prometheus.Collector's.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect is a prometheus.Collector's.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, s := range forward.Signals {
		st := c.a.lanes(s)
		gauge(c.held, float64(st.Held), s.String())
		gauge(c.bytes, float64(st.Bytes), s.String())
		gauge(c.deferred, float64(st.Deferred), s.String())
		gauge(c.files, float64(st.Files), s.String())
		age := 0.0
		if !st.Oldest.IsZero() {
			age = time.Since(st.Oldest).Seconds()
		}
		gauge(c.oldest, age, s.String())
		ch <- prometheus.MustNewConstMetric(c.failures, prometheus.CounterValue, float64(st.Failures), s.String())
	}
	_, limit := c.a.store.Usage()
	gauge(c.limit, float64(limit))
	gauge(c.untilFull, c.a.store.SecondsUntilFull())
	if free, reserve, err := c.a.store.Disk(); err == nil {
		gauge(c.free, float64(free))
		gauge(c.reserve, float64(reserve))
	}
	taken, heap, soft, hard := c.a.limiter.Usage()
	for kind, v := range map[string]int64{"counted": taken, "heap": heap, "soft": soft, "hard": hard} {
		gauge(c.memory, float64(v), kind)
	}
	gauge(c.pressure, float64(c.a.limiter.Pressure()))
	open, _ := c.a.circuit.Open()
	gauge(c.circuit, map[bool]float64{true: 1}[open])
}

// lanes is the account of a signal: its lane and the parked one together.
func (a *Agent) lanes(s forward.Signal) wal.Stats {
	st, slow := a.store.Lane(s.String()).Stats(), a.store.Lane(parked(s)).Stats()
	st.Held += slow.Held
	st.Bytes += slow.Bytes
	st.Files += slow.Files
	st.Failures += slow.Failures
	if !slow.Oldest.IsZero() && (st.Oldest.IsZero() || slow.Oldest.Before(st.Oldest)) {
		st.Oldest = slow.Oldest
	}
	return st
}
