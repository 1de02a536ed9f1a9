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
	// which they are deleted anyway.
	ColdAfter Retention

	// StoragePolicy is set on tables that have a move rule; "" is the server's
	// default policy.
	StoragePolicy string

	// Cluster is the name of a cluster in the server's remote_servers: "" makes plain
	// tables on one server. With a cluster each table is a replicated one on every
	// node, NAME_local, with a Distributed table NAME in front of it. Statements are
	// then sent ON CLUSTER, and need the macros {shard} and {replica}.
	Cluster string

	// ReplicatedDatabase says that the database's engine is Replicated, which carries
	// statements to all nodes by itself: nothing is sent ON CLUSTER. It needs Cluster.
	ReplicatedDatabase bool

	// Managed is for ClickHouse Cloud: shared storage instead of disks and replicas
	// of our own, so no storage policy, no cluster and no fsync.
	Managed bool
}

// DefaultOptions keep traces for a week, logs for a month and metrics for a year.
func DefaultOptions() Options {
	return Options{
		Database:  "otel",
		Retention: Retention{Traces: 7 * day, Logs: 30 * day, Metrics: 365 * day},
	}
}

// OnCluster is the clause that carries a statement to all nodes, with a space before it,
// or "".
func (o Options) OnCluster() string {
	if o.Cluster == "" || o.ReplicatedDatabase {
		return ""
	}
	return " ON CLUSTER " + Ident(o.Cluster)
}

// Validate reports all that is wrong with the options.
func (o Options) Validate() error {
	var errs []error
	if o.Database == "" {
		errs = append(errs, errors.New("database: must be named"))
	}
	if o.Managed && (o.Cluster != "" || o.StoragePolicy != "" || o.ColdAfter != Retention{}) {
		errs = append(errs, errors.New("managed: ClickHouse Cloud replicates and tiers by itself: leave cluster, storage_policy and cold_after empty"))
	}
	if o.ReplicatedDatabase && o.Cluster == "" {
		errs = append(errs, errors.New("replicated_database: name the cluster, which has the name of the database unless remote_servers says otherwise"))
	}
	if o.ColdAfter != (Retention{}) && o.StoragePolicy == "" {
		errs = append(errs, errors.New("cold_after: name a storage_policy with a volume called cold, for instance hot_cold of deploy/clickhouse"))
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
