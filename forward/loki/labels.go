package loki

import (
	"fmt"
	"strconv"

	"github.com/spillway-io/spillway/agent/lines"
)

// serviceName are the labels that may name the service, as Loki looks for it: its own label, and
// the default of its discover_service_name.
var serviceName = []string{"service_name", "service", "app", "application", "app_name", "name", "app_kubernetes_io_name", "container",
	"container_name", "k8s_container_name", "component", "workload", "job", "k8s_job_name"}

const unknownService = "unknown_service"

// semantic are the labels that OpenTelemetry has a name for. Any other keeps its own.
var semantic = map[string]string{
	"service_name":        "service.name",
	"service_namespace":   "service.namespace",
	"service_instance_id": "service.instance.id",
	"service_version":     "service.version",

	"namespace":            "k8s.namespace.name",
	"k8s_namespace_name":   "k8s.namespace.name",
	"pod":                  "k8s.pod.name",
	"k8s_pod_name":         "k8s.pod.name",
	"container":            "k8s.container.name",
	"k8s_container_name":   "k8s.container.name",
	"node":                 "k8s.node.name",
	"node_name":            "k8s.node.name",
	"k8s_node_name":        "k8s.node.name",
	"cluster":              "k8s.cluster.name",
	"k8s_cluster_name":     "k8s.cluster.name",
	"k8s_deployment_name":  "k8s.deployment.name",
	"k8s_statefulset_name": "k8s.statefulset.name",
	"k8s_daemonset_name":   "k8s.daemonset.name",
	"k8s_replicaset_name":  "k8s.replicaset.name",
	"k8s_job_name":         "k8s.job.name",
	"k8s_cronjob_name":     "k8s.cronjob.name",

	"container_name":              "container.name",
	"host":                        "host.name",
	"hostname":                    "host.name",
	"host_name":                   "host.name",
	"filename":                    "log.file.path",
	"deployment_environment":      "deployment.environment.name",
	"deployment_environment_name": "deployment.environment.name",
	"cloud_region":                "cloud.region",
	"cloud_availability_zone":     "cloud.availability_zone",
}

// subjects are the labels and structured metadata that have a place in a log record.
var subjects = map[string]lines.Subject{
	"detected_level": lines.AboutLevel,
	"level":          lines.AboutLevel, "LEVEL": lines.AboutLevel, "Level": lines.AboutLevel, "log.level": lines.AboutLevel,
	"severity": lines.AboutLevel, "SEVERITY": lines.AboutLevel, "Severity": lines.AboutLevel,
	"severity_text": lines.AboutLevel, "SEVERITY_TEXT": lines.AboutLevel, "Severity_Text": lines.AboutLevel, "SeverityText": lines.AboutLevel,
	"lvl": lines.AboutLevel, "LVL": lines.AboutLevel, "Lvl": lines.AboutLevel,

	"trace_id": lines.AboutTraceID, "traceid": lines.AboutTraceID, "traceID": lines.AboutTraceID, "traceId": lines.AboutTraceID,
	"TraceID": lines.AboutTraceID, "TraceId": lines.AboutTraceID, "trace.id": lines.AboutTraceID,
	"span_id": lines.AboutSpanID, "spanid": lines.AboutSpanID, "spanID": lines.AboutSpanID, "spanId": lines.AboutSpanID,
	"SpanID": lines.AboutSpanID, "SpanId": lines.AboutSpanID, "span.id": lines.AboutSpanID,
}

// says is false for what Loki adds when it could not tell.
func says(p pair) bool { return p != pair{"detected_level", "unknown"} }

// describe makes the resource of c.labels, and the remarks that they make on each line: one on a
// subject, and short, since every record has them.
func (c *converter) describe() (*lines.Resource, error) {
	c.ofAll, c.source = c.ofAll[:0], ""
	var attrs []lines.Attr
	values := make(map[string]string, len(c.labels))
	taken := make(map[string]bool, len(c.labels))
	var said [lines.Subjects]bool
	for _, p := range c.labels {
		if _, twice := values[p.name]; twice {
			return nil, fmt.Errorf("label %s comes twice: send it once", clip(p.name))
		}
		values[p.name] = p.value
		about := subjects[p.name]
		key := semantic[p.name]
		if key == "" || taken[key] {
			key = p.name
		}
		switch {
		case p.value == "" || !says(p): // as good as no label
		case about != lines.AboutNothing && !said[about] && len(p.value) <= maxOfAll:
			said[about] = true
			c.ofAll = append(c.ofAll, lines.Remark{Key: p.name, Value: p.value, About: about})
		case p.name == "stream" && (p.value == "stdout" || p.value == "stderr"):
			c.source = p.value
		default:
			attrs, taken[key] = append(attrs, lines.Attr{Key: key, Value: p.value}), true
		}
	}
	service := unknownService
	for _, name := range serviceName {
		if values[name] != "" {
			service = values[name]
			break
		}
	}
	return lines.NewResourceOf(append(attrs, lines.Attr{Key: "service.name", Value: service}, lines.Attr{Key: "loki.tenant", Value: c.tenant})), nil
}

// parseLabels calls each with the labels of a stream as Prometheus writes them, {name="value", ...},
// with the escapes of a Go string, or none between backquotes. An empty string has none.
func parseLabels(s string, each func(pair) error) error {
	at := blank(s, 0)
	fail := func(what string) error {
		return fmt.Errorf(`labels at byte %d: %s: write {name="value", ...}`, at, what)
	}
	if at == len(s) {
		return nil
	}
	if s[at] != '{' {
		return fail("no brace")
	}
	for at = blank(s, at+1); ; at = blank(s, at+1) {
		if at < len(s) && s[at] == '}' {
			break
		}
		name := labelName(s[at:])
		if name == "" {
			return fail("no name of letters, digits and underscores")
		}
		if at = blank(s, at+len(name)); at == len(s) || s[at] != '=' {
			return fail("no equals sign behind a name")
		}
		at = blank(s, at+1)
		quoted, err := strconv.QuotedPrefix(s[at:])
		if err != nil || quoted[0] == '\'' {
			return fail("no value in double quotes")
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return fail("bad escape in a value")
		}
		if err := each(pair{name, value}); err != nil {
			return err
		}
		if at = blank(s, at+len(quoted)); at < len(s) && s[at] == '}' {
			break
		}
		if at == len(s) || s[at] != ',' {
			return fail("no comma or brace behind a value")
		}
	}
	if at = blank(s, at+1); at != len(s) {
		return fail("something behind the brace")
	}
	return nil
}

// blank is where the white space from at on ends.
func blank(s string, at int) int {
	for at < len(s) && (s[at] == ' ' || s[at] == '\t' || s[at] == '\n' || s[at] == '\r') {
		at++
	}
	return at
}

// labelName is the name that s begins with, which is empty if there is none.
func labelName(s string) string {
	for i := range len(s) {
		c := s[i]
		if letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'; !letter && (i == 0 || c < '0' || c > '9') {
			return s[:i]
		}
	}
	return s
}
