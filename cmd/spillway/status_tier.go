package main

import "github.com/spillway-io/spillway/forward"

func (t *tier) status() *status {
	s := newStatus(roleCollector, t.started)
	s.stages = t.stages()
	s.Losses.Items = lostItems(s.Account)
	s.Messages = recall(t.log)
	s.Config.Refused = t.reloads.lastRefusal()
	return s.finish(t.now.Load(), t.ready())
}

// stages is a collector's path.
func (t *tier) stages() stages {
	return stages{Sources: t.doors.status(), Limiter: limiterOf(t.limiter, forward.Soft, t.metrics), ClickHouse: t.clickhouseStatus(), Account: accounts(t.metrics, nil)}
}

func (t *tier) clickhouseStatus() *clickhouseStatus {
	h := t.hop()
	c := &clickhouseStatus{Address: h.conn.Addr(), Database: h.conn.Database(), TablesReady: h.isReady(), Failing: h.trouble.failure(),
		SlowestSeconds: h.writer.Slowest().Seconds(), Clock: clockOf(h.conn.Clock()), UnknownMarkers: t.metrics.Unknown()}
	if c.Failing == nil {
		c.Failing = newFailure(h.writer.Failing())
	}
	for _, sig := range forward.Signals {
		c.AlreadyPresent += t.metrics.Account(sig).Out["already_present"]
	}
	for _, s := range h.writer.Tables() {
		c.Tables = append(c.Tables, tableStatus{Name: s.Table, Inserts: s.Inserts, Rows: s.Rows, Failures: s.Failures, Fenced: s.Fenced,
			Last: orNull(s.Last), Held: s.Held, Until: orNull(s.Until)})
	}
	return c
}
