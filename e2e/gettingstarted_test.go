package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// docs/getting-started.md from its second command on, with ports of the test's own: the first is what builds what is tested here.
func TestGettingStarted(t *testing.T) {
	t.Parallel()
	const page = "../docs/getting-started.md"
	dir := t.TempDir()
	ports := make(map[string]string)
	var replace []string
	for _, p := range []string{"4317", "4318", "4319", "4320", "8123", "9000", "13133", "13134"} {
		ports[p] = port(t)
		replace = append(replace, "127.0.0.1:"+p, ports[p])
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "bin"), 0o755), os.Symlink(bin, filepath.Join(dir, "bin/spillway"))); err != nil {
		t.Fatal(err)
	}
	engine, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", enginetest.Shared(t).PID()))
	if err != nil {
		t.Fatal(err)
	}
	file := blocks(t, page, "yaml")["hello.yaml"]
	file = strings.Replace(file, "receivers:\n", fmt.Sprintf("receivers:\n  otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}\n", ports["4317"], ports["4318"]), 1) +
		fmt.Sprintf("admin: {endpoint: %q}\ncollector: {admin: {endpoint: %q}, receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}}}\n", ports["13133"], ports["13134"], ports["4319"], ports["4320"])
	if err := os.WriteFile(filepath.Join(dir, "hello.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	shell := func(block string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", strings.NewReplacer(replace...).Replace(block))
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	all := blocks(t, page, "sh")
	check, serve, ok := strings.Cut(all["1"], "\n")
	if out, err := shell(check); !ok || err != nil {
		t.Fatalf("%s: %v\n%s", check, err, out)
	}
	words := strings.Fields(serve)
	p := &proc{t: t, name: "standalone", admin: ports["13133"], dir: dir, env: []string{"PWD=" + dir, "SPILLWAY_ENGINE_BIN=" + engine},
		args: append(words[1:], "--engine-http", ports["8123"], "--engine-native", ports["9000"])}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("standalone said:\n%s", tail(p.log.String(), 50))
		}
	})
	p.ready()
	if out, err := shell(all["2"]); err != nil || strings.TrimSpace(out) != "{}" {
		t.Fatalf("%v: %s", err, out)
	}
	want := regexp.MustCompile("(?s)\n```\n(order.*?)```").FindStringSubmatch(readFile(t, page))[1]
	until(t, "the page's answer", func() bool { out, _ := shell(all["3"]); return out == want })
	if out, err := shell(all["4"]); err != nil || !strings.Contains(out, "hello.log") {
		t.Errorf("status: %v\n%s", err, out)
	}
}
