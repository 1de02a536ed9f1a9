package schema

import (
	"fmt"
	"strings"
)

// A Status says how a server's tables are, for people and, as JSON, for programs.
type Status struct {
	Server     string        `json:"server"` // version
	Timezone   string        `json:"timezone"`
	Version    uint32        `json:"schema_version"` // the newest that is applied; 0 is none
	Tables     []TableStatus `json:"tables"`
	NotDurable []string      `json:"not_durable,omitempty"` // whose OK does not survive a power cut, and why
	Problems   []string      `json:"problems,omitempty"`    // what is not as it should be, and what to do
}

// TableStatus is one table's. Fields of a table that is missing are empty.
type TableStatus struct {
	Name          string `json:"name"`
	Engine        string `json:"engine"`
	Durable       string `json:"durable"` // yes or no
	Window        string `json:"deduplication_window"`
	StoragePolicy string `json:"storage_policy"`
	TTL           string `json:"ttl"`
}

// NewStatus compares what is there with what should be.
func NewStatus(have State, o Options) Status {
	s := Status{Server: have.Version, Timezone: have.Timezone}
	for _, a := range have.Applied {
		s.Version = max(s.Version, a.Version)
	}
	for _, t := range tables {
		name := t.LocalName(o)
		e, ok := have.Tables[name]
		if !ok {
			s.Tables = append(s.Tables, TableStatus{Name: name, Engine: "missing"})
			continue
		}
		row := TableStatus{Name: name, Engine: e.Engine, Durable: "yes", StoragePolicy: strings.Trim(e.setting("storage_policy"), "'"), TTL: e.clause("TTL")}
		if row.StoragePolicy == "" {
			row.StoragePolicy = "default"
		}
		window := "non_replicated_deduplication_window"
		if e.replicated() || strings.HasPrefix(e.Engine, "Shared") {
			window = "replicated_deduplication_window"
		}
		if row.Window = e.setting(window); row.Window == "" {
			row.Window = "server default"
		}
		if yes, why := e.Durable(o); !yes {
			row.Durable = "no"
			s.NotDurable = append(s.NotDurable, name+": "+why)
		}
		s.Tables = append(s.Tables, row)
	}
	plan, err := NewPlan(have, o)
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	for _, n := range plan.Notes {
		s.Problems = append(s.Problems, strings.TrimPrefix(n.Table+": "+n.Text, ": "))
	}
	if n := len(plan.Steps); n > 0 {
		s.Problems = append(s.Problems, fmt.Sprintf("%d steps to take: spillway schema plan shows them", n))
	}
	return s
}
