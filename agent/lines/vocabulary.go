package lines

import (
	"errors"
	"fmt"
	"slices"
)

// Fields are keys of somebody's own for places of a record, the first one first. They come before
// the built-in keys for the place, and mean nothing else any more.
type Fields struct {
	Body       []Key `yaml:"body"`        // keys of the message
	Timestamp  []Key `yaml:"timestamp"`   // keys of the time
	Severity   []Key `yaml:"severity"`    // keys of the level
	Logger     []Key `yaml:"logger"`      // keys of the logger's name, ScopeName in the tables
	TraceID    []Key `yaml:"trace_id"`    // keys of the trace id
	SpanID     []Key `yaml:"span_id"`     // keys of the span id
	TraceFlags []Key `yaml:"trace_flags"` // keys of the W3C trace flags
	Exception  []Key `yaml:"exception"`   // keys of the stack trace
}

// A Key is one of an object, which is not empty.
type Key string

// UnmarshalText is an encoding.TextUnmarshaler's.
func (k *Key) UnmarshalText(text []byte) error {
	if *k = Key(text); *k == "" {
		return errors.New("a key needs a name")
	}
	return nil
}

// maxFieldKeys is how many keys of one's own a place can have.
const maxFieldKeys = 16

// builtinRanks are enough for the built-in keys of a place.
const builtinRanks = 16

// Validate tells what is wrong with f.
func (f *Fields) Validate() error {
	var errs []error
	seen := make(map[Key]string)
	for _, p := range f.places() {
		if len(p.keys) > maxFieldKeys {
			errs = append(errs, fmt.Errorf("%s: at most %d keys", p.name, maxFieldKeys))
		}
		for _, k := range p.keys {
			switch before, twice := seen[k]; {
			case k == "":
				errs = append(errs, fmt.Errorf("%s: a key needs a name", p.name))
			case twice:
				errs = append(errs, fmt.Errorf("%s: %q is one of %s already: a key has one place", p.name, k, before))
			}
			seen[k] = p.name
		}
	}
	return errors.Join(errs...)
}

type fieldPlace struct {
	name string
	slot slot
	keys []Key
}

func (f *Fields) places() []fieldPlace {
	return []fieldPlace{
		{"body", slotBody, f.Body}, {"timestamp", slotTime, f.Timestamp}, {"severity", slotLevel, f.Severity}, {"logger", slotLogger, f.Logger},
		{"trace_id", slotTraceID, f.TraceID}, {"span_id", slotSpanID, f.SpanID}, {"trace_flags", slotTraceFlags, f.TraceFlags},
		{"exception", slotException, f.Exception},
	}
}

// ddtraceFields are the keys that hold decimal ids; dd is an object of them.
var ddtraceFields = [...]field{
	{"dd.trace_id", slotTraceID, 7},
	{"dd.span_id", slotSpanID, 7},
	{"dd", slotSpan, 1},
}

// A vocabulary is what keys mean to an encoder. It does not change.
type vocabulary struct {
	fields    []field
	index     [512]uint8 // 1 + where in fields a key is, in the first free place from its hash on; 0 ends a search
	levelname uint8      // rank of Python's name for a level
}

// builtin is the vocabulary of an encoder that was told nothing.
var builtin = newVocabulary(fields[:])

func (o *Options) vocabulary() *vocabulary {
	var own []field
	var ranks [slots]uint8 // that own keys take
	for _, p := range o.Fields.places() {
		for _, k := range p.keys[:min(len(p.keys), maxFieldKeys)] {
			if k != "" && !slices.ContainsFunc(own, func(f field) bool { return f.key == string(k) }) {
				own = append(own, field{string(k), p.slot, ranks[p.slot]})
				ranks[p.slot]++
			}
		}
	}
	if len(own) == 0 && !o.DecimalIDs {
		return builtin
	}
	all, others := own, fields[:]
	if o.DecimalIDs {
		others = slices.Concat(others, ddtraceFields[:])
	}
	for _, f := range others {
		if !slices.ContainsFunc(own, func(mine field) bool { return mine.key == f.key }) {
			f.rank += ranks[f.slot]
			all = append(all, f)
		}
	}
	return newVocabulary(all)
}

func newVocabulary(fields []field) *vocabulary {
	v := &vocabulary{fields: fields, levelname: noRank}
	for i, f := range fields {
		at := hash([]byte(f.key)) % uint(len(v.index))
		for v.index[at] != 0 {
			at = (at + 1) % uint(len(v.index))
		}
		v.index[at] = uint8(i + 1)
		if f.key == levelname && f.slot == slotLevel {
			v.levelname = f.rank
		}
	}
	return v
}

const noRank = 0xff

var noField = field{}

// meaning returns what a key means, which is noField if it is an attribute. h is its hash.
func (v *vocabulary) meaning(key []byte, h uint) *field {
	for at := h % uint(len(v.index)); v.index[at] != 0; at = (at + 1) % uint(len(v.index)) {
		if f := &v.fields[v.index[at]-1]; f.key == string(key) {
			return f
		}
	}
	return &noField
}
