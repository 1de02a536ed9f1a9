package forward

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	dto "github.com/prometheus/client_model/go"
)

// Counters are those of one hop, in items. For each signal they satisfy, at any time
// nothing is being handed over,
//
//	in + recovered = out{delivered|already_present} + held + lost{reason}
type Counters struct {
	In        *prometheus.CounterVec // spillway_in_items_total{signal}
	Recovered *prometheus.GaugeVec   // spillway_recovered_items{signal}: found in the log at start
	Out       *prometheus.CounterVec // spillway_out_items_total{signal,outcome}
	Held      *prometheus.GaugeVec   // spillway_held_items{signal}
	Lost      *prometheus.CounterVec // spillway_lost_items_total{signal,reason}
	Refused   *prometheus.CounterVec // spillway_refused_requests_total{reason}: told to wait or never; nothing of them was taken
	Attempts  *prometheus.CounterVec // spillway_send_attempts_total{signal,outcome}

	UnknownMarkers prometheus.Counter // spillway_unknown_markers_total: records stored at least once, because of their sender's version
}

// NewCounters registers the counters of hop ("agent" or "collector") with reg; nil registers nowhere.
func NewCounters(reg prometheus.Registerer, hop string) *Counters {
	if reg != nil {
		reg = prometheus.WrapRegistererWith(prometheus.Labels{"hop": hop}, reg)
	}
	f := promauto.With(reg)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"signal"})
	}
	return &Counters{
		In:        counter("spillway_in_items_total", "Items taken over from senders and files.", "signal"),
		Recovered: gauge("spillway_recovered_items", "Items found in the log at start."),
		Out:       counter("spillway_out_items_total", "Items handed on.", "signal", "outcome"),
		Held:      gauge("spillway_held_items", "Items this process is responsible for now."),
		Lost:      counter("spillway_lost_items_total", "Items that will never be delivered, by reason; the ledger names them.", "signal", "reason"),
		Refused:   counter("spillway_refused_requests_total", "Requests answered with wait or never.", "reason"),
		UnknownMarkers: f.NewCounter(prometheus.CounterOpts{Name: "spillway_unknown_markers_total",
			Help: "Records whose markers are of a version that is not known here: they are stored at least once."}),
		Attempts: counter("spillway_send_attempts_total", "Batches offered to the next hop, by what it said.", "signal", "outcome"),
	}
}

// An Account is what the counters say of one signal. A node's Held is not in it: its log knows.
type Account struct {
	In, Recovered, Held uint64
	Out                 map[string]uint64 // by outcome
	Lost                map[string]uint64 // by reason
}

// Account reads the counters of s.
func (c *Counters) Account(s Signal) Account {
	one := func(v prometheus.Collector) (sum uint64) {
		for _, n := range totals(v, "signal", s.String(), "signal") {
			sum += n
		}
		return sum
	}
	return Account{In: one(c.In), Recovered: one(c.Recovered), Held: one(c.Held),
		Out: totals(c.Out, "signal", s.String(), "outcome"), Lost: totals(c.Lost, "signal", s.String(), "reason")}
}

// Refusals are requests of which nothing was taken, by reason.
func (c *Counters) Refusals() map[string]uint64 { return totals(c.Refused, "", "", "reason") }

// Unknown is how many records had markers that are not known here.
func (c *Counters) Unknown() uint64 { return totals(c.UnknownMarkers, "", "", "")[""] }

// Offers are batches offered to the next hop, by what it said.
func (c *Counters) Offers() map[string]uint64 { return totals(c.Attempts, "", "", "outcome") }

// totals adds up the series of v that have value for label, "" is all, by their label by.
func totals(v prometheus.Collector, label, value, by string) map[string]uint64 {
	series := make(chan prometheus.Metric)
	go func() {
		defer close(series)
		v.Collect(series)
	}()
	sums := make(map[string]uint64)
	for m := range series {
		var one dto.Metric
		if m.Write(&one) != nil {
			continue // of a counter it does not fail
		}
		is := label == ""
		var key string
		for _, l := range one.GetLabel() {
			is = is || l.GetName() == label && l.GetValue() == value
			if l.GetName() == by {
				key = l.GetValue()
			}
		}
		if is {
			sums[key] += uint64(one.GetCounter().GetValue() + one.GetGauge().GetValue())
		}
	}
	return sums
}
