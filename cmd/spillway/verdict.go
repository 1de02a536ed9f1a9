package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A verdict is a status in a sentence: whether data is safe, and what is wrong.
type verdict struct {
	Level    level     `json:"level"`
	Ready    bool      `json:"ready"` // as /readyz says
	Headline string    `json:"headline"`
	Problems []problem `json:"problems"` // the worst first
}

type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn" // nothing is lost and nothing refused, but somebody should look
	levelBad  level = "bad"  // something is lost, or refused
)

// A problem is something that is not as it should be.
type problem struct {
	Level level  `json:"level"`
	Text  string `json:"text"`
	Do    string `json:"do"`
	about subject
}

// A subject is what a problem means for data.
type subject int

const (
	aboutWork subject = iota
	aboutWaiting
	aboutRefusing
	aboutLosing
)

const (
	// lossIsNew is how long after a loss it is said first: as long as the alert SpillwayItemsLost stays.
	lossIsNew = 15 * time.Minute
	// waitsLong is what SpillwayOldestUnacked says.
	waitsLong = 15 * time.Minute
	// fillsSoon is what SpillwayLogFillsUp says.
	fillsSoon = time.Hour
	// Parts of the cap: SpillwayLogFull, and where a signal with a backlog is refused, see docs/operating.md.
	nearlyFull, refusesFrom = 0.85, 0.89
)

// judge looks at all of s; why is what keeps it from being ready.
func judge(s *status, why error) verdict {
	var all []problem
	add := func(l level, about subject, do, text string, args ...any) {
		all = append(all, problem{Level: l, Text: fmt.Sprintf(text, args...), Do: do, about: about})
	}
	if len(s.Losses.Last) > 0 {
		if last := s.Losses.Last[0]; time.Since(last.Time) < lossIsNew {
			what := fmt.Sprintf("%d items", last.Items)
			if last.Items == 0 {
				what = fmt.Sprintf("%d bytes", last.Bytes)
			}
			add(levelBad, aboutLosing, "See docs/operating.md, SpillwayItemsLost and SpillwayMissedBytes; the ledger names what it was.",
				"%s of %s were lost %s ago: %s.", what, last.Signal, shortly(time.Since(last.Time).Seconds()), last.Reason)
		}
	}
	judgeStages(&s.stages, add)
	if s.Collector != nil {
		judgeStages(s.Collector, add)
	}
	if s.Config.Refused != "" {
		add(levelWarn, aboutWork, "Correct the file, see spillway check, and send SIGHUP again.", "The last reload was refused; the configuration before it holds.")
	}
	if why != nil && len(all) == 0 {
		add(levelWarn, aboutWaiting, "", "Not ready: %v.", why)
	}
	rank := map[level]int{levelBad: 0, levelWarn: 1}
	slices.SortStableFunc(all, func(a, b problem) int {
		if rank[a.Level] != rank[b.Level] {
			return rank[a.Level] - rank[b.Level]
		}
		return int(b.about - a.about)
	})
	v := verdict{Level: levelOK, Ready: why == nil, Headline: "Data is safe and flows.", Problems: all}
	if all == nil {
		v.Problems = []problem{}
		if idle(s.Account) {
			v.Headline = "Ready. Nothing has come in yet."
		}
		return v
	}
	v.Level = all[0].Level
	switch all[0].about {
	case aboutLosing:
		v.Headline = "Data was lost."
	case aboutRefusing:
		v.Headline = "New data is refused. What was taken before is safe."
	case aboutWaiting:
		v.Headline = "Data is safe and waits."
		if s.WAL == nil {
			v.Headline = "Data is safe and waits at its senders."
		}
	default:
		v.Headline = "Data is safe and flows; something needs a look."
	}
	return v
}

// idle says that nothing came in since the start, and nothing was there.
func idle(accounts []accountStatus) bool {
	return !slices.ContainsFunc(accounts, func(a accountStatus) bool { return a.In+a.Recovered > 0 })
}

func judgeStages(s *stages, add func(l level, about subject, do, text string, args ...any)) {
	if s.Limiter.State == "hard" || s.Limiter.State == s.Limiter.Refuses {
		add(levelBad, aboutRefusing, "It passes when what is under way is done. If it lasts, raise memory_limiter.limit_mib.",
			"Memory is at its limit: senders are told to wait.")
	}
	if w := s.WAL; w != nil {
		judgeWAL(w, add)
	}
	if f := s.Forward; f != nil && f.Failing != nil {
		judgeForward(s, add)
	} else if f != nil && !slices.ContainsFunc(f.Endpoints, func(e endpointStatus) bool { return e.State != "transient_failure" }) {
		add(levelWarn, aboutWaiting, "Run spillway doctor: it says what is between.", "No collector can be reached. %s in the log.", waiting(s.WAL.HeldItems))
	}
	if c := s.ClickHouse; c != nil {
		if !c.TablesReady {
			text, do := "The tables of ClickHouse are not ready", "See whether ClickHouse answers."
			if c.Failing != nil {
				text, do = text+": "+c.Failing.Words, c.Failing.Do
			}
			add(levelWarn, aboutWaiting, do, "%s", sentence(text))
		} else if c.Failing != nil {
			add(levelWarn, aboutWaiting, c.Failing.Do, "%s", sentence(fmt.Sprintf("INSERTs have failed for %s: %s", shortly(age(c.Failing.Since)), c.Failing.Words)))
		}
		for _, t := range c.Tables {
			if t.Held != "" {
				words, do := inWords(t.Held)
				add(levelWarn, aboutWaiting, do, "%s", sentence(fmt.Sprintf("Rows for %s wait: %s", t.Name, words)))
			}
		}
	}
	for _, src := range s.Sources {
		if src.Waiting != "" && src.Name == "files" {
			add(levelWarn, aboutWaiting, "Log files wait to be read: it goes on by itself when there is room.", "Reading of log files pauses.")
		}
	}
}

func judgeWAL(w *walStatus, add func(l level, about subject, do, text string, args ...any)) {
	const mend = "Mend delivery, or raise wal.max_size_mib. See docs/operating.md, SpillwayLogFull."
	used := float64(w.Bytes) / float64(max(1, w.LimitBytes))
	switch {
	case w.DiskError == "" && w.DiskFree < w.DiskReserve:
		add(levelBad, aboutRefusing, "Free space on the file system of "+w.Dir+", or give the log a disk of its own.",
			"The disk has %s free and %s of it are left to others: nothing more is taken.", size(w.DiskFree), size(w.DiskReserve))
	case used >= refusesFrom && w.WhenFull == "drop_oldest":
		add(levelBad, aboutLosing, mend, "The log is full, and the oldest makes room for the newest.")
	case used >= refusesFrom:
		add(levelBad, aboutRefusing, mend, "The log is full: senders are told to wait, and log files wait to be read.")
	case used >= nearlyFull:
		add(levelWarn, aboutWaiting, mend, "The log is at %.0f %% of its cap.", 100*used)
	}
	if w.SecondsUntilFull != nil && *w.SecondsUntilFull < fillsSoon.Seconds() && used < refusesFrom {
		add(levelWarn, aboutWaiting, mend, "The log is full in %s at the rate of the last minute.", shortly(*w.SecondsUntilFull))
	}
	if w.OldestSeconds > waitsLong.Seconds() {
		add(levelWarn, aboutWaiting, "See docs/operating.md, SpillwayOldestUnacked.", "Something has waited for delivery for %s.", shortly(w.OldestSeconds))
	}
	for _, t := range w.Troubles {
		if strings.Contains(t, "cannot be written") {
			add(levelBad, aboutRefusing, "Look at the disk: the error is among the messages below.", "%s", sentence(t))
		}
	}
}

func judgeForward(s *stages, add func(l level, about subject, do, text string, args ...any)) {
	f := s.Forward
	text := fmt.Sprintf("Nothing was delivered for %s: %s", shortly(age(f.Failing.Since)), f.Failing.Words)
	if w := s.WAL; w != nil {
		text = fmt.Sprintf("%s. %s in the log", strings.TrimSuffix(text, "."), waiting(w.HeldItems))
		if w.SecondsUntilFull != nil {
			text += fmt.Sprintf(", which is full in %s at this rate", shortly(*w.SecondsUntilFull))
		}
	}
	add(levelWarn, aboutWaiting, f.Failing.Do, "%s", sentence(text))
}

func waiting(items uint64) string {
	switch items {
	case 0:
		return "Nothing waits"
	case 1:
		return "1 item waits"
	}
	return fmt.Sprintf("%d items wait", items)
}

// sentence ends in a full stop.
func sentence(s string) string { return strings.TrimRight(s, ". \n") + "." }

func counting(n uint64, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// shortly is a number of seconds in two units at most.
func shortly(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// size is a number of bytes as people say it.
func size(n int64) string {
	v, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// wording is what is often found in an error, what that means, and what to do.
var wording = []struct{ find, words, do string }{
	{"certificate signed by unknown authority", "its certificate is of an authority that is not known here", "Name the authority in tls.ca_file."},
	{"certificate has expired", "a certificate has expired, or a clock is wrong", "Renew the certificate; compare the clocks."},
	{"certificate is valid for", "its certificate is for another name", "Use that name in the endpoint, or set tls.server_name_override."},
	{"tls: certificate required", "it wants a certificate of us", "Set tls.cert_file and tls.key_file."},
	{"does not look like a tls handshake", "it speaks plain text, and TLS is configured here", "Remove tls:, or have the other side speak TLS."},
	{"server preface", "what listens there does not speak gRPC in plain text", "Check the port; set tls: if it speaks TLS."},
	{"malformed http response", "what listens there does not speak plain HTTP", "Check the port; use https and tls: if it speaks TLS."},
	{"connection refused", "nobody listens there: the process is down, or the address is wrong", "Start it, or correct the address."},
	{"no such host", "the name has no address", "Check the name, and DNS."},
	{"produced zero addresses", "the name has no address", "Check the name, and DNS."},
	{"network is unreachable", "there is no route to it", "Check the address, and the network of this machine."},
	{"no route to host", "there is no route to it", "Check the address, the network and firewalls."},
	{"unauthenticated", "it wants another token than ours, or any", "Set forward.otlp.auth.token to one that its port takes."},
	{"tables of clickhouse are not ready", "the collector is there and waits for ClickHouse", "Look at the collector: spillway status there, and its log."},
	{"memory limit", "it is short of memory and asks to wait", "Nothing, if it passes; else give it more memory or add collectors."},
	{"code: 516", "ClickHouse does not take the user or the password", "Correct forward.clickhouse.dsn."},
	{"code: 497", "the user of ClickHouse lacks a right", "Run spillway doctor, and give the rights of deploy/clickhouse/grants.sql."},
	{"code: 60.", "a table is missing", "Run spillway schema apply."},
	{"code: 81.", "the database is missing", "Run spillway schema apply."},
	{"code: 243", "ClickHouse has no disk space", "Free space there, or add a disk."},
	{"code: 252", "ClickHouse has too many parts and is merging", "Wait; if it lasts, see docs/clickhouse.md."},
	{"code: 242", "the table is read-only", "Look at Keeper and the replicas: docs/clickhouse.md."},
	{"wal: full", "its log is full", "Look at what it delivers to."},
	{"no answer from", "no answer in time: the other side is stuck, or the network drops what is sent", "Look at the other side: spillway status there."},
	{"deadline exceeded", "no answer in time: the other side is stuck, or the network drops what is sent", "Look at the other side, and at firewalls between."},
	{"i/o timeout", "no answer in time: the other side is stuck, or the network drops what is sent", "Look at the other side, and at firewalls between."},
	{"connection reset", "the connection was cut", "If it repeats, look at the other side's log and at proxies between."},
	{"eof", "the connection was cut", "If it repeats, look at the other side's log and at proxies between."},
	{"busy, retry after", "the other side asks to wait", "Look at the other side: spillway status there."},
}

// inWords is an error for somebody who does not know Go, and what to do about it.
func inWords(text string) (words, do string) {
	low := strings.ToLower(text)
	for _, w := range wording {
		if strings.Contains(low, w.find) {
			return w.words, w.do
		}
	}
	first, _, _ := strings.Cut(text, "\n")
	return cut(first, 300), "The message as it came is all that is known; see docs/operating.md."
}
