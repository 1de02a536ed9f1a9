package lines

import (
	"errors"
	"fmt"
	"regexp"
)

// A SeverityRule gives text that is no JSON a severity: nothing else about such text says that a
// word in it is a level.
type SeverityRule struct {
	Match *regexp.Regexp `yaml:"match"` // of the text without escape sequences; what its group level matches is the level
	Level Level          `yaml:"level"` // if there is no such group, or it matched nothing that is known
}

// A Level is the name of a severity, as it is in a line.
type Level string

// UnmarshalText is an encoding.TextUnmarshaler's.
func (l *Level) UnmarshalText(text []byte) error {
	if *l = Level(text); severityOf(text) == 0 {
		return fmt.Errorf("%q is no level: use trace, debug, info, warning, error or fatal", text)
	}
	return nil
}

// levelGroup is the name of the group of a rule's regexp that matches the level.
const levelGroup = "level"

// Validate tells what is wrong with r.
func (r *SeverityRule) Validate() error {
	switch {
	case r.Match == nil || r.Match.String() == "":
		return errors.New("match: needs a regular expression")
	case r.Level != "":
		var l Level
		if err := l.UnmarshalText([]byte(r.Level)); err != nil {
			return fmt.Errorf("level: %w", err)
		}
	case r.Match.SubexpIndex(levelGroup) < 0:
		return errors.New("level: name one, or a group of match: (?P<level>[A-Z]+)")
	}
	return nil
}

// ruled sets the severity that the first rule that matches gives the body; false if none does. A
// rule whose group has matched nothing, and which names no level, does not match.
func (e *Encoder) ruled(body []byte) bool {
	for i := range e.rules {
		r := &e.rules[i]
		name := []byte(nil)
		if group := r.Match.SubexpIndex(levelGroup); group < 0 {
			if !r.Match.Match(body) {
				continue
			}
		} else if at := r.Match.FindSubmatchIndex(body); at == nil {
			continue
		} else if at[2*group] >= 0 {
			name = body[at[2*group]:at[2*group+1]]
		}
		if len(name) > 0 {
			if e.record.severity = severityOf(name); e.record.severity == 0 && r.Level != "" {
				e.record.severity = severityOf([]byte(r.Level))
			}
			e.record.setLevel(name)
			return true
		}
		if r.Level != "" {
			name = append(e.scratch[:0], r.Level...)
			e.scratch = name
			e.record.severity = severityOf(name)
			e.record.setLevel(name)
			return true
		}
	}
	return false
}
