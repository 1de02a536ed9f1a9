package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/spillway-io/spillway/forward"
	"github.com/spillway-io/spillway/wal"
)

// A dumped record is one line of dump.
type dumped struct {
	Lane       string          `json:"lane"`
	Generation string          `json:"generation,omitempty"`
	Offset     int64           `json:"offset"`
	Stream     string          `json:"stream"` // as IngestStream in the tables
	MadeUp     bool            `json:"stream_made_up,omitempty"`
	Seq        uint64          `json:"seq"`
	Accepted   string          `json:"accepted"`
	Items      uint32          `json:"items"`
	Cursor     int             `json:"cursor_bytes,omitempty"`
	Open       bool            `json:"open,omitempty"`
	Refused    string          `json:"refused,omitempty"`
	OTLP       json.RawMessage `json:"otlp,omitempty"`
	Error      string          `json:"error,omitempty"`
	Bytes      int             `json:"bytes,omitempty"` // of what is not OTLP
	Base64     string          `json:"base64,omitempty"`
}

func (p *program) walDump() *cobra.Command {
	s, redacted := &selection{}, false
	c := &cobra.Command{Use: "dump DIR|FILE", Short: "print records as JSON lines", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			enc, open := json.NewEncoder(p.stdout), false
			enc.SetEscapeHTML(false)
			infos, err := s.read(args[0], func(r stored) error {
				open = open || r.Open
				return s.units(r, func(u unit) error { return enc.Encode(dump(u, redacted)) })
			})
			if err != nil {
				return err
			}
			p.warn(infos)
			if open {
				fmt.Fprintln(p.stderr, openNote)
			}
			return nil
		}}
	s.flags(c)
	c.Flags().BoolVar(&redacted, "redact", false, "replace bodies and all text but keys, ids and times by its length")
	return c
}

func dump(u unit, redacted bool) dumped {
	d := dumped{Lane: u.Lane, Generation: fmt.Sprintf("%016x", u.Generation), Offset: u.Offset, Stream: u.marker.StreamID(), MadeUp: !u.known, Seq: u.marker.Seq,
		Accepted: moment(u.marker.Accepted), Items: u.marker.Items, Cursor: len(u.Meta), Open: u.Open}
	if u.refused != "" {
		d.Generation, d.Refused = "", u.refused
		if redacted {
			d.Refused = lengthOf(u.refused) // a refusal may quote the record
		}
	}
	otlp, err := toJSON(u.Lane, u.body)
	if err == nil && redacted {
		otlp, err = redact(otlp)
	}
	if err == nil {
		d.OTLP = otlp
		return d
	}
	d.Error, d.Bytes = err.Error(), len(u.body)
	if redacted {
		d.Error = "not OTLP"
	} else {
		d.Base64 = base64.StdEncoding.EncodeToString(u.body)
	}
	return d
}

// toJSON decodes for people's eyes only; nothing that is carried goes through here.
func toJSON(lane string, body []byte) ([]byte, error) {
	signal, ok := signalOf(lane)
	if !ok {
		return nil, fmt.Errorf("lane %q is of no signal", lane)
	}
	switch signal {
	case forward.Logs:
		v, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(body)
		if err != nil {
			return nil, err
		}
		return (&plog.JSONMarshaler{}).MarshalLogs(v)
	case forward.Traces:
		v, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(body)
		if err != nil {
			return nil, err
		}
		return (&ptrace.JSONMarshaler{}).MarshalTraces(v)
	}
	v, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(body)
	if err != nil {
		return nil, err
	}
	return (&pmetric.JSONMarshaler{}).MarshalMetrics(v)
}

// plain are the members whose text says nothing of what somebody did: names of keys, ids,
// and the numbers that OTLP writes as text. Times are those that end in UnixNano.
var plain = map[string]bool{"key": true, "traceId": true, "spanId": true, "parentSpanId": true,
	"intValue": true, "asInt": true, "count": true, "zeroCount": true, "bucketCounts": true}

// redact keeps structure, keys, ids, times and numbers, and puts lengths in place of all other
// text. Of bodies it keeps the structure only.
func redact(otlp []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(otlp))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	return json.Marshal(redactValue("", tree, false))
}

func redactValue(name string, v any, body bool) any {
	switch v := v.(type) {
	case map[string]any:
		for k, member := range v {
			v[k] = redactValue(k, member, body || k == "body")
		}
	case []any:
		for i := range v {
			v[i] = redactValue(name, v[i], body)
		}
	case string:
		if name == "key" || !body && (plain[name] || strings.HasSuffix(name, "UnixNano")) {
			return v
		}
		if raw, err := base64.StdEncoding.DecodeString(v); name == "bytesValue" && err == nil {
			return lengthOf(string(raw))
		}
		return lengthOf(v)
	case json.Number:
		if body {
			return lengthOf(v.String())
		}
	case bool:
		if body {
			return lengthOf(strconv.FormatBool(v))
		}
	}
	return v
}

func lengthOf(s string) string { return fmt.Sprintf("(%d bytes)", len(s)) }

// absent says that a directory is not there, or that its parent is a file.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// letterNames are the dead letters of a log directory, oldest first.
func letterNames(dir string) (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, "deadletter"))
	if absent(err) {
		return nil, nil
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".otlp"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// letterOf reads TIME-signal-stream-seq.
func letterOf(name string) (f wal.Found) {
	part := strings.Split(name, "-")
	if len(part) != 4 {
		return f
	}
	f.Lane = part[1]
	if key, err := hex.DecodeString(part[2]); err == nil && len(key) == len(f.Stream) {
		f.Stream, f.StreamKnown = wal.Key(key), true
	}
	f.Seq, _ = strconv.ParseUint(part[3], 10, 64) // the marker in the file has it, too
	return f
}

// readLetters shows every dead letter to visit.
func readLetters(dir, lane string, visit func(stored) error) error {
	names, err := letterNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		r := stored{Found: letterOf(name), refused: "not known why"}
		if lane != "" && r.Lane != lane {
			continue
		}
		path := filepath.Join(dir, "deadletter", name)
		if r.Data, err = os.ReadFile(path + ".otlp"); absent(err) {
			continue // made room for another one
		}
		if err != nil {
			return err
		}
		if m, _, err := forward.ParseMarker(r.Data); err == nil {
			r.Items, r.CumItems, r.Accepted = m.Items, m.CumItems, m.Accepted
		}
		about := struct {
			Error string `json:"error"`
		}{}
		if text, err := os.ReadFile(path + ".json"); err == nil && json.Unmarshal(text, &about) == nil {
			r.refused = about.Error
		}
		if err := visit(r); err != nil {
			return err
		}
	}
	return nil
}
