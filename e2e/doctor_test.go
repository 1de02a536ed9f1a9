package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// diagnosed is what spillway doctor finds, by check, and whether it fails.
func diagnosed(t *testing.T, file string) (found map[string]diagnosis, failed bool) {
	t.Helper()
	out, err := exec.Command(bin, "doctor", "--json", "--config", file).Output()
	var all struct{ Findings []diagnosis }
	if e := json.Unmarshal(out, &all); e != nil {
		t.Fatalf("%v, %v: %s", err, e, out)
	}
	found = make(map[string]diagnosis)
	for _, f := range all.Findings {
		found[f.Check] = f
	}
	return found, err != nil
}

type diagnosis struct{ Check, Severity, Measured, Why, Mend string }

// What is wrong with a real server is found, and what the doctor says mends it.
func TestTheDoctorMendsClickHouse(t *testing.T) {
	t.Parallel()
	engine := enginetest.Start(t, enginetest.WithDatabase("elsewhere"))
	dsn := fmt.Sprintf("http://default:@%s/otel", engine.HTTPAddr())
	file := config(t, fmt.Sprintf("forward: {clickhouse: {dsn: %q}}\nschema: {create: false}\n", dsn))
	is := func(check, severity, measured string) diagnosis {
		t.Helper()
		found, _ := diagnosed(t, file)
		f := found[check]
		if f.Severity != severity || !strings.Contains(f.Measured, measured) {
			t.Errorf("%s is %+v, want %s, %s", check, f, severity, measured)
		}
		return f
	}
	mend := func(f diagnosis) {
		t.Helper()
		args := strings.Fields(f.Mend)
		if len(args) == 0 || args[0] != "spillway" {
			t.Fatalf("%+v is not a command", f)
		}
		if out, err := spillway(args[1:]...); err != nil {
			t.Fatalf("%s: %v\n%s", f.Mend, err, out)
		}
	}

	mend(is("tables", "fail", "otel_logs"))
	is("tables", "ok", "schema version 1 of 1")
	is("clock", "ok", "clock is")
	is("clickhouse version", "ok", "database otel, user default")
	is("grants", "ok", "default has the rights")
	is("deduplication windows", "ok", "10000")
	engine.SQL("ALTER TABLE otel.otel_logs RESET SETTING non_replicated_deduplication_window, fsync_after_insert")
	is("durability", "warn", "otel_logs")
	mend(is("deduplication windows", "warn", "otel_logs: server default"))
	is("deduplication windows", "ok", "10000")
	is("durability", "", "")
	if found, failed := diagnosed(t, file); failed {
		t.Errorf("it fails: %+v", found)
	}

	// Rights: those of the writer's role are enough, and what is lacking without them is what the role has.
	restrict(t, engine, "spillway_writer")
	is("grants", "ok", "default has the rights")
	restrict(t, engine, "spillway_reader")
	f := is("grants", "fail", "default lacks")
	rights := []string{"GRANT SELECT ON otel.*"} // the reader's
	for line := range strings.Lines(f.Mend) {
		m := regexp.MustCompile("^(GRANT .*) TO `?default`?;").FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%q is no grant", line)
		}
		rights = append(rights, m[1])
	}
	allow(t, engine, rights)
	is("grants", "ok", "default has the rights")
	engine.Kill9()
	is("clickhouse "+engine.HTTPAddr(), "fail", "nobody listens there")
}

// An agent, its collector and the server behind it, all as they should be: nothing fails, and a collector that stores once is known.
func TestTheDoctorOfANodeThatIsWell(t *testing.T) {
	t.Parallel()
	c := startCollector(t, enginetest.Shared(t).DSN())
	c.ready()
	a := startAgent(t, c.grpc, "")
	newLoad(t, a.grpc, t.Name(), 100).some(5)
	found, failed := diagnosed(t, a.args[2])
	if failed {
		t.Errorf("it fails: %+v", found)
	}
	for check, says := range map[string]string{"forward.otlp " + c.grpc: "stores what is sent once", "clock, by " + c.grpc: "clock is", "running": "Data is safe", "time to loss": "measured over"} {
		if f := found[check]; f.Severity != "ok" || !strings.Contains(f.Measured, says) {
			t.Errorf("%s: %+v, want %s", check, f, says)
		}
	}
	if found, failed := diagnosed(t, c.args[2]); failed {
		t.Errorf("the collector's fails: %+v", found)
	}
	out, err := spillway("status", "--config", c.args[2])
	if err != nil || !strings.Contains(out, "tables ready") {
		t.Errorf("status: %v\n%s", err, out)
	}
	c.kill()
	if found, failed = diagnosed(t, a.args[2]); !failed || !strings.Contains(found["forward.otlp "+c.grpc].Measured, "nobody listens there") {
		t.Errorf("without its collector: %+v", found)
	}
}
