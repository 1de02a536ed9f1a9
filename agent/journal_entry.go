package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-io/spillway/agent/lines"
)

// An entry is one of journalctl's JSON objects: for each field its value, or several.
type entry map[string]json.RawMessage

func parseEntry(line []byte) (e entry, err error) {
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, err
	}
	if c := e.one("__CURSOR"); c == "" || len(c) > maxCursor || strings.Contains(c, "\n") {
		return nil, fmt.Errorf("no __CURSOR, or one that is none: %.300q", c)
	}
	return e, nil
}

// one is the first value of a field; "" if there is none.
func (e entry) one(field string) string {
	if v := fieldValues(e[field]); len(v) > 0 {
		return v[0]
	}
	return ""
}

// all is the values of a field, each in a line.
func (e entry) all(field string) string {
	v := fieldValues(e[field])
	if len(v) == 1 {
		return v[0]
	}
	return strings.Join(v, "\n")
}

// fieldValues reads what journalctl makes of a field: a string; null for nothing; numbers if its
// bytes are not UTF-8; an array of these if an entry has the field several times.
func fieldValues(raw json.RawMessage) []string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil
	}
	switch raw[0] {
	case '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil
		}
		return []string{s}
	case '[':
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil || len(items) == 0 {
			return nil
		}
		if c := items[0][0]; c >= '0' && c <= '9' {
			return []string{fieldBytes(items)}
		}
		var values []string
		for _, item := range items {
			values = append(values, fieldValues(item)...)
		}
		return values
	case 'n':
		return nil
	}
	return []string{string(raw)} // a number or a boolean, which journalctl does not write
}

func fieldBytes(items []json.RawMessage) string {
	b := make([]byte, 0, len(items))
	for _, item := range items {
		v, err := strconv.ParseUint(string(item), 10, 8)
		if err != nil {
			continue
		}
		b = append(b, byte(v))
	}
	return string(b)
}

// A journalRecord is an entry as it goes into an encoder.
type journalRecord struct {
	resource *lines.Resource
	text     []byte
	at       time.Time // when journald took it; zero: not told
	remarks  []lines.Remark
}

const (
	maxMessage = 1 << 20  // bytes of a message, and
	maxField   = 64 << 10 // of a field; what is longer is cut and marked
	maxName    = 255      // of a service
)

// A shape makes records of entries.
type shape struct {
	attrs     []lines.Attr // of all resources, behind what the journal tells
	resources map[resourceKey]*lines.Resource
}

type resourceKey struct{ service, unit, host, machine string }

// trusted are the fields that journald itself adds and that have a place in a record, in their
// order there. The others of its fields are left out.
var trusted = []struct {
	field, key string
	about      lines.Subject
}{
	{"_PID", "process.pid", lines.AboutNumber},
	{"_COMM", "process.executable.name", lines.AboutNothing},
	{"_EXE", "process.executable.path", lines.AboutNothing},
	{"_UID", "process.user.id", lines.AboutNumber},
	{"_TRANSPORT", "systemd.transport", lines.AboutNothing},
}

// renamed are fields of the sender for which there are names.
var renamed = map[string]struct {
	key   string
	about lines.Subject
}{
	"PRIORITY":          {"syslog.priority", lines.AboutPriority},
	"SYSLOG_IDENTIFIER": {"syslog.identifier", lines.AboutNothing},
	"SYSLOG_FACILITY":   {"syslog.facility", lines.AboutNumber},
	"CODE_FILE":         {"code.file.path", lines.AboutNothing},
	"CODE_LINE":         {"code.line.number", lines.AboutNumber},
	"CODE_FUNC":         {"code.function.name", lines.AboutNothing},
	"TID":               {"thread.id", lines.AboutNumber},
}

// record describes an entry.
func (s *shape) record(e entry) journalRecord {
	r := journalRecord{resource: s.resource(e)}
	message := strings.TrimSuffix(e.all("MESSAGE"), "\n")
	truncated := len(message) > maxMessage
	r.text = []byte(message[:min(len(message), maxMessage)])
	if us, err := strconv.ParseInt(e.one("__REALTIME_TIMESTAMP"), 10, 64); err == nil && us > 0 {
		r.at = time.UnixMicro(us)
	}
	add := func(key, value string, about lines.Subject) {
		if value == "" {
			return
		}
		if len(value) > maxField {
			value, truncated = value[:maxField], true
		}
		r.remarks = append(r.remarks, lines.Remark{Key: key, Value: value, About: about})
	}
	for _, f := range trusted {
		add(f.key, e.one(f.field), f.about)
	}
	for _, field := range slices.Sorted(maps.Keys(e)) {
		if field[:min(1, len(field))] == "_" || field == "MESSAGE" || field == "SYSLOG_PID" && e.one(field) == e.one("_PID") || field == "SYSLOG_TIMESTAMP" {
			continue
		}
		if known, ok := renamed[field]; ok {
			add(known.key, e.one(field), known.about)
			continue
		}
		add(field, e.all(field), lines.AboutNothing)
	}
	if truncated {
		add("log.truncated", "true", lines.AboutNothing)
	}
	if e.one("_LINE_BREAK") == "line-max" { // journald cut the line; its rest is the next entry
		add("log.partial", "true", lines.AboutNothing)
	}
	return r
}

// maxJournalResources bounds what is remembered of senders; it is cheap to make again.
const maxJournalResources = 4096

func (s *shape) resource(e entry) *lines.Resource {
	unit := e.one("_SYSTEMD_UNIT")
	if user := e.one("_SYSTEMD_USER_UNIT"); user != "" {
		unit = user
	}
	k := resourceKey{service: serviceOf(e, unit), unit: unit, host: e.one("_HOSTNAME"), machine: e.one("_MACHINE_ID")}
	r := s.resources[k]
	if r == nil {
		if s.resources == nil || len(s.resources) >= maxJournalResources {
			s.resources = make(map[resourceKey]*lines.Resource)
		}
		attrs := append([]lines.Attr{{Key: "service.name", Value: k.service}, {Key: "systemd.unit", Value: k.unit},
			{Key: "host.name", Value: k.host}, {Key: "host.id", Value: k.machine}}, s.attrs...)
		if k.service == "" {
			attrs = append(attrs[1:], lines.Attr{Key: "service.name", Value: "unknown_service"})
		}
		r = lines.NewResourceOf(attrs)
		s.resources[k] = r
	}
	return r
}

// serviceOf is the name of a unit that is a service, else what the sender calls itself, else the
// unit's; a scope or a socket is nobody's name.
func serviceOf(e entry, unit string) string {
	name, isService := strings.CutSuffix(unit, ".service")
	for _, other := range []string{e.one("SYSLOG_IDENTIFIER"), e.one("_COMM")} {
		if !isService && other != "" {
			name = other
			break
		}
	}
	return strings.ToValidUTF8(name[:min(len(name), maxName)], "\uFFFD")
}
