package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/spillway-io/spillway"

// A row of the table of docs/architecture.md: which packages of ours a package may import,
// and what it must not import, with the reason. An arrow is changed by editing one line.
type row struct {
	may   []string
	never map[string]string
}

const (
	otlpIsForSchema = "only schema decodes telemetry; what is not decoded cannot be decoded wrongly"
	noNetwork       = "it has no network"
	staysStatic     = "purego makes a binary dynamically linked; spillway starts in an empty root"
)

var arrows = map[string]row{
	"tail": {never: map[string]string{
		"go.opentelemetry.io": "tail knows lines, not telemetry", "google.golang.org": "tail knows lines, not telemetry"}},
	"wal": {never: map[string]string{
		"go.opentelemetry.io": "the log does not know what it stores", "google.golang.org": "the log does not know what it stores"}},
	"tee":           {never: map[string]string{"go.opentelemetry.io": "it copies bytes", "google.golang.org": "it copies bytes"}},
	"wal/faultfs":   {may: []string{"wal"}},
	"wal/smalldisk": {},
	"wal/waltest":   {may: []string{"wal"}},
	"schema": {never: map[string]string{
		"net": noNetwork, "github.com/ClickHouse/clickhouse-go": noNetwork, "go.opentelemetry.io": "it reads the wire form itself"}},
	"agent/lines": {never: map[string]string{"go.opentelemetry.io": "it writes the wire form itself"}},
	"forward": {may: []string{"wal"}, never: map[string]string{
		"go.opentelemetry.io": otlpIsForSchema, "google.golang.org/grpc": "forward is about hands, not wires"}},
	"forward/otlp":                  {may: []string{"forward"}, never: map[string]string{"github.com/ClickHouse": "the wire knows no database"}},
	"forward/loki":                  {may: []string{"agent/lines", "forward", "forward/otlp"}, never: map[string]string{"go.opentelemetry.io": otlpIsForSchema, "google.golang.org/grpc": "Loki speaks HTTP", "github.com/grafana": "it reads the wire form itself"}},
	"forward/clickhouse":            {may: []string{"forward", "schema"}, never: map[string]string{"go.opentelemetry.io/collector": otlpIsForSchema, "google.golang.org/grpc": "the last hop knows no gRPC"}},
	"forward/clickhouse/embedded":   {never: map[string]string{"google.golang.org/grpc": "an engine speaks ClickHouse's protocols only"}},
	"forward/clickhouse/enginetest": {never: map[string]string{"github.com/ebitengine/purego": "tests talk to the engine as a process"}},
	"agent":                         {may: []string{"agent/lines", "forward", "tail", "wal"}, never: map[string]string{"github.com/ClickHouse": "a node does not know where its data ends up", "google.golang.org/grpc": "sources and targets are given to it"}},
	"cmd/spillway":                  {may: []string{"agent", "agent/lines", "docs", "forward", "forward/otlp", "forward/loki", "forward/clickhouse", "schema", "tail", "tee", "wal"}, never: map[string]string{"github.com/ebitengine/purego": staysStatic}},
	"docs":                          {}, // pages
	"cmd/spillway-engine":           {may: []string{"forward/clickhouse/embedded"}},
	"schema/queries":                {}, // files and tests
	"deploy/grafana":                {}, // likewise
	"e2e":                           {},
	"e2e/kit":                       {},
	"e2e/compare":                   {may: []string{"e2e/kit"}}, // it compares programs, and looks into none
	"e2e/torture":                   {may: []string{"e2e/kit"}}, // likewise
}

func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath    string
			Imports, Deps []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		r, ok := arrows[name]
		if !ok {
			t.Errorf("%s has no row in the table: say what it may import, and why", name)
			continue
		}
		seen[name] = true
		for _, imp := range p.Imports {
			if ours, ok := strings.CutPrefix(imp, module+"/"); ok && !slices.Contains(r.may, ours) {
				t.Errorf("%s imports %s, which the table does not allow", name, ours)
			}
			for never, why := range r.never {
				if imp == never || strings.HasPrefix(imp, never+"/") {
					t.Errorf("%s imports %s: %s", name, imp, why)
				}
			}
		}
		if name == "cmd/spillway" && slices.Contains(p.Deps, "github.com/ebitengine/purego") {
			t.Errorf("%s depends on purego: %s", name, staysStatic)
		}
	}
	for name := range arrows {
		if !seen[name] {
			t.Errorf("the table has a row for %s, which is gone", name)
		}
	}
}
