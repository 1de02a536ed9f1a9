package main

import (
	"strings"
	"time"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/tail"
)

// maxListed is how many log files are named.
const maxListed = 100

func (n *node) status() *status {
	s := newStatus(roleAgent, n.started)
	s.stages = stages{Sources: n.sources(), Limiter: limiterOf(n.limiter, forward.Hard, n.agent.Metrics()), WAL: n.walStatus(), Forward: n.forwardStatus()}
	held := make(map[string]uint64)
	for _, lane := range s.WAL.Signals {
		held[lane.Signal] = lane.HeldItems
	}
	s.Account = accounts(n.agent.Metrics(), func(sig forward.Signal) uint64 { return held[sig.String()] })
	s.Files = n.files()
	s.Losses.Ledger = n.cfg.WAL.Dir + "/ledger.jsonl"
	n.losses(s)
	s.Messages = recall(n.log)
	s.Config.Refused = n.reloads.lastRefusal()
	cfg, why := n.now.Load(), n.ready()
	if n.tier != nil {
		s.Role = roleStandalone
		half := n.tier.stages()
		s.Collector = &half
		whole := *cfg
		whole.Collector = n.tier.now.Load()
		cfg = &whole
		if why == nil {
			why = n.tier.ready()
		}
		s.Losses.Items += lostItems(half.Account)
	}
	return s.finish(cfg, why)
}

func (n *node) sources() []sourceStatus {
	all := n.doors.status()
	if n.filesNow.Load() != nil {
		f := n.filesDoor.status()
		var globs []string
		for _, t := range n.now.Load().Receivers.Tail {
			globs = append(globs, t.Include...)
		}
		f.Address = cut(strings.Join(globs, ", "), 200)
		all = append(all, f)
	}
	for _, d := range *n.journalDoor.Load() {
		all = append(all, d.status())
	}
	if n.stdin != nil {
		all = append(all, n.stdinDoor.status())
	}
	return all
}

// aYear is when a log that grows so slowly counts as one that does not.
const aYear = 365 * 24 * time.Hour

func (n *node) walStatus() *walStatus {
	a := n.agent.Status()
	w := &walStatus{Dir: a.Dir, Mode: string(a.Mode), WhenFull: string(a.WhenFull), Bytes: a.Used, LimitBytes: a.Limit,
		DiskFree: a.Free, DiskReserve: a.Reserve, Troubles: append([]string{}, a.Troubles...)}
	if a.SecondsUntilFull < aYear.Seconds() {
		w.SecondsUntilFull = &a.SecondsUntilFull
	}
	if a.DiskErr != nil {
		w.DiskError = a.DiskErr.Error()
	}
	for _, l := range a.Lanes {
		lane := laneStatus{Signal: l.Signal.String(), Stream: l.Stream, HeldItems: l.Held, ParkedItems: l.Parked, Bytes: l.Bytes,
			DeferredBytes: l.Deferred, Files: l.Files, OldestSeconds: age(l.Oldest), Failures: l.Failures}
		w.HeldItems += l.Held
		w.OldestSeconds = max(w.OldestSeconds, lane.OldestSeconds)
		w.Signals = append(w.Signals, lane)
	}
	return w
}

func (n *node) forwardStatus() *forwardStatus {
	c := n.agent.Circuit().State()
	f := &forwardStatus{State: "idle", LastSuccess: orNull(c.LastSuccess), Underway: c.Underway, Offered: n.agent.Metrics().Offers(), Clock: clockOf(n.client.Clock())}
	switch {
	case c.Open:
		f.State = "open"
	case !c.FailingSince.IsZero():
		f.State = "failing"
	case c.Underway > 0, !c.LastSuccess.IsZero() && time.Since(c.LastSuccess) < time.Minute:
		f.State = "delivering"
	}
	f.Failing = newFailure(c.Err, c.FailingSince)
	for _, e := range n.client.Status() {
		s := endpointStatus{Name: e.Name, State: e.State, Markers: e.Markers, Failing: newFailure(e.Err, e.Failing)}
		if time.Until(e.PassedOver) > 0 {
			s.PassedOver = orNull(e.PassedOver)
		}
		f.Endpoints = append(f.Endpoints, s)
	}
	return f
}

// files is nil when nothing is tailed.
func (n *node) files() *filesStatus {
	files := n.filesNow.Load()
	if files == nil {
		return nil
	}
	st := files.Stats()
	out := &filesStatus{Open: st.FilesOpen, Unread: st.BytesUnread, Read: st.BytesRead, Lines: st.LinesRead, Missed: st.BytesMissed, List: []fileStatus{}}
	list, known := files.List(maxListed)
	out.Known = known
	for _, f := range list {
		out.List = append(out.List, fileStatus{Path: f.Path, Name: f.Name, Format: f.Format, Size: f.Size, Read: max(0, f.Size-f.Unread), Unread: f.Unread,
			State: stateOf(f), Written: orNull(f.Written)})
	}
	return out
}

func stateOf(f tail.FileStatus) string {
	switch {
	case f.Broken:
		return "damaged"
	case f.Limited:
		return "rate_limited"
	case f.Name == "":
		return "removed"
	case f.Open:
		return "open"
	}
	return "closed"
}

// maxMissedListed is how many files are named of which something was missed.
const maxMissedListed = 20

func (n *node) losses(s *status) {
	s.Losses.Items = lostItems(s.Account)
	for _, l := range n.agent.Losses() {
		s.Losses.Last = append(s.Losses.Last, lossStatus{Time: l.Time.UTC().Round(0), Signal: strings.TrimPrefix(l.Lane, "parked-"), Reason: l.Reason, Items: l.Items, Bytes: l.Bytes, Detail: cut(l.Detail, maxAttrText)})
	}
	if files := n.filesNow.Load(); files != nil {
		missed := files.Missed()
		for _, m := range missed[:min(maxMissedListed, len(missed))] {
			s.Losses.Missed = append(s.Losses.Missed, missedStatus(m))
		}
	}
}

func lostItems(accounts []accountStatus) (n uint64) {
	for _, a := range accounts {
		n += sum(a.Lost)
	}
	return n
}
