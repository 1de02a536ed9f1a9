package lines_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-io/spillway/agent/lines"
)

func TestResourcesTellWhereLinesComeFrom(t *testing.T) {
	const id = "4e6d3dc1ad1d0d62b3b7d4e7d5f6f0a04e6d3dc1ad1d0d62b3b7d4e7d5f6f0a0"
	for _, c := range []struct {
		path     string
		defaults []lines.Attr
		want     string
	}{
		{"/var/log/pods/shop_web-0_0f7c9c1e-6b1a-4d2e-8f4e-3a1b2c3d4e5f/app/3.log", []lines.Attr{{"k8s.node.name", "node-1"}},
			`k8s.namespace.name="shop" k8s.pod.name="web-0" k8s.pod.uid="0f7c9c1e-6b1a-4d2e-8f4e-3a1b2c3d4e5f" k8s.container.name="app" ` +
				`k8s.container.restart_count=3 k8s.node.name="node-1" service.name="app"`},
		{"/host/pods/shop_web-0_uid/app/0.log.20240506-070809", []lines.Attr{{"service.name", "shop"}, {"service.name", "other"}, {"k8s.pod.name", "x"}},
			`k8s.namespace.name="shop" k8s.pod.name="web-0" k8s.pod.uid="uid" k8s.container.name="app" k8s.container.restart_count=0 service.name="shop"`},
		{"/var/log/containers/web-0_shop_my-app-" + id + ".log", nil,
			`k8s.namespace.name="shop" k8s.pod.name="web-0" k8s.container.name="my-app" container.id="` + id + `" service.name="my-app"`},
		{"/var/log/pods/shop_web-0_uid/app/current.log", nil, `log.file.path="/var/log/pods/shop_web-0_uid/app/current.log" service.name="current"`},
		{"/var/log/containers/web_shop.log", nil, `log.file.path="/var/log/containers/web_shop.log" service.name="web_shop"`},
		{"/var/log/a_b_c/app/0.log", nil, `log.file.path="/var/log/a_b_c/app/0.log" service.name="0"`},
		{"/var/log/shop.log.1", []lines.Attr{{"", "x"}, {"deployment.environment.name", "pro\xffd"}, {"empty", ""}},
			`log.file.path="/var/log/shop.log.1" deployment.environment.name="pro` + "\uFFFD" + `d" service.name="shop"`},
		{"/var/lib/docker/containers/" + id + "/" + id + "-json.log", nil, `container.id="` + id + `" service.name="4e6d3dc1ad1d"`},
		{"/d/containers/" + id + "/" + id + "-json.log.1", []lines.Attr{{"service.name", "shop"}, {"container.id", "x"}}, `container.id="` + id + `" service.name="shop"`},
		{"/containers/" + id + "/x-json.log", nil, `log.file.path="/containers/` + id + `/x-json.log" service.name="x-json"`},
		{"/containers/" + id[1:] + "/" + id[1:] + "-json.log", nil, `log.file.path="/containers/` + id[1:] + "/" + id[1:] + `-json.log" service.name="` + id[1:] + `-json"`},
		{"catalog.login.txt", nil, `log.file.path="catalog.login.txt" service.name="catalog.login.txt"`},
		{"/var/log/.log", nil, `log.file.path="/var/log/.log" service.name="unknown_service"`},
		{"", nil, `service.name="unknown_service"`},
	} {
		e := lines.NewEncoder(lines.Options{})
		e.Begin(lines.NewResource(c.path, c.defaults))
		e.Add([]byte("x"), time.Time{}, observed, "", false, false)
		var got []string
		for _, a := range decode1(t, e).ResourceLogs[0].Resource.Attributes {
			got = append(got, a.Key+"="+show(a.Value))
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.path, diff)
		}
	}
}

func TestRulesDescribeTheFilesThatTheyMatch(t *testing.T) {
	rules := []lines.ResourceRule{
		{regexp.MustCompile(`^/srv/(?P<app>[^/]+)/(?P<env>prod|test)?`), map[string]string{"service.name": "$app", "deployment.environment.name": "${env}", "cost": "$$5"}},
		{regexp.MustCompile(`/([a-z]+)\.log$`), map[string]string{"service.name": "not this", "part": "${1}s", "team": "shop"}},
		{regexp.MustCompile(`^/nowhere`), map[string]string{"team": "none"}},
		{regexp.MustCompile(`^/srv`), map[string]string{"deployment.environment.name": "fallback", "k8s.pod.name": "x"}},
	}
	for i, r := range rules {
		if err := r.Validate(); err != nil {
			t.Errorf("rule %d: %v", i, err)
		}
	}
	for path, want := range map[string]string{
		"/srv/cart/prod/web.log":           `cost="$5" deployment.environment.name="prod" service.name="cart" part="webs" team="shop" k8s.pod.name="x"`,
		"/srv/cart/other":                  `cost="$5" service.name="cart" deployment.environment.name="fallback" k8s.pod.name="x"`,
		"/srv/pods/shop_web-0_u/app/0.log": `k8s.namespace.name="shop" k8s.pod.name="web-0" k8s.pod.uid="u" k8s.container.name="app" cost="$5" service.name="pods" deployment.environment.name="fallback"`,
		"/var/log/x":                       `service.name="global"`,
	} {
		e := lines.NewEncoder(lines.Options{})
		e.Begin(lines.NewResource(path, append(lines.Attrs(rules, path), lines.Attr{Key: "service.name", Value: "global"})))
		e.Add([]byte("x"), time.Time{}, observed, "", false, false)
		var got []string
		for _, a := range decode1(t, e).ResourceLogs[0].Resource.Attributes {
			if a.Key != "log.file.path" && a.Key != "k8s.container.restart_count" {
				got = append(got, a.Key+"="+show(a.Value))
			}
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestRulesThatCannotBeMeantAreRefused(t *testing.T) {
	path := regexp.MustCompile(`/(?P<app>[a-z]+)/([a-z]+)`)
	for value, want := range map[string]string{"$app-$2$0": "", "$$app2": "", "100 $": "", "$app2": "no group app2", "$3": "no group 3", "$01": "no group 01", "${1}x$1x": "no group 1x"} {
		err := (&lines.ResourceRule{Path: path, Attributes: map[string]string{"k": value}}).Validate()
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
	for _, r := range []lines.ResourceRule{{}, {Path: path}, {Attributes: map[string]string{"a": "b"}}, {path, map[string]string{"": "b"}}} {
		if r.Validate() == nil {
			t.Errorf("%v passed", r)
		}
	}
	loud := regexp.MustCompile("x")
	for _, r := range []lines.SeverityRule{{}, {Match: loud}, {Match: loud, Level: "loud"}, {Level: "info"}} {
		if r.Validate() == nil {
			t.Errorf("%v passed", r)
		}
	}
	keys := make([]lines.Key, 17)
	for i := range keys {
		keys[i] = lines.Key(fmt.Sprint(i))
	}
	for _, f := range []lines.Fields{{Body: []lines.Key{""}}, {Body: []lines.Key{"a"}, Logger: []lines.Key{"a"}}, {SpanID: []lines.Key{"a", "a"}}, {Body: keys}} {
		if f.Validate() == nil {
			t.Errorf("%v passed", f)
		}
	}
}
