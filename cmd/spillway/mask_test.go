package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spillway-io/spillway/agent/lines"
)

// eachField visits every key of a config struct type.
func eachField(t reflect.Type, key string, visit func(key string, f reflect.StructField)) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		eachField(t.Elem(), key, visit)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous {
				eachField(f.Type, key, visit)
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name == "" || name == "-" || f.Type == reflect.TypeFor[*config]() {
				continue
			}
			visit(join(key, name), f)
			eachField(f.Type, join(key, name), visit)
		}
	}
}

// holdsText says whether a field has texts of its own, rather than keys below it.
func holdsText(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return holdsText(t.Elem())
	}
	return false
}

var soundsSecret = regexp.MustCompile(`(?i)token|passw|secret|dsn|key|auth|credential|header|private|cookie`)

// A field that sounds like a secret says whether it is one: whoever adds one has to think of it.
func TestWhatSoundsLikeASecretSaysWhetherItIsOne(t *testing.T) {
	marks := make(map[string]int)
	eachField(reflect.TypeFor[config](), "", func(key string, f reflect.StructField) {
		mark, has := f.Tag.Lookup(secretTag)
		marks[mark]++
		switch mark {
		case "", "all", "dsn", "no":
		default:
			t.Errorf("%s: secret:%q: use all, dsn or no", key, mark)
		}
		last := key[strings.LastIndex(key, ".")+1:]
		if holdsText(f.Type) && (soundsSecret.MatchString(last) || soundsSecret.MatchString(f.Name)) && !has {
			t.Errorf("%s sounds like a secret: tag %s.%s with secret:\"all\", \"dsn\" or \"no\"", key, f.Type, f.Name)
		}
	})
	if marks["all"] < 9 || marks["dsn"] != 1 || marks["no"] < 4 {
		t.Errorf("marks: %v: this test looks in the wrong place", marks)
	}
}

// secretive has a secret in every field that can hold one, and one that came out of a file.
func secretive(t *testing.T, more string) (file string, secrets []string) {
	t.Helper()
	n := 0
	secret := func() string {
		n++
		s := fmt.Sprintf("geheim-%d-&\"<x", n)
		secrets = append(secrets, s)
		return s
	}
	var text strings.Builder
	auth := func() string { return fmt.Sprintf("{tokens: [%q, %q], token: %q}", secret(), secret(), secret()) }
	fmt.Fprintf(&text, "receivers: {otlp: {grpc: {endpoint: \"127.0.0.1:0\", auth: %s}, http: {endpoint: \"127.0.0.1:0\", auth: %s}}, loki: {endpoint: \"127.0.0.1:0\", auth: %s}}\n", auth(), auth(), auth())
	fmt.Fprintf(&text, "forward: {otlp: {endpoints: [\"127.0.0.1:9\"], auth: %s, headers: {x-key: %q}}}\n", auth(), secret())
	secrets = append(secrets, "of-a-file")
	name := writeConfig(t, "of-a-file\n")
	fmt.Fprintf(&text, "resource: {key: \"${file:%s}\"}\n", name)
	fmt.Fprintf(&text, "collector:\n  receivers: {otlp: {grpc: {endpoint: \"127.0.0.1:0\", auth: %s}, http: {endpoint: \"127.0.0.1:0\", auth: %s}}, loki: {endpoint: \"127.0.0.1:0\", auth: %s}}\n", auth(), auth(), auth())
	secrets = append(secrets, "dsn-password", "dsn-parameter", "dsn-proxy")
	text.WriteString("  forward: {clickhouse: {dsn: \"http://somebody:dsn-password@127.0.0.1:9/otel?quota_key=dsn-parameter&http_proxy=http://u:dsn-proxy@127.0.0.1:8/\"}}\n  admin: {endpoint: \"127.0.0.1:0\"}\n")
	return writeConfig(t, text.String()+more), secrets
}

func shown(t *testing.T, secrets []string, where, text string) {
	t.Helper()
	for _, s := range secrets {
		quoted := strings.Trim(fmt.Sprintf("%q", s), `"`)
		for _, form := range []string{s, quoted, strings.ReplaceAll(quoted, "&", `\u0026`), strings.ReplaceAll(strings.ReplaceAll(quoted, "&", `\u0026`), "<", `\u003c`)} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows %s", where, form)
			}
		}
	}
}

// Whatever is secret in a file is neither in /status nor in what spillway status prints, though errors and log lines hold it.
func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, secrets := secretive(t, fmt.Sprintf("wal: {dir: %q, min_free_mib: 1}\nadmin: {endpoint: \"127.0.0.1:0\"}\n", filepath.Join(dir, "wal")))
	l, err := load(roleStandalone, file, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	var fields int
	eachSecret(reflect.ValueOf(l.config).Elem(), func(s string) {
		if fields++; s != "" && !strings.Contains(strings.Join(secrets, "\n"), s) && s != "http://u:dsn-proxy@127.0.0.1:8/" {
			t.Errorf("%q is secret by its tag, and not among what this test looks for", s)
		}
	})
	if fields < len(secrets)-1 {
		t.Errorf("%d secrets in the file, %d found by their tags", len(secrets), fields)
	}
	log := slog.New(newRecalling(newCapped(slog.NewJSONHandler(io.Discard, nil))))
	r := newReloads()
	tier, err := newTier(l.Collector, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tier.hop().close()
	n, err := newNode(l.config, log, r)
	if err != nil {
		t.Fatal(err)
	}
	defer n.agent.Close()
	n.tier = tier
	log.With("token", secrets[0]).Warn("delivery fails, the data waits in the log", "err", fmt.Errorf("dial: %s", strings.Join(secrets, " ")))
	refused := "forward.otlp.headers: " + strings.Join(secrets, " ")
	r.refused.Store(&refused)
	tier.hop().trouble.note(fmt.Errorf("Post http://127.0.0.1:9/?quota_key=dsn-parameter: %s", strings.Join(secrets, " ")))
	for _, a := range []*admin{n.admin, tier.admin} {
		stop := a.start(log)
		defer stop()
		resp, err := http.Get("http://" + a.addr() + "/status")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(masked)) || !bytes.Contains(body, []byte("delivery fails")) {
			t.Fatalf("%v %d: %s", err, resp.StatusCode, body)
		}
		shown(t, secrets, "/status", string(body))
		for _, flag := range []string{"--json=false", "--json"} {
			var out, errs bytes.Buffer
			run(context.Background(), []string{"status", "--endpoint", a.addr(), flag}, noEnv, &out, &errs)
			if out.Len() == 0 {
				t.Errorf("status %s prints nothing: %s", flag, errs.String())
			}
			shown(t, secrets, "spillway status "+flag, out.String()+errs.String())
		}
	}
}

// What is shown as the configuration is a file that means the same.
func TestTheEffectiveConfigurationCanBeReadAgain(t *testing.T) {
	for name, r := range map[string]role{"agent": roleAgent, "gateway": roleAgent, "collector": roleCollector, "standalone": roleStandalone} {
		env := func(name string) (string, bool) { return "", name == "CLICKHOUSE_PASSWORD" }
		l, err := load(r, "../../deploy/config/"+name+".yaml", env)
		if err != nil {
			t.Fatal(err)
		}
		text := effective(l.config, r)
		again, err := load(r, writeConfig(t, text), noEnv)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		want := settled(l.config)
		if want.Collector != nil {
			want.Collector = settled(want.Collector)
		}
		opts := cmp.Options{cmp.AllowUnexported(config{}, lines.Fields{}), cmpopts.IgnoreUnexported(config{}), cmpopts.EquateEmpty(),
			cmp.Comparer(func(a, b *regexp.Regexp) bool { return fmt.Sprint(a) == fmt.Sprint(b) }), cmp.Comparer(func(a, b zone) bool { return fmt.Sprint(a.Location) == fmt.Sprint(b.Location) }),
			cmp.Transformer("lines", func(c linesConfig) any { return fmt.Sprintf("%+v", c.Resource) })}
		if diff := cmp.Diff(want, again.config, append(opts, cmp.Exporter(func(reflect.Type) bool { return true }))...); diff != "" {
			t.Errorf("%s means something else:\n%s\n%s", name, diff, text)
		}
		if strings.Contains(text, "schema:") != (r == roleCollector || r == roleStandalone) {
			t.Errorf("%s: sections that it does not look at:\n%s", name, text)
		}
	}
}
