//go:build apiserver

package manifests

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

var apiserver = flag.String("apiserver", "", "directory with kube-apiserver and etcd, of e2e/kubeapiserver/build.sh")

// A server is a real API server over a real etcd, and nothing else of a cluster.
type server struct {
	t    *testing.T
	addr string
	http http.Client
}

func freePort(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	return lis.Addr().String()
}

func startAPI(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	run := func(name string, args ...string) {
		cmd := exec.Command(filepath.Join(*apiserver, name), args...)
		var out lockedBuffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
			if t.Failed() {
				text := out.String()
				t.Logf("%s:\n%s", name, text[max(0, len(text)-4000):])
			}
		})
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "sa.key"), string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	write(t, filepath.Join(dir, "tokens.csv"), "of-the-test,test,1,\"system:masters\"\n")
	client, peer := "http://"+freePort(t), "http://"+freePort(t)
	run("etcd", "--data-dir", dir+"/etcd", "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	a := &server{t: t, addr: freePort(t)}
	host, port, _ := net.SplitHostPort(a.addr)
	// Accounts and their tokens are made by controllers, of which there are none.
	run("kube-apiserver", "--etcd-servers", client, "--bind-address", host, "--secure-port", port, "--cert-dir", dir+"/certs", "--service-account-issuer", "https://test",
		"--service-account-key-file", "sa.key", "--service-account-signing-key-file", "sa.key", "--service-cluster-ip-range", "10.96.0.0/16",
		"--token-auth-file", "tokens.csv", "--authorization-mode", "RBAC", "--disable-admission-plugins", "ServiceAccount")
	a.http = http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	until(t, "the API server is ready", func() bool { code, _ := a.do(http.MethodGet, "/readyz", nil); return code == http.StatusOK })
	return a
}

func (a *server) do(method, path string, body []byte) (int, string) {
	req, err := http.NewRequest(method, "https://"+a.addr+path, bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer of-the-test")
	req.Header.Set("Content-Type", map[string]string{http.MethodPatch: "application/apply-patch+yaml"}[method])
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/yaml")
	}
	return answer(a.http.Do(req))
}

// clusterWide are the kinds without a namespace.
var clusterWide = map[string]bool{"Namespace": true, "PriorityClass": true}

// resource is the path of a kind.
func resource(kind, apiVersion, namespace string) string {
	prefix := "/apis/" + apiVersion
	if apiVersion == "v1" {
		prefix = "/api/v1"
	}
	plural := strings.ToLower(kind) + "s"
	switch kind {
	case "NetworkPolicy":
		plural = "networkpolicies"
	case "PriorityClass":
		plural = "priorityclasses"
	}
	if clusterWide[kind] {
		return prefix + "/" + plural
	}
	if namespace == "" {
		namespace = "default"
	}
	return prefix + "/namespaces/" + namespace + "/" + plural
}

// apply is kubectl apply --server-side --validate=strict, with --dry-run=server unless it is for real.
func (a *server) apply(o runtime.Object, forReal bool) (int, string) {
	text, err := json.Marshal(o)
	if err != nil {
		a.t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		a.t.Fatal(err)
	}
	delete(fields, "status") // of the type; nobody wrote it
	if text, err = json.Marshal(fields); err != nil {
		a.t.Fatal(err)
	}
	x, gvk := o.(meta.Object), o.GetObjectKind().GroupVersionKind()
	query := "?fieldManager=test&fieldValidation=Strict"
	if !forReal {
		query += "&dryRun=All"
	}
	return a.do(http.MethodPatch, resource(gvk.Kind, gvk.GroupVersion().String(), x.GetNamespace())+"/"+x.GetName()+query, text)
}

// A real API server takes every manifest, with its own defaults, validation and admission, and the pods that the
// workloads would make.
func TestTheAPIServerTakesEveryManifest(t *testing.T) {
	if *apiserver == "" {
		t.Fatal("-apiserver names no directory: run make kubernetes")
	}
	a := startAPI(t)
	for _, o := range build(t, filepath.Join(kubernetes, "spillway")).objects { // what others need to be there
		if clusterWide[o.GetObjectKind().GroupVersionKind().Kind] {
			if code, text := a.apply(o, true); code >= 300 {
				t.Fatalf("%d %s", code, text)
			}
		}
	}
	everything(t, func(t *testing.T, c *cluster) {
		for _, o := range c.objects {
			gvk := o.GetObjectKind().GroupVersionKind()
			if gvk.Group == "monitoring.coreos.com" {
				continue // not the API server's own
			}
			if code, text := a.apply(o, false); code >= 300 {
				t.Errorf("%s %s: %d %s", gvk.Kind, o.(meta.Object).GetName(), code, text)
			}
		}
		for _, w := range c.workloads() {
			namespace := "spillway"
			if w.name == "ops-backend" {
				namespace = "default"
			}
			if code, text := a.pod(w, namespace); code >= 300 {
				t.Errorf("a pod of %s: %d %s", w.name, code, text)
			}
		}
	})
	// It refuses what only it can know: a port that is none, a class that is not there, rights that a namespace forbids.
	w := build(t, filepath.Join(kubernetes, "spillway")).workload(t, "spillway-agent")
	strict := &core.Namespace{TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: meta.ObjectMeta{Name: "strict", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"}}}
	if code, text := a.apply(strict, true); code >= 300 {
		t.Fatalf("%d %s", code, text)
	}
	if code, text := a.pod(w, "strict"); code != http.StatusForbidden || !strings.Contains(text, "PodSecurity") {
		t.Errorf("the agent in a baseline namespace: %d %s", code, text)
	}
	w.pod.Spec.Containers[0].Ports[0].HostPort = 70000
	if code, _ := a.pod(w, "spillway"); code != http.StatusUnprocessableEntity {
		t.Errorf("port 70000: %d", code)
	}
	w.pod.Spec.Containers[0].Ports[0].HostPort = 4317
	w.pod.Spec.PriorityClassName = "nobody-made-it"
	if code, _ := a.pod(w, "spillway"); code != http.StatusForbidden {
		t.Errorf("a class that is not there: %d", code)
	}
}

// pod has the server look at a pod of w, as its controller would make it.
func (a *server) pod(w workload, namespace string) (int, string) {
	p := &core.Pod{TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta.ObjectMeta{Name: w.name + "-1", Labels: w.pod.Labels}, Spec: *w.pod.Spec.DeepCopy()}
	for _, claim := range w.claims {
		p.Spec.Volumes = append(p.Spec.Volumes, core.Volume{Name: claim.Name, VolumeSource: core.VolumeSource{PersistentVolumeClaim: &core.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name}}})
	}
	text, err := yaml.Marshal(p)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.do(http.MethodPost, resource("Pod", "v1", namespace)+"?dryRun=All&fieldValidation=Strict", text)
}
