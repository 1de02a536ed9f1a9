package schema

import (
	"errors"
	"fmt"
	"time"
)

// Retention is a duration for each signal.
type Retention struct {
	Traces, Logs, Metrics time.Duration
}

func (r Retention) of(s signal) time.Duration {
	switch s {
	case signalTraces:
		return r.Traces
	case signalLogs:
		return r.Logs
	default:
		return r.Metrics
	}
}

// Options are what an operator chooses about the tables.
type Options struct {
	// Database holds all tables.
	Database string

	// Retention is the age at which rows are deleted; zero keeps them for ever.
	Retention Retention

	// ColdAfter is the age at which rows move to the volume "cold" of the
	// storage policy; zero leaves them where they are, and so does an age at
	// which they are deleted anyway. The server refuses the tables (code 450)
	// when their storage policy has no such volume.
	ColdAfter Retention

	// StoragePolicy is set on tables that have a move rule; "" is the server's
	// default policy.
	StoragePolicy string

	// Cluster must be empty: Validate refuses anything else.
	Cluster string
}

// DefaultOptions keep traces for a week, logs for a month and metrics for a year.
func DefaultOptions() Options {
	return Options{
		Database:  "otel",
		Retention: Retention{Traces: 7 * day, Logs: 30 * day, Metrics: 365 * day},
	}
}

// Validate reports all that is wrong with the options.
func (o Options) Validate() error {
	var errs []error
	if o.Database == "" {
		errs = append(errs, errors.New("database: must be named"))
	}
	if o.Cluster != "" {
		errs = append(errs, fmt.Errorf("cluster %q: replicated and distributed tables come with schema migrations, which this version does not have; create the tables yourself or leave cluster empty", o.Cluster))
	}
	for _, r := range []struct {
		name string
		Retention
	}{{"retention", o.Retention}, {"cold_after", o.ColdAfter}} {
		for _, s := range []struct {
			name string
			age  time.Duration
		}{{"traces", r.Traces}, {"logs", r.Logs}, {"metrics", r.Metrics}} {
			if s.age < 0 || s.age%time.Second != 0 {
				errs = append(errs, fmt.Errorf("%s of %s: %v is not a positive number of seconds", r.name, s.name, s.age))
			}
		}
	}
	return errors.Join(errs...)
}
