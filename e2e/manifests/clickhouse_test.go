package manifests

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
)

var (
	fromEnv  = regexp.MustCompile(`from_env="(\w+)"`)
	nodeHost = regexp.MustCompile(`<host(?:name)?>([^<]+)</host(?:name)?><port>(\d+)</port>`)
	diskPath = regexp.MustCompile(`<path>(/[^<]+)</path>`)
	comment  = regexp.MustCompile(`(?s)<!--.*?-->`)
)

// The files of deploy/clickhouse find in a pod what they name: variables, hosts with their ports, directories.
func TestClickHousesFilesFindWhatTheyName(t *testing.T) {
	for dir, storage := range map[string]string{"clickhouse": "storage-hot-cold-local.xml", "clickhouse-s3": "storage-hot-cold-s3.xml"} {
		c := build(t, filepath.Join(kubernetes, dir))
		set := named[*apps.StatefulSet](c, "clickhouse")
		container := set.Spec.Template.Spec.Containers[0]
		var env, files []string
		for _, e := range container.Env {
			env = append(env, e.Name)
		}
		text := ""
		for _, m := range container.VolumeMounts {
			if m.Name != "config" {
				continue
			}
			files = append(files, m.SubPath)
			content, ok := named[*core.ConfigMap](c, "clickhouse").Data[m.SubPath]
			if !ok || !strings.HasPrefix(m.MountPath, "/etc/clickhouse-server/config.d/") || !strings.HasSuffix(m.MountPath, ".xml") {
				t.Errorf("%s: %s at %s", dir, m.SubPath, m.MountPath)
			}
			text += comment.ReplaceAllString(content, "")
		}
		slices.Sort(files)
		if want := []string{"cluster.xml", "keeper.xml", storage}; !slices.Equal(files, want) {
			t.Errorf("%s has %v, want %v", dir, files, want)
		}
		variables := fromEnv.FindAllStringSubmatch(text, -1)
		for _, m := range variables {
			if !slices.Contains(env, m[1]) {
				t.Errorf("%s: %s is not set", dir, m[1])
			}
		}
		hosts := nodeHost.FindAllStringSubmatch(text, -1)
		for _, m := range hosts {
			s := named[*core.Service](c, m[1])
			if s.Spec.ClusterIP != core.ClusterIPNone || !s.Spec.PublishNotReadyAddresses || !slices.ContainsFunc(s.Spec.Ports, func(p core.ServicePort) bool { return fmt.Sprint(p.Port) == m[2] }) {
				t.Errorf("%s: %s:%s is not one pod's own address from the start", dir, m[1], m[2])
			}
			// The pods of a StatefulSet are counted from ordinals.start.
			pod, first := s.Spec.Selector["statefulset.kubernetes.io/pod-name"], int(set.Spec.Ordinals.Start)
			if pod != m[1] || !slices.Contains([]string{fmt.Sprint("clickhouse-", first), fmt.Sprint("clickhouse-", first+1), fmt.Sprint("clickhouse-", first+2)}, pod) {
				t.Errorf("%s: %s leads to %s", dir, m[1], pod)
			}
		}
		if len(variables) < 4 || len(hosts) != 9 || *set.Spec.Replicas != 3 {
			t.Errorf("%s: %d variables, %d hosts, %d replicas", dir, len(variables), len(hosts), *set.Spec.Replicas)
		}
		for _, m := range diskPath.FindAllStringSubmatch(text, -1) {
			if !strings.HasPrefix(m[1], "/clickhouse/") && !mounted(container, strings.TrimSuffix(m[1], "/")) { // that is Keeper's
				t.Errorf("%s: nothing is mounted for %s", dir, m[1])
			}
		}
	}
}
