package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// verifyMetrics are what one run of verify found. No process exports them all the time: counting reads tables.
type verifyMetrics struct {
	missing, duplicate, unknown *prometheus.GaugeVec
	at                          prometheus.Gauge
}

func newVerifyMetrics(reg prometheus.Registerer) *verifyMetrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"signal"})
	}
	m := &verifyMetrics{
		missing:   gauge("spillway_verify_missing_records", "Records that are in no table and that nothing explains, when spillway verify last ran."),
		duplicate: gauge("spillway_verify_duplicate_records", "Records, a table and partition at a time, that are stored more than once, when spillway verify last ran."),
		unknown:   gauge("spillway_verify_unknown_records", "Records that are missing, but may be on their way or have expired, when spillway verify last ran."),
		at:        prometheus.NewGauge(prometheus.GaugeOpts{Name: "spillway_verify_last_run_timestamp_seconds", Help: "When spillway verify last counted, in unix seconds."}),
	}
	reg.MustRegister(m.missing, m.duplicate, m.unknown, m.at)
	return m
}

// export writes the counts of the report to a file, which is there whole or as it was.
func (r *verifyReport) export(file string, now time.Time) error {
	reg := prometheus.NewRegistry()
	m := newVerifyMetrics(reg)
	for _, s := range r.Signals {
		m.missing.WithLabelValues(s.Signal).Set(float64(s.Missing))
		m.duplicate.WithLabelValues(s.Signal).Set(float64(s.Twice))
		m.unknown.WithLabelValues(s.Signal).Set(float64(s.Unknown))
	}
	m.at.Set(float64(now.UnixMilli()) / 1000)
	return prometheus.WriteToTextfile(file, reg)
}
