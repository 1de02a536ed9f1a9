package manifests

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // what an agent falls back to
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	core "k8s.io/api/core/v1"
)

// take listens where the headless Service would lead.
func (p *pod) take(options ...grpc.ServerOption) *taker {
	p.t.Helper()
	k := &taker{came: map[string]int{}}
	var lis net.Listener
	inside(p.t, p.network, func() (err error) { lis, err = net.Listen("tcp", "127.0.0.1:4319"); return err })
	server := grpc.NewServer(options...)
	plogotlp.RegisterGRPCServer(server, &logs{k: k})
	go server.Serve(lis)
	p.t.Cleanup(server.Stop)
	return k
}

type logs struct {
	plogotlp.UnimplementedGRPCServer
	k *taker
}

func (l *logs) Export(_ context.Context, r plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	for _, resource := range r.Logs().ResourceLogs().All() {
		attrs := ""
		for _, key := range []string{"k8s.node.name", "k8s.pod.name", "k8s.container.name"} {
			if v, ok := resource.Resource().Attributes().Get(key); ok {
				attrs += " " + v.Str()
			}
		}
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				l.k.came[record.Body().AsString()+attrs]++
			}
		}
	}
	return plogotlp.NewExportResponse(), nil
}

// soon is so that a test does not wait for company: the files leave it at 5 s.
const soon = "SPILLWAY_BATCH_TIMEOUT=100ms"

func (c *cluster) workload(t *testing.T, name string) workload {
	t.Helper()
	for _, w := range c.workloads() {
		if w.name == name {
			return w
		}
	}
	t.Fatalf("no %s", name)
	return workload{}
}

// post is what an SDK sends over OTLP/HTTP.
func (p *pod) post(body string) {
	p.t.Helper()
	resp, err := p.client().Post("http://127.0.0.1:4318/v1/logs", "application/json",
		strings.NewReader(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"`+body+`"}}]}]}]}`))
	if err != nil {
		p.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p.t.Fatalf("OTLP: %s", resp.Status)
	}
}

// The agent's pod, with the rights that its manifest gives and no others: it reads what is root's and 0640, writes
// nothing but its log, which outlives it, and ends when it is told to.
func TestTheAgentsPodRuns(t *testing.T) {
	t.Parallel()
	c := build(t, filepath.Join(kubernetes, "spillway"))
	p := newPod(t, c, c.workload(t, "spillway-agent"))
	log := filepath.Join(p.volume("pods"), "shop_web-1_0a3c1b9e-0000-4000-8000-000000000001", "app", "0.log")
	write(t, log, "2026-11-29T00:00:00.000000001Z stdout F one\n")
	if err := os.Chmod(log, 0o640); err != nil {
		t.Fatal(err)
	}
	k := p.take()
	a := p.start("agent", soon)
	a.started()
	for kind, probe := range probes(a.spec) {
		if code, text := a.probe(probe); code != http.StatusOK {
			t.Errorf("%s: %d %s", kind, code, text)
		}
	}
	k.all(t, "one of-the-pod web-1 app")
	p.post("sent")
	k.all(t, "sent")
	push, err := p.client().Post("http://127.0.0.1:3100/loki/api/v1/push", "application/json", strings.NewReader(`{"streams":[{"stream":{"pod":"web-2"},"values":[["1790000000000000000","pushed"]]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	push.Body.Close()
	k.all(t, "pushed web-2")
	if code := a.stop(); code != 0 {
		t.Errorf("it ended with %d", code)
	}

	// The next pod of that node.
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("2026-11-29T00:00:01.000000001Z stderr F two\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	b := p.start("agent", soon)
	b.started()
	k.all(t, "two of-the-pod web-1 app", "one of-the-pod web-1 app", "sent", "pushed web-2")
	if code := b.stop(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}

// A collector's pod starts with nothing but its Secrets, and is not ready without ClickHouse.
func TestTheCollectorsPodRuns(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"spillway", "secure"} {
		c := build(t, filepath.Join(kubernetes, dir))
		p := newPod(t, c, c.workload(t, "spillway-collector"))
		r := p.start("collector")
		r.started()
		if code, text := r.probe(r.spec.LivenessProbe); code != http.StatusOK {
			t.Errorf("%s: alive: %d %s", dir, code, text)
		}
		if code, text := r.probe(r.spec.ReadinessProbe); code != http.StatusServiceUnavailable || !strings.Contains(text, "ClickHouse") {
			t.Errorf("%s: ready: %d %s", dir, code, text)
		}
		if code := r.stop(); code != 0 {
			t.Errorf("%s: it ended with %d", dir, code)
		}
	}
}

// The pod that counts reads the collectors' configuration, with and without TLS and tokens, and ends with what the Job
// goes by: 1 without ClickHouse, which may be there at the next try, 2 for a configuration that is wrong.
func TestTheCountingPodRuns(t *testing.T) {
	t.Parallel()
	const counting = "namespace: spillway\nresources: [BASE/DIR]\ncomponents: [BASE/verify]\n"
	run := func(c *cluster) (int, string) {
		r := newPod(t, c, c.workload(t, "spillway-verify")).start("verify")
		return r.ended(), r.output.String()
	}
	for _, dir := range []string{"spillway", "secure"} {
		if code, out := run(overlay(t, strings.ReplaceAll(counting, "DIR", dir), nil)); code != 1 || !strings.Contains(out, "clickhouse:8123: ") {
			t.Errorf("%s: without ClickHouse it ended with %d:\n%s", dir, code, out)
		}
	}
	wrong := overlay(t, strings.ReplaceAll(counting, "DIR", "spillway")+"configMapGenerator:\n  - {name: spillway-collector, behavior: replace, files: [collector.yaml]}\n",
		map[string]string{"collector.yaml": "nonsense: 1\n"})
	if code, out := run(wrong); code != 2 || !strings.Contains(out, "nonsense") {
		t.Errorf("misconfigured it ended with %d:\n%s", code, out)
	}
}

// The sidecar's pod in the order of a kubelet: the program is installed, the agent starts, the application runs with
// spillway tee, hears SIGTERM, and the agent ends last. All that was printed has arrived, and the exit status is the program's.
func TestTheSidecarsPodRuns(t *testing.T) {
	t.Parallel()
	c := build(t, filepath.Join(kubernetes, "sidecar"))
	p := newPod(t, c, c.workload(t, "ops-backend"))
	k := p.take()
	if code := p.start("install-spillway").ended(); code != 0 {
		t.Fatalf("install ended with %d", code)
	}
	agent := p.start("spillway", soon)
	agent.started()

	app := p.start("ops-backend", `PROGRAM=trap 'kill $!; echo last; exit 3' TERM; echo first; echo second >&2; tail -f /dev/null >/dev/null 2>&1 & wait`)
	of := " of-the-pod of-the-pod"
	k.all(t, "first"+of, "second"+of)
	p.post("sent")
	k.all(t, "sent")
	if code := app.stop(); code != 3 {
		t.Errorf("the application ended with 3, its container with %d", code)
	}
	if out := app.output.String(); out != "first\nsecond\nlast\n" {
		t.Errorf("kubectl logs has %q", out)
	}
	if code := agent.stop(); code != 0 {
		t.Errorf("the agent ended with %d", code)
	}
	// Whether the last line was read before the end or is read by the next pod: it arrives.
	agent = p.start("spillway", soon)
	agent.started()
	k.all(t, "last"+of, "first"+of, "second"+of, "sent")
	if agent.spec.RestartPolicy == nil || *agent.spec.RestartPolicy != core.ContainerRestartPolicyAlways {
		t.Error("it is no sidecar")
	}
}

// With secure, an agent speaks TLS to the name that the certificate has and shows the token of the Secret, and a collector
// asks for both.
func TestTheSecuredPodsAskForTheToken(t *testing.T) {
	t.Parallel()
	c := build(t, filepath.Join(kubernetes, "secure"))
	p := newPod(t, c, c.workload(t, "spillway-agent"))
	cert, key := certificate()
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	k := p.take(grpc.Creds(credentials.NewServerTLSFromCert(&pair)), grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if md, _ := metadata.FromIncomingContext(ctx); !slices.Equal(md.Get("authorization"), []string{"Bearer " + secret(t, "spillway-token", "token")}) {
			return nil, status.Error(codes.Unauthenticated, "another token")
		}
		return next(ctx, req)
	}))
	a := p.start("agent", soon)
	a.started()
	p.post("sent")
	k.all(t, "sent")

	p = newPod(t, c, c.workload(t, "spillway-collector"))
	r := p.start("collector")
	r.started()
	authority := x509.NewCertPool()
	authority.AppendCertsFromPEM([]byte(cert))
	client := p.client()
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: authority, ServerName: "spillway-collector-headless"}
	for token, want := range map[string]bool{"": false, "another": false, secret(t, "spillway-token", "token"): true} {
		req, err := http.NewRequest(http.MethodPost, "https://127.0.0.1:4320/v1/logs", strings.NewReader("no OTLP"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.StatusCode == http.StatusBadRequest; got != want || !want && resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("with the token %q: %s", token, resp.Status)
		}
	}
}
