package lines_test

import (
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
