package loki

import (
	"fmt"
	"strings"
	"testing"

	"github.com/grafana/loki/pkg/push"
)

func TestLabelsAreReadAsPrometheusWritesThem(t *testing.T) {
	for s, want := range map[string]string{
		``:                            ``,
		` `:                           ``,
		`{}`:                          ``,
		` { } `:                       ``,
		`{a="b"}`:                     `a=b`,
		"\t{ a = \"b\" ,\n_B9=\"\",}": `a=b|_B9=`,
		`{a="\"\\\n\t\u00e4\x41"}`:    "a=\"\\\n\tä" + "A",
		"{a=`\\n{\"}`}":               `a=\n{"}`,
		`{a="},b=\"c\""}`:             `a=},b="c"`,
		`{a="ä=,"}`:                   `a=ä=,`,
	} {
		var got []string
		err := parseLabels(s, func(p pair) error { got = append(got, p.name+"="+p.value); return nil })
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%s: %q, %v, want %q", s, got, err, want)
		}
	}
	for s, want := range map[string]string{
		`a="b"`:         "byte 0: no brace",
		`  [`:           "byte 2: no brace",
		`{`:             "byte 1: no name",
		`{a`:            "byte 2: no equals sign",
		`{a }`:          "byte 3: no equals sign",
		`{a=`:           "byte 3: no value in double quotes",
		`{a=b}`:         "byte 3: no value in double quotes",
		`{a='b'}`:       "byte 3: no value in double quotes",
		`{a="b}`:        "byte 3: no value in double quotes",
		"{a=\"b\nc\"}":  "byte 3: no value in double quotes",
		`{a="\q"}`:      "byte 3: no value in double quotes",
		`{a=~"b"}`:      "byte 3: no value in double quotes",
		`{a="b" c="d"}`: "byte 7: no comma or brace",
		`{a="b"`:        "byte 6: no comma or brace",
		`{a="b",,}`:     "byte 7: no name",
		`{,}`:           "byte 1: no name",
		`{9a="b"}`:      "byte 1: no name",
		`{ä="b"}`:       "byte 1: no name",
		`{a.b="c"}`:     "byte 2: no equals sign",
		`{a="b"}x`:      "byte 7: something behind the brace",
	} {
		if err := parseLabels(s, func(pair) error { return nil }); err == nil || !strings.HasPrefix(err.Error(), "labels at "+want) || !strings.HasSuffix(err.Error(), `: write {name="value", ...}`) {
			t.Errorf("%s: %v, want %s", s, err, want)
		}
	}
}

// The service is looked for in Loki's order, and the other labels keep their names but for those
// that OpenTelemetry has one for.
func TestLabelsDescribeTheResource(t *testing.T) {
	long := strings.Repeat("x", maxOfAll+1)
	for labels, want := range map[string]string{
		`{severity="info", level="info", lvl="low"}`:      "level=info lvl=low service.name=unknown_service",
		`{level="` + long + `", trace_id="` + long + `"}`: "level=" + long + " trace_id=" + long + " service.name=unknown_service",
		`{}`: "service.name=unknown_service",
		`{job="j", workload="w", service_name="s"}`:     "job=j workload=w service.name=s",
		`{service_name="", service="s"}`:                "service=s service.name=s",
		`{name="n", app_name="a"}`:                      "name=n app_name=a service.name=a",
		`{k8s_job_name="k"}`:                            "k8s.job.name=k service.name=k",
		`{container="c", component="p"}`:                "k8s.container.name=c component=p service.name=c",
		`{app="a", env="prod", __x__="y", empty=""}`:    "app=a env=prod __x__=y service.name=a",
		`{namespace="a", k8s_namespace_name="b"}`:       "k8s.namespace.name=a k8s_namespace_name=b service.name=unknown_service",
		`{host="a", hostname="b", filename="/f"}`:       "host.name=a hostname=b log.file.path=/f service.name=unknown_service",
		`{pod="p", node="n", cluster="c"}`:              "k8s.pod.name=p k8s.node.name=n k8s.cluster.name=c service.name=unknown_service",
		`{service_namespace="s", cloud_region="eu"}`:    "service.namespace=s cloud.region=eu service.name=unknown_service",
		`{level="info", detected_level="unknown"}`:      "service.name=unknown_service",
		`{traceID="1", stream="stdout"}`:                "service.name=unknown_service",
		`{stream="events", a="` + "\xff" + `"}`:         "stream=events a=\uFFFD service.name=unknown_service",
		`{deployment_environment="prod", instance="i"}`: "deployment.environment.name=prod instance=i service.name=unknown_service",
	} {
		r := decode(t, converted(t, (*converter).protobuf, marshal(t, numbered(labels, 1))).body, 1)
		if got := shown(r.ResourceLogs[0].Resource.Attributes); got != want {
			t.Errorf("%s: got %s, want %s", labels, got, want)
		}
	}
	for _, name := range serviceName {
		r := decode(t, converted(t, (*converter).protobuf, marshal(t, numbered(fmt.Sprintf(`{%s="it"}`, name), 1))).body, 1)
		if got := shown(r.ResourceLogs[0].Resource.Attributes); !strings.HasSuffix(got, "service.name=it") {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

// What labels say of each line is on each record, unless the line or its metadata say it.
func TestLabelsThatArePlacesInARecord(t *testing.T) {
	s := numbered(`{level="warning", traceID="`+trace+`", spanID="`+span+`", stream="stdout"}`, 3)
	s.Entries[2].StructuredMetadata = push.LabelsAdapter{{Name: "level", Value: "error"}}
	s.Entries[1].Line = `{"event": "own", "level": "warn", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}`
	const want = `service.name=unknown_service
  1714979289123456789 13 "warning" "line 0" 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 log.iostream=stdout
  1714979290123456789 13 "warn" "own" 4bf92f3577b34da6a3ce929d0e0e4736 b7ad6b7169203331 traceID=0af7651916cd43dd8448eb211c80319c log.iostream=stdout
  1714979291123456789 17 "error" "line 2" 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 level=warning log.iostream=stdout
`
	if got := described(decode(t, converted(t, (*converter).protobuf, marshal(t, s)).body, 3)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
