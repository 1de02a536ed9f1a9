package main

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spillway-io/spillway/docs"
)

// A recalling handler remembers the last warnings and errors, one of each message: a message that repeats
// itself takes no other's place.
type recalling struct {
	next  slog.Handler
	attrs []slog.Attr
	group string
	last  *recalled
}

const (
	// maxRecalled is how many different messages are remembered; those that came last.
	maxRecalled = 32
	// maxAttrs and maxAttrText bound what is remembered of one: errors hold what others wrote.
	maxAttrs    = 16
	maxAttrText = 1024
)

// A saidMessage is a warning or error of our own log. See docs/operating.md, "What the log says".
type saidMessage struct {
	Level   string        `json:"level"` // WARN or ERROR
	Message string        `json:"message"`
	Attrs   []messageAttr `json:"attrs"` // of the last time
	First   time.Time     `json:"first"`
	Last    time.Time     `json:"last"`
	Count   uint64        `json:"count"`
	Meaning string        `json:"meaning"` // what it means and what to do; "" of what has no paragraph
	More    []paragraph   `json:"more"`    // of alerts that the meaning names
}

type messageAttr struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// A paragraph is one of docs/operating.md.
type paragraph struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

type recalled struct {
	mu  sync.Mutex
	all []saidMessage // the one said last at the end
}

func newRecalling(next slog.Handler) *recalling {
	return &recalling{next: next, last: new(recalled)}
}

func (h *recalling) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *recalling) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		h.last.add(r, h.attrs, h.group)
	}
	return h.next.Handle(ctx, r)
}

func (h *recalling) WithAttrs(attrs []slog.Attr) slog.Handler {
	own := slices.Clone(h.attrs)
	for _, a := range attrs {
		own = append(own, slog.Attr{Key: h.group + a.Key, Value: a.Value})
	}
	return &recalling{next: h.next.WithAttrs(attrs), attrs: own, group: h.group, last: h.last}
}

func (h *recalling) WithGroup(name string) slog.Handler {
	return &recalling{next: h.next.WithGroup(name), attrs: h.attrs, group: h.group + name + ".", last: h.last}
}

func (m *recalled) add(r slog.Record, attrs []slog.Attr, group string) {
	said := saidMessage{Level: r.Level.String(), Message: r.Message, Attrs: []messageAttr{}, First: r.Time.UTC(), Last: r.Time.UTC(), Count: 1}
	note := func(a slog.Attr) bool {
		said.Attrs = append(said.Attrs, messageAttr{a.Key, cut(a.Value.Resolve().String(), maxAttrText)})
		return len(said.Attrs) < maxAttrs
	}
	for _, a := range attrs {
		if !note(a) {
			break
		}
	}
	r.Attrs(func(a slog.Attr) bool {
		return len(said.Attrs) < maxAttrs && note(slog.Attr{Key: group + a.Key, Value: a.Value})
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	same := func(o saidMessage) bool { return o.Level == said.Level && o.Message == said.Message }
	if i := slices.IndexFunc(m.all, same); i >= 0 {
		said.First, said.Count = m.all[i].First, m.all[i].Count+1
		m.all = slices.Delete(m.all, i, i+1)
	} else if len(m.all) == maxRecalled {
		m.all = slices.Delete(m.all, 0, 1)
	}
	m.all = append(m.all, said)
}

// cut is s, of at most that many bytes and something that says so.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// recall is what a logger of ours remembers, the last first, with its paragraphs. Of another one it is nothing.
func recall(log *slog.Logger) []saidMessage {
	h, ok := log.Handler().(*recalling)
	if !ok {
		return []saidMessage{}
	}
	h.last.mu.Lock()
	all := append([]saidMessage{}, h.last.all...)
	h.last.mu.Unlock()
	slices.Reverse(all)
	for i := range all {
		all[i].Attrs = slices.Clone(all[i].Attrs) // what is done to a status is not done to what is remembered
		all[i].Meaning, all[i].More = meaning(all[i].Message)
	}
	return all
}

var alertName = regexp.MustCompile(`\bSpillway[A-Z][A-Za-z]+\b`)

// meaning is the paragraph of docs/operating.md about a message, and those of the alerts that it names.
func meaning(message string) (text string, more []paragraph) {
	page := operatingPage()
	text = page.messages[message]
	for _, name := range alertName.FindAllString(text, -1) {
		if p := page.alerts[name]; p != "" && !slices.ContainsFunc(more, func(o paragraph) bool { return o.Name == name }) {
			more = append(more, paragraph{name, p})
		}
	}
	return text, more
}

// An operatingText is docs/operating.md, taken apart.
type operatingText struct {
	messages map[string]string // by message, what it means
	alerts   map[string]string // by name, the paragraph below it
}

var operatingPage = sync.OnceValue(func() operatingText {
	page := operatingText{messages: make(map[string]string), alerts: make(map[string]string)}
	alert := ""
	for line := range strings.Lines(docs.Operating) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "### "); ok {
			alert = alertName.FindString(name)
			continue
		}
		if strings.HasPrefix(line, "## ") {
			alert = ""
		}
		if row, ok := strings.CutPrefix(line, "| `"); ok {
			cells := strings.Split(strings.TrimSuffix(row, " |"), " | ")
			if len(cells) == 2 { // those of metrics have three
				page.messages[strings.TrimSuffix(cells[0], "`")] = withoutMarkup(cells[1])
			}
			continue
		}
		if alert != "" && line != "" {
			page.alerts[alert] = strings.TrimSpace(page.alerts[alert] + " " + withoutMarkup(line))
		}
	}
	return page
})

var markdownLink = regexp.MustCompile(`\[([^\]]*)\]\(([^)]*)\)`)

// withoutMarkup is a line without Markdown.
func withoutMarkup(s string) string {
	return strings.ReplaceAll(markdownLink.ReplaceAllString(s, "docs/$2"), "`", "")
}
