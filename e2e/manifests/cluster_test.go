package manifests

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	scheduling "k8s.io/api/scheduling/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// The directories that somebody applies.
var applied = []string{"spillway", "secure", "agent", "collector", "sidecar", "clickhouse", "clickhouse-s3"}

// A cluster is what kustomize made of a directory, as the API server's types.
type cluster struct {
	t       testing.TB
	objects []runtime.Object
}

// strictly reads one object: a field that its type does not have, or that is there twice, is an error.
var strictly = func() *json.Serializer {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{core.AddToScheme, apps.AddToScheme, batch.AddToScheme, networking.AddToScheme, policy.AddToScheme, scheduling.AddToScheme, monitoring.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, s, s, json.SerializerOptions{Yaml: true, Strict: true})
}()

// build is kustomize build DIR.
func build(t testing.TB, dir string) *cluster {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	c := &cluster{t: t}
	for _, r := range made.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		o, _, err := strictly.Decode(text, nil, nil)
		if err != nil {
			t.Fatalf("%s: %s %s: %v", dir, r.GetKind(), r.GetName(), err)
		}
		c.objects = append(c.objects, o)
	}
	if len(c.objects) == 0 {
		t.Fatalf("%s makes nothing", dir)
	}
	return c
}

// overlay builds a kustomization that is somewhere else, as an operator's is.
func overlay(t testing.TB, kustomization string, files map[string]string) *cluster {
	t.Helper()
	dir := t.TempDir()
	base, err := filepath.Abs(kubernetes)
	if err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(dir, base)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "kustomization.yaml"), strings.ReplaceAll(kustomization, "BASE", rel))
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return build(t, dir)
}

// whole is all of it at once, with what an operator writes of clickhouse/collector.yaml.
func whole(t testing.TB) *cluster {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(kubernetes, "clickhouse", "collector.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return overlay(t, `namespace: spillway
resources: [BASE/spillway, BASE/clickhouse]
components: [BASE/monitoring, BASE/verify]
configMapGenerator:
  - {name: spillway-collector, behavior: replace, files: [collector.yaml]}
`, map[string]string{"collector.yaml": string(text)})
}

// everything is each of the variants that are shipped.
func everything(t *testing.T, f func(*testing.T, *cluster)) {
	for _, dir := range applied {
		t.Run(dir, func(t *testing.T) { f(t, build(t, filepath.Join(kubernetes, dir))) })
	}
	t.Run("whole", func(t *testing.T) { f(t, whole(t)) })
}

// of are the objects of a type.
func of[T runtime.Object](c *cluster) (list []T) {
	for _, o := range c.objects {
		if x, ok := o.(T); ok {
			list = append(list, x)
		}
	}
	return list
}

// named is the object of a type and a name; kustomize's hash may follow.
func named[T interface {
	runtime.Object
	meta.Object
}](c *cluster, name string) T {
	c.t.Helper()
	for _, x := range of[T](c) {
		if rest, ok := strings.CutPrefix(x.GetName(), name); ok && (rest == "" || len(rest) == 11 && rest[0] == '-') {
			return x
		}
	}
	var none T
	c.t.Fatalf("no %T %s", none, name)
	return none
}

// A workload is what makes pods.
type workload struct {
	name, kind string
	selector   *meta.LabelSelector // nil: its controller makes one
	pod        core.PodTemplateSpec
	claims     []core.PersistentVolumeClaim
}

func (c *cluster) workloads() (list []workload) {
	for _, o := range c.objects {
		switch o := o.(type) {
		case *apps.DaemonSet:
			list = append(list, workload{o.Name, "DaemonSet", o.Spec.Selector, o.Spec.Template, nil})
		case *apps.Deployment:
			list = append(list, workload{o.Name, "Deployment", o.Spec.Selector, o.Spec.Template, nil})
		case *apps.StatefulSet:
			list = append(list, workload{o.Name, "StatefulSet", o.Spec.Selector, o.Spec.Template, o.Spec.VolumeClaimTemplates})
		case *batch.CronJob:
			list = append(list, workload{o.Name, "CronJob", nil, o.Spec.JobTemplate.Spec.Template, nil})
		}
	}
	return list
}

func (w workload) containers() []core.Container {
	return append(append([]core.Container{}, w.pod.Spec.InitContainers...), w.pod.Spec.Containers...)
}

// selected are the workloads whose pods a selector takes.
func (c *cluster) selected(s *meta.LabelSelector) (list []workload) {
	c.t.Helper()
	sel, err := meta.LabelSelectorAsSelector(s)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, w := range c.workloads() {
		l := labels.Set{"statefulset.kubernetes.io/pod-name": w.name + "-1"}
		for k, v := range w.pod.Labels {
			l[k] = v
		}
		if sel.Matches(l) {
			list = append(list, w)
		}
	}
	return list
}

func TestEveryManifestIsOfItsType(t *testing.T) {
	kinds := make(map[string]bool)
	everything(t, func(t *testing.T, c *cluster) {
		for _, o := range c.objects {
			kinds[o.GetObjectKind().GroupVersionKind().Kind] = true
		}
	})
	for _, kind := range []string{"Namespace", "PriorityClass", "ServiceAccount", "DaemonSet", "Deployment", "StatefulSet", "CronJob", "Service", "ConfigMap",
		"PodDisruptionBudget", "NetworkPolicy", "PodMonitor", "ServiceMonitor"} {
		if !kinds[kind] {
			t.Errorf("no %s is shipped", kind)
		}
	}
	// What is not of the type is seen, at any depth.
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(kubernetes, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := made.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		if !bytes.Contains(doc, []byte("kind: DaemonSet")) {
			continue
		}
		for _, wrong := range []string{"hostPorts: ", "HostPort: ", "hostPort: x"} {
			if _, _, err := strictly.Decode(bytes.ReplaceAll(doc, []byte("hostPort: "), []byte(wrong)), nil, nil); err == nil {
				t.Errorf("%s is read without a word", wrong)
			}
		}
		return
	}
	t.Error("no DaemonSet")
}

// Names lead somewhere: volumes, ports, ConfigMaps, accounts, classes, selectors.
func TestWhatIsNamedIsThere(t *testing.T) {
	secrets := map[string]bool{}
	everything(t, func(t *testing.T, c *cluster) {
		maps, accounts, classes := map[string]bool{}, map[string]bool{"": true}, map[string]bool{"": true}
		for _, m := range of[*core.ConfigMap](c) {
			maps[m.Name] = true
		}
		for _, a := range of[*core.ServiceAccount](c) {
			accounts[a.Name] = true
		}
		for _, p := range of[*scheduling.PriorityClass](c) {
			classes[p.Name] = true
		}
		for _, w := range c.workloads() {
			sel, err := meta.LabelSelectorAsSelector(w.selector)
			if w.selector != nil && (err != nil || sel.Empty() || !sel.Matches(labels.Set(w.pod.Labels))) {
				t.Errorf("%s selects %v, and its pods have %v", w.name, sel, w.pod.Labels)
			}
			spec := w.pod.Spec
			if !accounts[spec.ServiceAccountName] || !classes[spec.PriorityClassName] {
				t.Errorf("%s: account %q, class %q", w.name, spec.ServiceAccountName, spec.PriorityClassName)
			}
			volumes := map[string]bool{}
			for _, v := range w.claims {
				volumes[v.Name] = false
			}
			for _, v := range spec.Volumes {
				volumes[v.Name] = false
				for name := range configMaps(v) {
					if !maps[name] {
						t.Errorf("%s: volume %s is of the ConfigMap %s, which is not there", w.name, v.Name, name)
					}
				}
				for name := range volumeSecrets(v) {
					secrets[name] = true
				}
			}
			for _, container := range w.containers() {
				ports := map[string]bool{}
				for _, p := range container.Ports {
					ports[p.Name] = true
				}
				for kind, p := range probes(container) {
					if p.HTTPGet == nil || !ports[p.HTTPGet.Port.StrVal] {
						t.Errorf("%s: the %s probe of %s asks no port of it", w.name, kind, container.Name)
					}
				}
				for _, m := range container.VolumeMounts {
					if _, ok := volumes[m.Name]; !ok {
						t.Errorf("%s: %s mounts %s, which is no volume", w.name, container.Name, m.Name)
					}
					volumes[m.Name] = true
				}
				for _, e := range container.Env {
					if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
						secrets[e.ValueFrom.SecretKeyRef.Name] = true
					}
				}
			}
			for name, used := range volumes {
				if !used {
					t.Errorf("%s: nobody mounts %s", w.name, name)
				}
			}
		}
		for _, s := range of[*core.Service](c) {
			if len(s.Spec.Selector) == 0 {
				t.Errorf("Service %s selects nothing", s.Name)
			}
			pods := c.selected(&meta.LabelSelector{MatchLabels: s.Spec.Selector})
			if len(pods) != 1 && !strings.HasPrefix(s.Name, "clickhouse-") {
				t.Errorf("Service %s leads to the pods of %d workloads", s.Name, len(pods))
			}
			for _, w := range pods {
				for _, p := range s.Spec.Ports {
					if p.TargetPort.StrVal != "" && !hasPort(w, p.TargetPort.StrVal, 0) || p.TargetPort.StrVal == "" && w.name != "ops-backend" && !hasPort(w, "", p.Port) {
						t.Errorf("Service %s: port %s leads nowhere in %s", s.Name, p.Name, w.name)
					}
				}
			}
		}
		for _, b := range of[*policy.PodDisruptionBudget](c) {
			if len(c.selected(b.Spec.Selector)) != 1 {
				t.Errorf("PodDisruptionBudget %s is for %d workloads", b.Name, len(c.selected(b.Spec.Selector)))
			}
		}
		for _, n := range of[*networking.NetworkPolicy](c) {
			pods := c.selected(&n.Spec.PodSelector)
			if len(pods) != 1 {
				t.Fatalf("NetworkPolicy %s is for %d workloads", n.Name, len(pods))
			}
			for _, r := range n.Spec.Ingress {
				for _, p := range r.Ports {
					if !hasPort(pods[0], p.Port.StrVal, p.Port.IntVal) {
						t.Errorf("NetworkPolicy %s lets in to %s, which %s does not have", n.Name, p.Port, pods[0].name)
					}
				}
			}
		}
		for _, m := range of[*monitoring.PodMonitor](c) {
			pods := c.selected(&m.Spec.Selector)
			if len(pods) != 1 || !hasPort(pods[0], *m.Spec.PodMetricsEndpoints[0].Port, 0) {
				t.Errorf("PodMonitor %s finds no port", m.Name)
			}
		}
		for _, m := range of[*monitoring.ServiceMonitor](c) {
			n := 0
			for _, s := range of[*core.Service](c) {
				sel, err := meta.LabelSelectorAsSelector(&m.Spec.Selector)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range s.Spec.Ports {
					if sel.Matches(labels.Set(s.Labels)) && p.Name == m.Spec.Endpoints[0].Port {
						n++
					}
				}
			}
			if n != 1 {
				t.Errorf("ServiceMonitor %s finds %d Services with its port: each target once", m.Name, n)
			}
		}
	})
	page := readPage(t)
	for name := range secrets {
		if !strings.Contains(page, name) {
			t.Errorf("docs/kubernetes.md does not say how the Secret %s comes about", name)
		}
	}
	if len(secrets) == 0 {
		t.Error("no Secret is used")
	}
}

func hasPort(w workload, name string, number int32) bool {
	for _, c := range w.containers() {
		for _, p := range c.Ports {
			if name != "" && p.Name == name || name == "" && p.ContainerPort == number {
				return true
			}
		}
	}
	return false
}

func probes(c core.Container) map[string]*core.Probe {
	m := map[string]*core.Probe{}
	for kind, p := range map[string]*core.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		if p != nil {
			m[kind] = p
		}
	}
	return m
}

// configMaps are those of a volume, with the files that they bring: key to path; nil is all.
func configMaps(v core.Volume) map[string][]core.KeyToPath {
	m := map[string][]core.KeyToPath{}
	if v.ConfigMap != nil {
		m[v.ConfigMap.Name] = v.ConfigMap.Items
	}
	if v.Projected != nil {
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil {
				m[s.ConfigMap.Name] = s.ConfigMap.Items
			}
		}
	}
	return m
}

func volumeSecrets(v core.Volume) map[string][]core.KeyToPath {
	m := map[string][]core.KeyToPath{}
	if v.Secret != nil {
		m[v.Secret.SecretName] = v.Secret.Items
	}
	if v.Projected != nil {
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				m[s.Secret.Name] = s.Secret.Items
			}
		}
	}
	return m
}

// What each manifest is for.
func TestTheAgentsLogOutlivesThePod(t *testing.T) {
	c := build(t, filepath.Join(kubernetes, "spillway"))
	a := named[*apps.DaemonSet](c, "spillway-agent")
	var outlives, ours []string
	for _, v := range a.Spec.Template.Spec.Volumes {
		if v.HostPath != nil {
			outlives = append(outlives, v.Name+" "+v.HostPath.Path)
		}
	}
	for _, m := range a.Spec.Template.Spec.Containers[0].VolumeMounts {
		if !m.ReadOnly {
			ours = append(ours, m.Name+" "+m.MountPath)
		}
	}
	if got, want := fmt.Sprint(outlives, ours), "[wal /var/lib/spillway pods /var/log/pods] [wal /var/lib/spillway]"; got != want {
		t.Errorf("on the node, and written to: %s, want %s", got, want)
	}
	if u := a.Spec.UpdateStrategy; u.Type != apps.RollingUpdateDaemonSetStrategyType || u.RollingUpdate.MaxSurge.IntValue() != 0 {
		t.Errorf("two agents of a node would want one log: %+v", u)
	}
	if tol := a.Spec.Template.Spec.Tolerations; len(tol) != 1 || tol[0].Operator != core.TolerationOpExists || tol[0].Key != "" || tol[0].Effect != "" {
		t.Errorf("not on every node: %+v", tol)
	}
	hostPorts := map[int32]bool{}
	for _, p := range a.Spec.Template.Spec.Containers[0].Ports {
		if p.HostPort != 0 && p.HostPort == p.ContainerPort {
			hostPorts[p.HostPort] = true
		}
	}
	if len(hostPorts) != 3 || !hostPorts[4317] || !hostPorts[4318] || !hostPorts[3100] {
		t.Errorf("ports of the node: %v", hostPorts)
	}
}

// A native sidecar: it starts before the application and ends after it, and does not make the pod unready.
func TestTheSidecarComesFirstAndGoesLast(t *testing.T) {
	c := build(t, filepath.Join(kubernetes, "sidecar"))
	init := named[*apps.StatefulSet](c, "ops-backend").Spec.Template.Spec.InitContainers
	if len(init) != 2 || init[0].RestartPolicy != nil || init[1].RestartPolicy == nil || *init[1].RestartPolicy != core.ContainerRestartPolicyAlways {
		t.Fatalf("want the program installed, then the sidecar: %+v", init)
	}
	if init[1].StartupProbe == nil || init[1].ReadinessProbe != nil || init[0].Args[0] != "install" {
		t.Errorf("startup %v, readiness %v, %v", init[1].StartupProbe, init[1].ReadinessProbe, init[0].Args)
	}
}

// A Job that counts: one at a time, it ends, and it fails at once only for what is no better at the next try.
func TestTheJobThatCounts(t *testing.T) {
	c := whole(t)
	j := named[*batch.CronJob](c, "spillway-verify")
	spec := j.Spec.JobTemplate.Spec
	if j.Spec.ConcurrencyPolicy != batch.ForbidConcurrent || *j.Spec.FailedJobsHistoryLimit < 1 || *spec.ActiveDeadlineSeconds >= 3600 || *spec.TTLSecondsAfterFinished < 3600 {
		t.Errorf("it runs beside itself, for ever, or is gone before it is seen: %+v", j.Spec)
	}
	rules := spec.PodFailurePolicy.Rules
	if spec.Template.Spec.RestartPolicy != core.RestartPolicyNever || rules[0].Action != batch.PodFailurePolicyActionFailJob || !slices.Equal(rules[0].OnExitCodes.Values, []int32{2}) ||
		*rules[0].OnExitCodes.ContainerName != spec.Template.Spec.Containers[0].Name || rules[1].Action != batch.PodFailurePolicyActionIgnore {
		t.Errorf("%+v", spec.PodFailurePolicy)
	}
	// It reads the collectors' file, with the Secrets of theirs, and ClickHouse lets it in.
	files := func(v core.Volume) string { return fmt.Sprint(configMaps(v)) }
	if got, want := files(spec.Template.Spec.Volumes[0]), files(named[*apps.Deployment](c, "spillway-collector").Spec.Template.Spec.Volumes[0]); got != want {
		t.Errorf("it reads %s, collectors %s", got, want)
	}
	ours := volumeSecrets(spec.Template.Spec.Volumes[0])
	secured := build(t, filepath.Join(kubernetes, "secure"))
	for name, items := range volumeSecrets(named[*apps.Deployment](secured, "spillway-collector").Spec.Template.Spec.Volumes[0]) {
		if fmt.Sprint(ours[name]) != fmt.Sprint(items) {
			t.Errorf("of the Secret %s it has %v, collectors %v", name, ours[name], items)
		}
	}
	in := false
	for _, rule := range named[*networking.NetworkPolicy](c, "clickhouse").Spec.Ingress {
		for _, from := range rule.From {
			sel, err := meta.LabelSelectorAsSelector(from.PodSelector)
			if err != nil {
				t.Fatal(err)
			}
			in = in || sel.Matches(labels.Set(spec.Template.Labels)) && slices.ContainsFunc(rule.Ports, func(p networking.NetworkPolicyPort) bool { return p.Port.StrVal == "http" })
		}
	}
	if !in {
		t.Error("ClickHouse does not let it in")
	}
}

// The overlay of docs/kubernetes.md, with the files that it tells to begin with.
func TestTheOverlayOfThePageBuilds(t *testing.T) {
	blocks := fenced(readPage(t), "yaml")
	files := map[string]string{}
	for _, name := range []string{"agent.yaml", "collector.yaml"} {
		text, err := os.ReadFile(filepath.Join(kubernetes, "secure", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text) + "# ours\n"
	}
	c := overlay(t, blocks[0], files)
	for _, w := range c.workloads() {
		if image := w.pod.Spec.Containers[0].Image; image != "images.example.net/spillway:1.2.3" {
			t.Errorf("%s runs %s", w.name, image)
		}
		for _, v := range w.pod.Spec.Volumes {
			for name := range configMaps(v) {
				if text := fmt.Sprint(named[*core.ConfigMap](c, name).Data); !strings.Contains(text, "# ours") || !strings.Contains(text, "/etc/spillway/token") {
					t.Errorf("%s has another configuration: %s", w.name, text)
				}
			}
		}
	}
	var env struct{ Env []core.EnvVar }
	if err := yaml.UnmarshalStrict([]byte(blocks[1]), &env); err != nil || len(env.Env) != 2 {
		t.Errorf("%v %+v", err, env)
	}
}

// Any collector may go at any time, and agents spread over those that come.
func TestCollectorsComeAndGo(t *testing.T) {
	for _, dir := range []string{"spillway", "secure"} {
		c := build(t, filepath.Join(kubernetes, dir))
		var cfg struct {
			Receivers struct {
				OTLP struct {
					GRPC struct {
						MaxConnectionAge string `json:"max_connection_age"`
					}
				} `json:"otlp"`
			}
		}
		text := named[*core.ConfigMap](c, "spillway-collector").Data["collector.yaml"]
		if err := yaml.Unmarshal([]byte(text), &cfg); err != nil || cfg.Receivers.OTLP.GRPC.MaxConnectionAge == "" {
			t.Errorf("%s: an agent would stay with the collectors that it began with: %v\n%s", dir, err, text)
		}
		d := named[*apps.Deployment](c, "spillway-collector")
		if *d.Spec.Replicas < 2 || d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 || len(d.Spec.Template.Spec.TopologySpreadConstraints) != 1 {
			t.Errorf("%s: a rollout or a node takes all of them: %+v", dir, d.Spec)
		}
		b := named[*policy.PodDisruptionBudget](c, "spillway-collector")
		if b.Spec.MaxUnavailable.IntValue() != 1 || *b.Spec.UnhealthyPodEvictionPolicy != policy.AlwaysAllow {
			t.Errorf("%s: %+v", dir, b.Spec)
		}
		if s := named[*core.Service](c, "spillway-collector-headless"); s.Spec.ClusterIP != core.ClusterIPNone || !s.Spec.PublishNotReadyAddresses {
			t.Errorf("%s: agents look up %+v", dir, s.Spec)
		}
	}
}
