package manifests

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// A conf is what of a configuration file the manifests have to agree with.
type conf struct {
	Receivers struct {
		OTLP struct {
			GRPC, HTTP struct{ Endpoint string }
		} `json:"otlp"`
		Loki struct{ Endpoint string } `json:"loki"`
		Tail []struct{ Include []string }
	}
	WAL     struct{ Dir string } `json:"wal"`
	Forward struct {
		OTLP       struct{ Endpoints []string } `json:"otlp"`
		ClickHouse struct{ DSN string }         `json:"clickhouse"`
	}
	Admin           struct{ Endpoint string }
	ShutdownTimeout string `json:"shutdown_timeout"`
}

// configured are the containers of spillway that run with a file.
func (w workload) configured() (list []core.Container) {
	for _, c := range w.containers() {
		if c.Image == "spillway" && len(c.Args) == 3 && c.Args[1] == "--config" {
			list = append(list, c)
		}
	}
	return list
}

// lay puts what a container has mounted from ConfigMaps and Secrets below dir, and gives the text of file.
func (c *cluster) lay(w workload, container core.Container, dir, file string) string {
	c.t.Helper()
	for _, m := range container.VolumeMounts {
		for _, v := range w.pod.Spec.Volumes {
			if v.Name != m.Name {
				continue
			}
			for name := range configMaps(v) {
				for key, text := range named[*core.ConfigMap](c, name).Data {
					write(c.t, filepath.Join(dir, m.MountPath, key), text)
				}
			}
			for name, items := range volumeSecrets(v) {
				for _, i := range items {
					write(c.t, filepath.Join(dir, m.MountPath, i.Path), secret(c.t, name, i.Key))
				}
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		c.t.Fatalf("%s: %s starts with a file that is not mounted: %v", w.name, container.Name, err)
	}
	return string(text)
}

// environment is what the kubelet would set.
func environment(container core.Container) (env []string) {
	for _, e := range container.Env {
		v := e.Value
		if e.ValueFrom != nil {
			v = "of-the-pod"
		}
		env = append(env, e.Name+"="+v)
	}
	return env
}

// Each configuration, with what its container has mounted and set, is one that spillway takes.
func TestEveryConfigurationIsGood(t *testing.T) {
	everything(t, func(t *testing.T, c *cluster) {
		for _, w := range c.workloads() {
			for _, container := range w.configured() {
				dir := t.TempDir()
				file := container.Args[2]
				text := c.lay(w, container, dir, file)
				here := filepath.Join(dir, file)
				write(t, here, strings.ReplaceAll(text, "/etc/spillway/", filepath.Join(dir, "/etc/spillway")+"/"))
				check := exec.Command(bin, "check", "--as", container.Args[0], here)
				check.Env = environment(container)
				if out, err := check.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", w.name, err, out)
				}
			}
		}
	})
}

var duration = regexp.MustCompile(`^\d+s$`)

// A configuration and the manifest around it say the same of ports, directories, names and times.
func TestConfigurationsAgreeWithTheirManifests(t *testing.T) {
	n := 0
	everything(t, func(t *testing.T, c *cluster) {
		for _, w := range c.workloads() {
			for _, container := range w.configured() {
				n++
				var cfg conf
				if err := yaml.Unmarshal([]byte(c.lay(w, container, t.TempDir(), container.Args[2])), &cfg); err != nil {
					t.Fatal(err)
				}
				for _, e := range []string{cfg.Receivers.OTLP.GRPC.Endpoint, cfg.Receivers.OTLP.HTTP.Endpoint, cfg.Receivers.Loki.Endpoint, cfg.Admin.Endpoint} {
					host, port, _ := strings.Cut(e, ":")
					if open := declares(container, port); e != "" && open != (host == "0.0.0.0") {
						t.Errorf("%s listens on %s, and the manifest names that port: %v", w.name, e, open)
					}
				}
				for _, p := range container.Ports {
					if !strings.Contains(fmt.Sprintf("%+v", cfg), fmt.Sprintf("0.0.0.0:%d", p.ContainerPort)) {
						t.Errorf("%s: the manifest has port %d, and nobody listens there", w.name, p.ContainerPort)
					}
				}
				for _, dir := range append([]string{cfg.WAL.Dir}, includes(cfg)...) {
					if dir != "" && !mounted(container, dir) {
						t.Errorf("%s: nothing is mounted for %s", w.name, dir)
					}
				}
				c.reaches(t, w, cfg)

				if !duration.MatchString(cfg.ShutdownTimeout) {
					t.Fatalf("%s: shutdown_timeout %q", w.name, cfg.ShutdownTimeout)
				}
				stop, err := time.ParseDuration(cfg.ShutdownTimeout)
				if err != nil {
					t.Fatal(err)
				}
				if l := container.Lifecycle; l != nil {
					stop += time.Duration(l.PreStop.Sleep.Seconds) * time.Second
				}
				if w.name == "ops-backend" {
					stop += 30 * time.Second // spillway tee --grace
				}
				// The requests under way get 5 s of it, and what is written last some more.
				if grace := time.Duration(*w.pod.Spec.TerminationGracePeriodSeconds) * time.Second; grace < stop+10*time.Second {
					t.Errorf("%s: the grace period is %s, and a stop takes %s", w.name, grace, stop)
				}
				if links := w.pod.Spec.EnableServiceLinks; links == nil || *links {
					t.Errorf("%s: SPILLWAY_* of Services would be read as configuration", w.name)
				}
			}
		}
	})
	if n == 0 {
		t.Error("nothing is configured")
	}
}

func includes(cfg conf) (dirs []string) {
	for _, t := range cfg.Receivers.Tail {
		for _, glob := range t.Include {
			dir, _, _ := strings.Cut(glob, "*")
			dirs = append(dirs, path.Dir(dir+"x"))
		}
	}
	return dirs
}

func declares(c core.Container, port string) bool {
	for _, p := range c.Ports {
		if fmt.Sprint(p.ContainerPort) == port {
			return true
		}
	}
	return false
}

func mounted(c core.Container, dir string) bool {
	for _, m := range c.VolumeMounts {
		if dir == m.MountPath || strings.HasPrefix(dir, m.MountPath+"/") {
			return true
		}
	}
	return false
}

// reaches holds that the names that cfg sends to are Services with that port, and that policies let it through.
func (c *cluster) reaches(t *testing.T, w workload, cfg conf) {
	t.Helper()
	targets := []string{}
	for _, e := range cfg.Forward.OTLP.Endpoints {
		name, ok := strings.CutPrefix(e, "dns:///")
		if !ok {
			t.Errorf("%s: %s is looked up once only", w.name, e)
		}
		targets = append(targets, name)
	}
	if dsn := cfg.Forward.ClickHouse.DSN; dsn != "" {
		dsn = strings.ReplaceAll(dsn, "${file:/etc/spillway/clickhouse/password}", "x")
		u, err := url.Parse(strings.ReplaceAll(dsn, ":8123,", "--"))
		if err != nil {
			t.Fatal(err)
		}
		targets = append(targets, strings.Split(strings.ReplaceAll(u.Host, "--", ":8123,"), ",")...)
	}
	all := whole(t) // with all that is sent to
	for _, target := range targets {
		host, port, _ := strings.Cut(target, ":")
		host, ns, elsewhere := strings.Cut(host, ".")
		s := named[*core.Service](all, host)
		if elsewhere && s.Namespace != ns {
			t.Errorf("%s sends to %s, and the Service is in %s", w.name, target, s.Namespace)
		}
		ok := false
		for _, p := range s.Spec.Ports {
			ok = ok || fmt.Sprint(p.Port) == port
		}
		if !ok {
			t.Errorf("%s sends to %s, and the Service has no such port", w.name, target)
		}
		if len(cfg.Forward.OTLP.Endpoints) > 0 && (s.Spec.ClusterIP != core.ClusterIPNone || w.pod.Labels["spillway.io/sends"] != "true") {
			t.Errorf("%s cannot spread over collectors, or may not send to them", w.name)
		}
	}
	if len(targets) == 0 {
		t.Errorf("%s sends nowhere", w.name)
	}
}

// secure differs from what it replaces in TLS and tokens only.
func TestSecureIsTheSameButForTLSAndTokens(t *testing.T) {
	for _, name := range []string{"agent", "collector"} {
		var docs [2]map[string]any
		for i, dir := range []string{name, "secure"} {
			text, err := os.ReadFile(filepath.Join(kubernetes, dir, name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal(text, &docs[i]); err != nil {
				t.Fatal(err)
			}
		}
		removed := without(docs[1], "tls", "auth")
		if removed < 2 {
			t.Errorf("%s: TLS and tokens are in %d places", name, removed)
		}
		if a, b := fmt.Sprint(docs[0]), fmt.Sprint(docs[1]); a != b {
			t.Errorf("%s:\n%s\n%s", name, a, b)
		}
	}
}

// without removes keys at any depth and counts them.
func without(m map[string]any, keys ...string) (n int) {
	for _, k := range keys {
		if _, ok := m[k]; ok {
			delete(m, k)
			n++
		}
	}
	for _, v := range m {
		if below, ok := v.(map[string]any); ok {
			n += without(below, keys...)
		}
	}
	return n
}
