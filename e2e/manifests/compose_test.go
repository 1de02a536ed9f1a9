package manifests

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"
)

func compose(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(docker, "compose.yaml")}, cli.WithProfiles(profiles), cli.WithEnv([]string{"CLICKHOUSE_PASSWORD=of-the-test"}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// compose.yaml is what compose takes, and what it mounts and builds is there.
func TestComposeLoads(t *testing.T) {
	usual := compose(t)
	if got, want := usual.ServiceNames(), []string{"clickhouse", "collector", "gateway", "grafana"}; !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
	all := compose(t, "hyperdx")
	if len(all.Services) != len(usual.Services)+2 {
		t.Errorf("with HyperDX: %v", all.ServiceNames())
	}
	for _, s := range all.Services {
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s mounts what is not there: %v", s.Name, err)
				}
			} else if _, ok := all.Volumes[v.Source]; !ok {
				t.Errorf("%s: volume %s", s.Name, v.Source)
			}
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: %s is open on %q", s.Name, p.Published, p.HostIP)
			}
		}
		if s.Build != nil {
			if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
		if s.Image == "" || s.Image != "spillway" && !strings.Contains(s.Image, ":") {
			t.Errorf("%s: image %q", s.Name, s.Image)
		}
	}
}

// The way of the data: the gateway's ports, the name that it sends to, and the server that the collector writes to.
func TestComposeLeadsIntoClickHouse(t *testing.T) {
	p := compose(t)
	published := func(service string) (ports []string) {
		for _, port := range p.Services[service].Ports {
			ports = append(ports, port.Published)
		}
		return ports
	}
	for service, want := range map[string][]string{"gateway": {"4317", "4318", "3100"}, "collector": nil, "clickhouse": {"8123", "9000"}, "grafana": {"3000"}} {
		if got := published(service); !slices.Equal(got, want) {
			t.Errorf("%s has %v open, want %v", service, got, want)
		}
	}
	read := func(service string) conf {
		s := p.Services[service]
		for _, v := range s.Volumes {
			if v.Target != s.Command[2] {
				continue
			}
			check := exec.Command(bin, "check", "--as", s.Command[0], v.Source)
			for name, value := range s.Environment {
				check.Env = append(check.Env, name+"="+*value)
			}
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", service, err, out)
			}
			text, err := os.ReadFile(v.Source)
			if err != nil {
				t.Fatal(err)
			}
			var cfg conf
			if err := yaml.Unmarshal(text, &cfg); err != nil {
				t.Fatal(err)
			}
			return cfg
		}
		t.Fatalf("%s has no %s", service, s.Command[2])
		return conf{}
	}
	gateway, collector := read("gateway"), read("collector")
	for port, endpoint := range map[string]string{"4317": gateway.Receivers.OTLP.GRPC.Endpoint, "4318": gateway.Receivers.OTLP.HTTP.Endpoint,
		"3100": gateway.Receivers.Loki.Endpoint, "4319": collector.Receivers.OTLP.GRPC.Endpoint} {
		if endpoint != "0.0.0.0:"+port {
			t.Errorf("%s is %q", port, endpoint)
		}
	}
	alias := p.Services["collector"].Networks["default"].Aliases
	if got := gateway.Forward.OTLP.Endpoints; len(alias) != 1 || len(got) != 1 || got[0] != "dns:///"+alias[0]+":4319" {
		t.Errorf("the gateway sends to %v, and the collector is %v", got, alias)
	}
	server := p.Services["clickhouse"]
	if got, want := collector.Forward.ClickHouse.DSN, "http://"+*server.Environment["CLICKHOUSE_USER"]+":${env:CLICKHOUSE_PASSWORD:-}@"+server.Name+":8123/otel"; got != want {
		t.Errorf("the collector writes to %s, want %s", got, want)
	}
	for _, service := range []string{"collector", "clickhouse", "grafana"} {
		if got := *p.Services[service].Environment["CLICKHOUSE_PASSWORD"]; got != "of-the-test" {
			t.Errorf("%s has the password %q", service, got)
		}
	}
	for _, v := range p.Services["gateway"].Volumes {
		if v.Type == types.VolumeTypeVolume && !strings.HasPrefix(gateway.WAL.Dir, v.Target) {
			t.Errorf("the log is in %s, and the volume at %s", gateway.WAL.Dir, v.Target)
		}
	}
	for _, service := range []string{"gateway", "collector"} {
		s := p.Services[service]
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.StopGracePeriod == nil {
			t.Errorf("%s may do more than it needs: %+v", service, s)
		}
	}
}

// What Grafana asks its environment for is set, and its files are mounted where it and they say.
func TestComposeProvisionsGrafana(t *testing.T) {
	g := compose(t).Services["grafana"]
	at := map[string]string{}
	for _, v := range g.Volumes {
		at[v.Target] = v.Source
	}
	sources, err := os.ReadFile(filepath.Join(at["/etc/grafana/provisioning"], "datasources", "spillway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for field := range strings.FieldsSeq(string(sources)) {
		if name, ok := strings.CutPrefix(field, "$"); ok && name != "NAMES" {
			asked++
			if g.Environment[name] == nil {
				t.Errorf("$%s is not set", name)
			}
		}
	}
	if asked == 0 {
		t.Error("the data sources ask for nothing")
	}
	providers, err := os.ReadFile(filepath.Join(at["/etc/grafana/provisioning"], "dashboards", "spillway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var provided struct {
		Providers []struct{ Options struct{ Path string } }
	}
	if err := yaml.Unmarshal(providers, &provided); err != nil || len(provided.Providers) == 0 {
		t.Fatalf("%v %s", err, providers)
	}
	for _, p := range provided.Providers {
		boards, err := filepath.Glob(filepath.Join(at[p.Options.Path], "*.json"))
		if err != nil || at[p.Options.Path] == "" || len(boards) == 0 {
			t.Errorf("no dashboards at %s: %v", p.Options.Path, err)
		}
	}
}
