package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // an empty root has no zones

	"github.com/spillway-io/spillway/agent/lines"
)

// A linesConfig says what the lines of files mean, and whose they are.
type linesConfig struct {
	TimeZone      zone                 `yaml:"time_zone"`      // of times that name none, as of the IANA database; default: UTC
	Fields        lines.Fields         `yaml:"fields"`         // keys that come before the built-in ones
	DecimalIDs    bool                 `yaml:"decimal_ids"`    // trace and span ids are decimal numbers, as of ddtrace
	SeverityRules []lines.SeverityRule `yaml:"severity_rules"` // of text that is no JSON; the first that matches counts
	MaxDepth      *int                 `yaml:"max_depth"`      // of an attribute, 1 to 24; what is deeper stays JSON; default: 16
	MaxKeys       *int                 `yaml:"max_keys"`       // of a record, and of an object in it, 1 to 4096; more are dropped and counted; default: 256
	Resource      map[string]string    `yaml:"resource"`       // attributes, before those of the whole file
	ResourceRules []lines.ResourceRule `yaml:"resource_rules"` // attributes by path, before those
}

// Bounds of max_depth, above which protobuf decoders give up, and of max_keys, above which
// finding those that repeat takes longer than all the rest.
const (
	greatestDepth = 24
	mostKeys      = 4096
)

func (c *linesConfig) options(parse string) lines.Options {
	o := lines.Options{Parse: parse, Zone: c.TimeZone.Location, Fields: c.Fields, DecimalIDs: c.DecimalIDs, Rules: c.SeverityRules}
	if c.MaxDepth != nil {
		o.MaxDepth = *c.MaxDepth
	}
	if c.MaxKeys != nil {
		o.MaxKeys = *c.MaxKeys
	}
	return o
}

func (c *linesConfig) validate() error {
	errs := []error{
		below("fields", c.Fields.Validate()),
		between("max_depth", c.MaxDepth, greatestDepth),
		between("max_keys", c.MaxKeys, mostKeys),
	}
	for i := range c.SeverityRules {
		errs = append(errs, below(fmt.Sprintf("severity_rules[%d]", i), c.SeverityRules[i].Validate()))
	}
	for i := range c.ResourceRules {
		errs = append(errs, below(fmt.Sprintf("resource_rules[%d]", i), c.ResourceRules[i].Validate()))
	}
	return errors.Join(errs...)
}

// below puts a key before each line of an error.
func below(key string, err error) error {
	if err == nil {
		return nil
	}
	var errs []error
	for line := range strings.Lines(err.Error()) {
		errs = append(errs, fmt.Errorf("%s: %s", key, strings.TrimSpace(line)))
	}
	return errors.Join(errs...)
}

func between(key string, v *int, most int) error {
	if v != nil && (*v < 1 || *v > most) {
		return fmt.Errorf("%s: must be between 1 and %d", key, most)
	}
	return nil
}

// A zone is one of the IANA's, by name.
type zone struct{ *time.Location }

// UnmarshalText is an encoding.TextUnmarshaler's.
func (z *zone) UnmarshalText(text []byte) (err error) {
	name := string(text)
	if name == "" || name == "Local" {
		return fmt.Errorf("%q: name a time zone, for instance Europe/Berlin or UTC", name)
	}
	if z.Location, err = time.LoadLocation(name); err != nil {
		return fmt.Errorf("%q is no time zone: write for instance Europe/Berlin or UTC", name)
	}
	return nil
}
